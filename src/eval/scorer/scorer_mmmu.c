/* MMMU. Its questions without options: what the answer concludes, and the numbers in it, beside the truth. */
#include "eval/scorer/scorer_internal.h"
#include "fovea/base/text/utf8.h"
#include "reward/verifier/verifier_internal.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* A number to two places, or a text in lower case. */
typedef struct normal {
    int is_number;
    double value;
    fv_buffer text;
} normal;

static double to_two_places(double value)
{
    char digits[400];
    snprintf(digits, sizeof digits, "%.2f", value);
    return strtod(digits, NULL);
}

static fv_err normalise(fv_slice text, normal *out)
{
    fv_buffer digits = {0};
    fv_err err = FV_OK;
    *out = (normal){0};
    text = fv_scorer_strip(text);
    for (size_t i = 0; i < text.size && err == FV_OK; i++)
        if (text.data[i] != ',')
            err = fv_buffer_append(&digits, text.data + i, 1);
    if (err == FV_OK)
        out->is_number = fv_scorer_number((fv_slice){digits.data, digits.size}, &out->value);
    fv_buffer_fini(&digits);
    out->value = to_two_places(out->value);
    return err == FV_OK ? fv_scorer_lower(text, &out->text) : err;
}

/* A text of one character counts only at a space. */
static fv_err contains(const normal *said, const normal *truth, int *is_in)
{
    const char *text = truth->text.data ? truth->text.data : "";
    int is_short = fv_scorer_length(fv_slice_of(text)) == 1;
    int is_alone = fv_scorer_length((fv_slice){said->text.data, said->text.size}) == 1;
    fv_buffer whole = {0}, part = {0};
    fv_err err = fv_buffer_print(&whole, is_alone ? " %s " : "%s", said->text.data ? said->text.data : "");
    *is_in = 0;
    for (int i = 0; i <= is_short && err == FV_OK; i++) {
        fv_buffer_fini(&part);
        err = fv_buffer_print(&part, "%s%s%s", is_short && i ? " " : "", text, is_short && !i ? " " : "");
        if (err == FV_OK && part.size > 0)
            *is_in |= fv_slice_find((fv_slice){whole.data, whole.size}, (fv_slice){part.data, part.size}) !=
                      FV_SLICE_NONE;
    }
    fv_buffer_fini(&whole);
    fv_buffer_fini(&part);
    return err;
}

static fv_err compare(fv_slice said, const normal *truth, int *is_right)
{
    normal n;
    int is_same = 0;
    fv_err err = normalise(said, &n);
    if (err == FV_OK && n.is_number)
        is_same = truth->is_number && n.value == truth->value;
    else if (err == FV_OK && !truth->is_number)
        err = contains(&n, truth, &is_same);
    *is_right |= is_same;
    fv_buffer_fini(&n.text);
    return err;
}

/* Numbers in a text, by the three patterns of that program. */

static int is_digit_at(fv_slice text, size_t at)
{
    return at < text.size && text.data[at] >= '0' && text.data[at] <= '9';
}

static size_t skip_digits(fv_slice text, size_t at)
{
    while (is_digit_at(text, at))
        at++;
    return at;
}

static int is_at(fv_slice text, size_t at, const char *set)
{
    return at < text.size && text.data[at] != '\0' && strchr(set, text.data[at]);
}

/* A letter, a digit or "_", as \w has it. */
static int is_word_at(fv_slice text, size_t at)
{
    uint32_t code;
    if (at >= text.size)
        return 0;
    fv_utf8_decode(text.data + at, text.size - at, &code);
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code);
    return code == '_' || (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) ||
           (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO);
}

static int is_word_before(fv_slice text, size_t at)
{
    if (at == 0)
        return 0;
    for (at--; at > 0 && (text.data[at] & 0xC0) == 0x80;)
        at--;
    return is_word_at(text, at);
}

/* Each: where a number that starts at ends; 0 if there is none. */

/* "1,234,567" */
static size_t end_of_grouped(fv_slice text, size_t at)
{
    size_t first = at + is_at(text, at, "-"), end = skip_digits(text, first), best = 0;
    if (is_word_before(text, first) || end == first || end > first + 3)
        return 0;
    while (is_at(text, end, ",") && is_digit_at(text, end + 1) && is_digit_at(text, end + 2) &&
           is_digit_at(text, end + 3)) {
        end += 4;
        if (!is_word_at(text, end))
            best = end;
    }
    return best;
}

