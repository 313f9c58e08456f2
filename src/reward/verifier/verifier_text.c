/* Folded texts, and the verifiers that need no more. */
#include "fovea/base/text/utf8.h"
#include "reward/verifier/verifier_internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <utf8proc.h>

static int is_decimal_digit(uint32_t code)
{
    return utf8proc_category((utf8proc_int32_t)code) == UTF8PROC_CATEGORY_ND;
}

/* Unicode's runs of decimal digits are ten long and start at zero; some follow each other. */
static uint32_t digit_value(uint32_t code)
{
    uint32_t first = code;
    while (is_decimal_digit(first - 1))
        first--;
    return (code - first) % 10;
}

static int is_space(uint32_t code)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code);
    return (code >= '\t' && code <= '\r') || code == 0x85 || category == UTF8PROC_CATEGORY_ZS ||
           category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP;
}

static uint32_t ascii_equal(uint32_t code)
{
    static const struct {
        uint32_t code;
        char equal;
    } signs[] = {{0x2212, '-'},  {0xFE63, '-'},  {0x2010, '-'}, {0x2011, '-'}, {0x2013, '-'},
                 {0x2018, '\''}, {0x2019, '\''}, {0x201C, '"'}, {0x201D, '"'}, {0xAB, '"'},
                 {0xBB, '"'},    {0x3001, ','},  {0x3002, '.'}, {0x2026, '.'}};
    if (code < 0x80)
        return code;
    if (code >= 0xFF01 && code <= 0xFF5E) /* full-width forms of ! to ~ */
        return code - 0xFEE0;
    if (is_decimal_digit(code))
        return '0' + digit_value(code);
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++)
        if (signs[i].code == code)
            return (uint32_t)signs[i].equal;
    return code;
}

static fv_err append_folded(const char *text, size_t size, fv_buffer *out)
{
    int has_gap = 0;
    size_t start = out->size;
    for (size_t at = 0; at < size;) {
        uint32_t code;
        char bytes[4];
        at += (size_t)fv_utf8_decode(text + at, size - at, &code);
        if (is_space(code)) {
            has_gap = out->size > start;
            continue;
        }
        if (has_gap)
            FV_TRY(fv_buffer_append(out, " ", 1));
        has_gap = 0;
        FV_TRY(fv_buffer_append(out, bytes, (size_t)fv_utf8_encode(ascii_equal(code), bytes)));
    }
    return FV_OK;
}

fv_err fv_text_fold(fv_slice text, fv_buffer *out)
{
    fv_err err = FV_OK;
    fv_buffer valid = {0};
    utf8proc_uint8_t *folded = NULL;
    if (text.size == 0)
        return FV_OK;
    FV_TRY_DONE(fv_buffer_append_valid(&valid, text.data, text.size));
    utf8proc_ssize_t size =
        utf8proc_map((const utf8proc_uint8_t *)valid.data, (utf8proc_ssize_t)valid.size, &folded,
                     UTF8PROC_CASEFOLD | UTF8PROC_COMPOSE | UTF8PROC_STABLE | UTF8PROC_IGNORE);
    FV_CHECK_DONE(size >= 0, FV_ERR_MEMORY, "cannot fold %zu bytes of text: %s", valid.size,
                  utf8proc_errmsg(size));
    FV_TRY_DONE(append_folded((const char *)folded, (size_t)size, out));
done:
    free(folded);
    fv_buffer_fini(&valid);
    return err;
}

static int is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c);
}

fv_slice fv_text_bare(fv_slice folded)
{
    size_t first = 0, end = folded.size;
    while (first < end && is_one_of(folded.data[first], " \"'`([{*"))
        first++;
    while (end > first && is_one_of(folded.data[end - 1], " \"'`)]}*.,;:!?"))
        end--;
    return first < end ? fv_slice_cut(folded, first, end) : folded;
}

static int has_word_at(fv_slice text, size_t at, const char *word)
{
    size_t n = strlen(word), end = at + n;
    return end <= text.size && strncasecmp(text.data + at, word, n) == 0 &&
           (at == 0 || !isalnum((unsigned char)text.data[at - 1])) &&
           (end == text.size || !isalnum((unsigned char)text.data[end]));
}

