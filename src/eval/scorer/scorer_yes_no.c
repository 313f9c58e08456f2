/* Questions of yes and no: POPE and MME. */
#include "eval/scorer/scorer_internal.h"

#include <ctype.h>
#include <string.h>

static int is_word(fv_slice word, const char *expected)
{
    return fv_slice_equal(word, fv_slice_of(expected));
}

/* In lower case, without full stops and white space at the ends. */
static fv_err fold(fv_slice text, fv_buffer *out)
{
    fv_buffer lower = {0};
    fv_err err = fv_scorer_lower(text, &lower);
    fv_slice bare = fv_scorer_strip((fv_slice){lower.data, lower.size});
    for (size_t i = 0; i < bare.size && err == FV_OK; i++)
        if (bare.data[i] != '.')
            err = fv_buffer_append(out, bare.data + i, 1);
    fv_buffer_fini(&lower);
    return err;
}

/* The score of what an answer was read as. */
static fv_err compare(const char *read, fv_slice truth, double *score, fv_buffer *reading)
{
    fv_buffer folded = {0};
    FV_TRY(fv_buffer_print(reading, "%s", read));
    fv_err err = fold(truth, &folded);
    const char *expected = folded.data ? folded.data : "";
    if (err == FV_OK && strcmp(expected, "yes") != 0 && strcmp(expected, "no") != 0)
        err = FV_FAIL(FV_ERR_FORMAT, "the truth is \"%.*s\", expected yes or no",
                      (int)(truth.size < 64 ? truth.size : 64), truth.data ? truth.data : "");
    *score = strcmp(expected, read) == 0;
    fv_buffer_fini(&folded);
    return err;
}

/* POPE. */

/* The next run of letters and apostrophes behind at, which moves behind it; empty at the end. */
static fv_slice next_word(fv_slice text, size_t *at)
{
    while (*at < text.size && !isalpha((unsigned char)text.data[*at]))
        ++*at;
    size_t first = *at;
    while (*at < text.size && (isalpha((unsigned char)text.data[*at]) || text.data[*at] == '\''))
        ++*at;
    return fv_slice_cut(text, first, *at);
}

static const char *read_sentence(fv_slice lower)
{
    const char *end = lower.size ? memchr(lower.data, '.', lower.size) : NULL;
    fv_slice sentence = end ? fv_slice_cut(lower, 0, (size_t)(end - lower.data)) : lower, word;
    const char *read = "neither";
    for (size_t at = 0; (word = next_word(sentence, &at)).size > 0;) {
        if (is_word(word, "no") || is_word(word, "not"))
            return "no";
        if (is_word(word, "yes"))
            read = "yes";
    }
    return read;
}

fv_err fv_rule_pope(const fv_said *said, double *score, fv_buffer *reading)
{
    fv_buffer lower = {0};
    fv_err err = fv_scorer_lower(said->answer, &lower);
    if (err == FV_OK)
        err = compare(read_sentence((fv_slice){lower.data, lower.size}), said->truth, score, reading);
    fv_buffer_fini(&lower);
    return err;
}

/* MME. */

static const char *read_start(fv_slice folded)
{
    size_t n = 0;
    if (folded.size == 1)
        return folded.data[0] == 'y' ? "yes" : folded.data[0] == 'n' ? "no" : "neither";
    for (int codes = 0; n < folded.size; n++) {
        codes += (folded.data[n] & 0xC0) != 0x80;
        if (codes > 4)
            break;
    }
    fv_slice start = fv_slice_cut(folded, 0, n);
    if (fv_slice_find(start, fv_slice_of("yes")) != FV_SLICE_NONE)
        return "yes";
    return fv_slice_find(start, fv_slice_of("no")) != FV_SLICE_NONE ? "no" : "neither";
}

fv_err fv_rule_mme(const fv_said *said, double *score, fv_buffer *reading)
{
    fv_buffer folded = {0};
    fv_err err = fold(said->answer, &folded);
    if (err == FV_OK)
        err = compare(read_start((fv_slice){folded.data, folded.size}), said->truth, score, reading);
    fv_buffer_fini(&folded);
    return err;
}
