/* Answers in mathematics: numbers, formulas, points, intervals, sets and equations. */
#include "reward/verifier/verifier_internal.h"

#include <ctype.h>
#include <string.h>

enum { MOST_ITEMS = 64 };

/* "(1, 2]", "{1, 2}", or "1, 2" without brackets: open and close are 0 then. */
typedef struct item_list {
    fv_slice items[MOST_ITEMS];
    int n;
    char open, close;
} item_list;

static int is_opening(char c)
{
    return c == '(' || c == '[' || c == '{';
}

static int is_closing(char c)
{
    return c == ')' || c == ']' || c == '}';
}

/* Whether the bracket that starts the text is closed by the text's last character. */
static int is_enclosed(fv_slice text)
{
    int depth = 0;
    if (text.size < 2 || !is_opening(text.data[0]))
        return 0;
    for (size_t i = 0; i < text.size; i++) {
        depth += is_opening(text.data[i]) - is_closing(text.data[i]);
        if (depth == 0)
            return i + 1 == text.size;
    }
    return 0;
}

/* Split at the commas and semicolons that stand in no brackets. 0 if there is none, or too many. */
static int parse_list(fv_slice text, item_list *out)
{
    int depth = 0;
    size_t first = 0;
    *out = (item_list){.n = 0};
    if (is_enclosed(text)) {
        out->open = text.data[0];
        out->close = text.data[text.size - 1];
        text = fv_slice_cut(text, 1, text.size - 1);
    }
    for (size_t i = 0; i <= text.size && out->n < MOST_ITEMS; i++) {
        char c = i < text.size ? text.data[i] : ',';
        depth += is_opening(c) - is_closing(c);
        if ((c != ',' && c != ';') || (depth != 0 && i < text.size))
            continue;
        out->items[out->n++] = fv_slice_trim(fv_slice_cut(text, first, i));
        first = i + 1;
    }
    return out->n > 1 && out->n < MOST_ITEMS;
}

/* Without spaces beside signs, and without punctuation at the ends. */
static fv_err squeeze(fv_slice text, fv_buffer *out)
{
    static const char signs[] = "+-*/^=<>()[]{}|,;";
    if (text.size && !memchr(text.data, ',', text.size)) /* else brackets at the ends mean something */
        text = fv_text_bare(text);
    for (size_t i = 0; i < text.size; i++) {
        int is_gap = text.data[i] == ' ' && i > 0 && i + 1 < text.size &&
                     (strchr(signs, text.data[i - 1]) || strchr(signs, text.data[i + 1]));
        if (!is_gap)
            FV_TRY(fv_buffer_append(out, text.data + i, 1));
    }
    return FV_OK;
}

static fv_err same_text(fv_slice a, fv_slice b, int *is_same)
{
    fv_buffer x = {0}, y = {0};
    fv_err err = squeeze(a, &x);
    if (err == FV_OK)
        err = squeeze(b, &y);
    *is_same = x.size > 0 && fv_slice_equal((fv_slice){x.data, x.size}, (fv_slice){y.data, y.size});
    fv_buffer_fini(&x);
    fv_buffer_fini(&y);
    return err;
}

/* Of what stands on one side of an equation, or is an item. */
static fv_err same_value(fv_slice a, fv_slice b, int *is_same)
{
    if (fv_numbers_compare(a, b, is_same))
        return FV_OK;
    *is_same = fv_formulas_equal(a, b);
    return *is_same ? FV_OK : same_text(a, b, is_same);
}

static fv_err same_in_any_order(const item_list *a, const item_list *b, int *is_same)
{
    int is_used[MOST_ITEMS] = {0};
    for (int i = 0; i < a->n; i++) {
        int found = 0;
        for (int j = 0; j < b->n && !found; j++) {
            if (is_used[j])
                continue;
            FV_TRY(same_value(a->items[i], b->items[j], &found));
            is_used[j] = found;
        }
        *is_same = found;
        if (!found)
            return FV_OK;
    }
    return FV_OK;
}