/* Where what "is", ":" or "=" says begins, behind a cue that ends at; at itself if there is none of them. */
static size_t skip_verb(fv_slice text, size_t at)
{
    size_t end = at;
    while (end < text.size && is_one_of(text.data[end], " \n\t:=*"))
        end++;
    int is_sign = memchr(text.data + at, ':', end - at) || memchr(text.data + at, '=', end - at);
    if (!has_word_at(text, end, "is"))
        return is_sign ? end : at;
    for (end += 2; end < text.size && is_one_of(text.data[end], " \n\t:=*");)
        end++;
    return end;
}

static fv_slice up_to(fv_slice text, const char *mark)
{
    size_t at = fv_slice_find(text, fv_slice_of(mark));
    return at == FV_SLICE_NONE ? text : fv_slice_cut(text, 0, at);
}

fv_slice fv_text_conclusion(fv_slice text)
{
    static const char *const cues[] = {"answer", "result", "solution"};
    static const char *const ends[] = {"\n", ". ", " because ", " since ", ", so ", ", as ", ", which "};
    for (size_t at = text.size; at-- > 0;)
        for (size_t i = 0; i < sizeof cues / sizeof cues[0]; i++) {
            size_t behind = at + strlen(cues[i]), first;
            if (!has_word_at(text, at, cues[i]) || (first = skip_verb(text, behind)) == behind)
                continue;
            fv_slice rest = fv_slice_cut(text, first, text.size);
            for (size_t e = 0; e < sizeof ends / sizeof ends[0]; e++)
                rest = up_to(rest, ends[e]);
            while (rest.size > 0 && rest.data[rest.size - 1] == ',')
                rest.size--;
            return rest;
        }
    return (fv_slice){0};
}

fv_err fv_text_pair_init(fv_text_pair *pair, fv_slice answer, fv_slice truth)
{
    *pair = (fv_text_pair){0};
    fv_err err = fv_text_fold(answer, &pair->answer_memory);
    if (err == FV_OK)
        err = fv_text_fold(truth, &pair->truth_memory);
    pair->answer = (fv_slice){pair->answer_memory.data, pair->answer_memory.size};
    pair->truth = (fv_slice){pair->truth_memory.data, pair->truth_memory.size};
    if (err != FV_OK)
        fv_text_pair_fini(pair);
    return err;
}

void fv_text_pair_fini(fv_text_pair *pair)
{
    fv_buffer_fini(&pair->answer_memory);
    fv_buffer_fini(&pair->truth_memory);
}

/* The brackets around a list: "[1, 2)" is '[' and ')'. 0 if there are none, or nothing to tell apart in them.
 */
static int find_brackets(fv_slice text, char *open, char *close)
{
    while (text.size > 0 && is_one_of(text.data[text.size - 1], " .*\"'`"))
        text.size--;
    while (text.size > 0 && is_one_of(text.data[0], " *\"'`"))
        text = fv_slice_cut(text, 1, text.size);
    if (text.size < 3 || !is_one_of(text.data[0], "([{") || !is_one_of(text.data[text.size - 1], ")]}") ||
        !memchr(text.data, ',', text.size))
        return 0;
    *open = text.data[0];
    *close = text.data[text.size - 1];
    return 1;
}

/* Points, intervals and sets of the same numbers are not the same. */
static int differ_in_brackets(fv_slice a, fv_slice b)
{
    char open_a, close_a, open_b, close_b;
    return find_brackets(a, &open_a, &close_a) && find_brackets(b, &open_b, &close_b) &&
           (open_a != open_b || close_a != close_b);
}

fv_err fv_verifier_exact(fv_slice answer, fv_slice truth, double *score)
{
    fv_text_pair pair;
    FV_TRY(fv_text_pair_init(&pair, answer, truth));
    *score = pair.answer.size > 0 && !differ_in_brackets(pair.answer, pair.truth) &&
             fv_slice_equal(fv_text_bare(pair.answer), fv_text_bare(pair.truth));
    fv_text_pair_fini(&pair);
    return FV_OK;
}

fv_err fv_verifier_containment(fv_slice answer, fv_slice truth, double *score)
{
    fv_text_pair pair;
    FV_TRY(fv_text_pair_init(&pair, answer, truth));
    *score = pair.truth.size > 0 && fv_slice_find(pair.answer, pair.truth) != FV_SLICE_NONE;
    fv_text_pair_fini(&pair);
    return FV_OK;
}
