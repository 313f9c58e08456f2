/* Multiple choice. */
#include "loop/rules_internal.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

typedef struct choice {
    char letter;   /* upper case; 0 if there is none */
    fv_slice text; /* behind the label, or behind the cue; the whole text without either */
} choice;

static size_t span_of(fv_slice text, size_t from, const char *set)
{
    size_t n = 0;
    while (from + n < text.size && text.data[from + n] != '\0' && strchr(set, text.data[from + n]))
        n++;
    return n;
}

static int is_word_byte(char c)
{
    return isalnum((unsigned char)c) || (c & 0x80);
}

static fv_slice behind(fv_slice text, size_t first)
{
    return fv_slice_trim(fv_slice_cut(text, first, text.size));
}

/* A letter that starts the text and stands alone: it ends the text, or marks ("(b) text", "B. text",
 * "B)text") or, in a sentence, upper case and the end of a word set it off. "A cat" is no label, nor are
 * "B.C." and "I'm". */
static int parse_label(fv_slice text, int is_in_sentence, choice *out)
{
    size_t at = span_of(text, 0, "([*\"'`");
    if (at == text.size || !isalpha((unsigned char)text.data[at]))
        return 0;
    char letter = text.data[at];
    size_t n_marks = span_of(text, at + 1, ".):]*\"'`"), end = at + 1 + n_marks;
    char next = end < text.size ? text.data[end] : ' ';
    int is_set_off = n_marks > 0 && (isspace((unsigned char)next) || strchr("):]", text.data[end - 1]));
    int is_word = is_in_sentence && isupper((unsigned char)letter) && !is_word_byte(next);
    if (end < text.size && !is_set_off && !is_word)
        return 0;
    *out = (choice){(char)toupper((unsigned char)letter), behind(text, end)};
    return 1;
}

static int has_word_at(fv_slice text, size_t at, const char *word)
{
    size_t end = at + strlen(word);
    return end <= text.size && strncasecmp(text.data + at, word, strlen(word)) == 0 &&
           (at == 0 || !is_word_byte(text.data[at - 1])) &&
           (end == text.size || !is_word_byte(text.data[end]));
}

static fv_slice behind_filler(fv_slice text, size_t at)
{
    at += span_of(text, at, " \n\t:=*");
    if (has_word_at(text, at, "is"))
        at += 2 + span_of(text, at + 2, " \n\t:=");
    return behind(text, at);
}

/* The last cue with a label behind it, else the text behind the last cue, else the whole text. */
static choice parse_sentence(fv_slice text)
{
    static const char *const cues[] = {"answer", "option", "choice"};
    choice out = {0, text};
    int has_cue = 0;
    for (size_t at = text.size; at-- > 0;)
        for (int i = 0; i < 3; i++) {
            if (!has_word_at(text, at, cues[i]))
                continue;
            fv_slice rest = behind_filler(text, at + strlen(cues[i]));
            if (parse_label(rest, 1, &out))
                return out;
            if (!has_cue)
                out.text = rest;
            has_cue = 1;
        }
    return out;
}

static choice parse_choice(fv_slice text)
{
    choice out;
    text = fv_slice_trim(text);
    return parse_label(text, 0, &out) ? out : parse_sentence(text);
}

fv_err fv_rule_choice(fv_slice answer, fv_slice truth, double *score)
{
    choice given = parse_choice(answer), right = {0, fv_slice_trim(truth)};
    parse_label(right.text, 0, &right);
    *score = given.letter && given.letter == right.letter;
    if ((given.letter && right.letter) || right.text.size == 0)
        return FV_OK;
    FV_TRY(fv_rule_exact(given.text, right.text, score));
    return *score > 0 ? FV_OK : fv_rule_exact(answer, right.text, score);
}