/* A set has no order; a list without brackets may be one. Else brackets and order must be the same. */
static fv_err same_lists(const item_list *a, const item_list *b, int *is_same)
{
    int is_set = (a->open == '{' && (b->open == '{' || !b->open)) || (b->open == '{' && !a->open);
    *is_same = a->n == b->n && (is_set || (a->open == b->open && a->close == b->close));
    if (!*is_same || is_set)
        return *is_same ? same_in_any_order(a, b, is_same) : FV_OK;
    for (int i = 0; i < a->n && *is_same; i++)
        FV_TRY(same_value(a->items[i], b->items[i], is_same));
    return FV_OK;
}

/* "x = 5" as its sides; 0 if there is not just one such sign. "<=" is none. */
static int split_equation(fv_slice text, fv_slice *left, fv_slice *right)
{
    size_t at = fv_slice_find(text, fv_slice_of("="));
    if (at == FV_SLICE_NONE || at != fv_slice_find_last(text, fv_slice_of("=")) ||
        (at > 0 && strchr("<>!", text.data[at - 1])))
        return 0;
    *left = fv_slice_trim(fv_slice_cut(text, 0, at));
    *right = fv_slice_trim(fv_slice_cut(text, at + 1, text.size));
    return 1;
}

/* A name that may be left out, or is: "x", "x_1", "f(x)", "area". */
static int is_name(fv_slice text)
{
    int n_letters = 0;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        int is_letter = isalpha((unsigned char)c) || (c & 0x80);
        if (!is_letter && (i == 0 || (!isdigit((unsigned char)c) && !strchr("_()", c))))
            return 0;
        n_letters += is_letter;
    }
    return n_letters > 0 || text.size == 0;
}

static fv_err same_meaning(fv_slice a, fv_slice b, int *is_same)
{
    fv_slice left_a, right_a, left_b, right_b;
    item_list items_a, items_b;
    int has_a = split_equation(a, &left_a, &right_a), has_b = split_equation(b, &left_b, &right_b);
    if (has_a && has_b) {
        FV_TRY(same_value(left_a, left_b, is_same));
        return *is_same ? same_meaning(right_a, right_b, is_same) : FV_OK;
    }
    if (has_a && is_name(left_a))
        a = right_a;
    if (has_b && is_name(left_b))
        b = right_b;
    if (fv_numbers_compare(a, b, is_same) && *is_same)
        return FV_OK;
    int is_list_a = parse_list(a, &items_a), is_list_b = parse_list(b, &items_b);
    if (is_list_a && is_list_b)
        return same_lists(&items_a, &items_b, is_same);
    *is_same = 0;
    return is_list_a || is_list_b ? FV_OK : same_value(a, b, is_same);
}

static fv_slice without_mark(fv_slice text)
{
    while (text.size > 0 && strchr(" .:!*", text.data[text.size - 1]))
        text.size--;
    while (text.size > 0 && (text.data[0] == '*' || text.data[0] == ' '))
        text = fv_slice_cut(text, 1, text.size);
    return text;
}

/* Of two plain texts. */
static fv_err score_plain(fv_slice answer, fv_slice truth, double *score)
{
    fv_text_pair pair;
    int is_same = 0;
    FV_TRY(fv_text_pair_init(&pair, answer, truth));
    fv_slice a = without_mark(pair.answer), t = without_mark(pair.truth);
    fv_err err = pair.answer.size && pair.truth.size ? same_meaning(a, t, &is_same) : FV_OK;
    fv_text_pair_fini(&pair);
    *score = is_same;
    return err;
}

fv_err fv_verifier_boxed(fv_slice answer, fv_slice truth, double *score)
{
    fv_err err = FV_OK;
    fv_buffer given = {0}, right = {0};
    FV_TRY_DONE(fv_text_plain(answer, &given));
    FV_TRY_DONE(fv_text_plain(truth, &right));
    const fv_slice said = {given.data, given.size}, wanted = {right.data, right.size};
    fv_slice conclusion = fv_text_conclusion(said);
    FV_TRY_DONE(score_plain(said, wanted, score));
    if (*score == 0 && conclusion.size > 0)
        FV_TRY_DONE(score_plain(conclusion, wanted, score));
done:
    fv_buffer_fini(&given);
    fv_buffer_fini(&right);
    return err;
}