/* "1.5e-3" */
static size_t end_of_scientific(fv_slice text, size_t at)
{
    size_t first = at + is_at(text, at, "-"), end = skip_digits(text, first);
    if (end == first)
        return 0;
    if (is_at(text, end, ".") && is_digit_at(text, end + 1))
        end = skip_digits(text, end + 1);
    if (!is_at(text, end, "eE"))
        return 0;
    end += 1 + (size_t)is_at(text, end + 1, "+-");
    return is_digit_at(text, end) ? skip_digits(text, end) : 0;
}

static int may_end(fv_slice text, size_t at)
{
    int is_exponent = is_at(text, at, "eE") && is_digit_at(text, at + 1 + (size_t)is_at(text, at + 1, "+-"));
    return !is_exponent && !is_at(text, at, ",") && !is_digit_at(text, at);
}

/* "12", "1.5" or ".5" */
static size_t end_of_simple(fv_slice text, size_t at)
{
    size_t first = at + is_at(text, at, "-"), whole = skip_digits(text, first), end;
    if (is_at(text, whole, ".") && (end = skip_digits(text, whole + 1)) > whole + 1 && may_end(text, end))
        return end;
    return whole > first && !is_word_at(text, whole) && may_end(text, whole) ? whole : 0;
}

static fv_err compare_numbers(fv_slice text, const normal *truth, int *is_right)
{
    static size_t (*const patterns[])(fv_slice, size_t) = {end_of_grouped, end_of_scientific, end_of_simple};
    for (int p = 0; p < 3; p++)
        for (size_t at = 0, end; at < text.size; at = end ? end : at + 1)
            if ((end = patterns[p](text, at)))
                FV_TRY(compare(fv_slice_cut(text, at, end), truth, is_right));
    return FV_OK;
}

/* What a line concludes: the shortest text behind the last of a cue. */
static fv_slice conclusion_of(fv_slice line, int is_last)
{
    static const char *const cues[] = {"could be ",  "so ",    "is ",     "thus ",
                                       "therefore ", "final ", "answer ", "result "};
    enum { N_CUES = sizeof cues / sizeof cues[0] };
    fv_slice shortest = {0};
    for (int i = 0; i < N_CUES + is_last; i++) {
        fv_slice cue = fv_slice_of(i < N_CUES ? cues[i] : "=");
        size_t at = fv_slice_find_last(line, cue);
        if (at == FV_SLICE_NONE)
            continue;
        fv_slice said = fv_scorer_strip(fv_slice_cut(line, at + cue.size, line.size));
        if (shortest.size == 0 || fv_scorer_length(said) < fv_scorer_length(shortest))
            shortest = said;
    }
    return shortest.size == 1 && strchr(":,.!?;'", shortest.data[0]) ? (fv_slice){0} : shortest;
}

static fv_err compare_said(fv_slice said, const normal *truth, int *is_right, fv_buffer *reading)
{
    if (reading->size)
        FV_TRY(fv_buffer_append(reading, "\n", 1));
    FV_TRY(fv_buffer_append(reading, said.data, said.size));
    FV_TRY(compare(said, truth, is_right));
    return compare_numbers(said, truth, is_right);
}

static fv_err compare_lines(fv_slice answer, const normal *truth, int *is_right, fv_buffer *reading)
{
    for (size_t at = 0; at <= answer.size;) {
        fv_slice line = fv_slice_cut(answer, at, answer.size);
        size_t end = fv_slice_find(line, fv_slice_of("\n"));
        int is_last = end == FV_SLICE_NONE;
        if (!is_last)
            line = fv_slice_cut(line, 0, end);
        at += line.size + 1;
        fv_slice said = conclusion_of(line, is_last);
        if (said.size > 0)
            FV_TRY(compare_said(said, truth, is_right, reading));
    }
    return reading->size ? FV_OK : compare_said(answer, truth, is_right, reading);
}

static fv_err score_open(const fv_said *said, double *score, fv_buffer *reading)
{
    fv_buffer lower = {0};
    normal truth = {0};
    int is_right = 0;
    fv_slice answer = said->answer;
    while (answer.size > 0 && answer.data[0] == '.')
        answer = fv_slice_cut(answer, 1, answer.size);
    while (answer.size > 0 && answer.data[answer.size - 1] == '.')
        answer.size--;
    fv_err err = fv_scorer_lower(answer, &lower);
    if (err == FV_OK)
        err = normalise(said->truth, &truth);
    if (err == FV_OK)
        err = compare_lines((fv_slice){lower.data, lower.size}, &truth, &is_right, reading);
    *score = is_right;
    fv_buffer_fini(&truth.text);
    fv_buffer_fini(&lower);
    return err;
}

fv_err fv_rule_mmmu(const fv_said *said, double *score, fv_buffer *reading)
{
    fv_option_list options;
    fv_options_find(said->question, &options);
    return options.n < 2 ? score_open(said, score, reading) : fv_rule_options(said, score, reading);
}
