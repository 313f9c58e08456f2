/* Character classes and normalization form C. */
#include "fovea/base/text/utf8.h"
#include "model/tokenizer/tokenizer_internal.h"

#include <stdlib.h>
#include <utf8proc.h>

typedef struct range {
    uint32_t first, last;
} range;

static int in_ranges(uint32_t code, const range *ranges, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (code >= ranges[i].first && code <= ranges[i].last)
            return 1;
    return 0;
}
#define IN(code, ranges) in_ranges((code), (ranges), sizeof(ranges) / sizeof(ranges)[0])

/* Letters and numbers that Unicode 15.1 and 16 added. The reference knows them; the system's utf8proc may be
 * older, and ids must not depend on its age. */
static const range new_letters[] = {
    {0x1C89, 0x1C8A},   {0xA7CB, 0xA7CD},   {0xA7DA, 0xA7DC},   {0x105C0, 0x105F3}, {0x10D4A, 0x10D65},
    {0x10D6F, 0x10D85}, {0x10EC2, 0x10EC4}, {0x11380, 0x11389}, {0x1138B, 0x1138B}, {0x1138E, 0x1138E},
    {0x11390, 0x113B5}, {0x113B7, 0x113B7}, {0x113D1, 0x113D1}, {0x113D3, 0x113D3}, {0x11BC0, 0x11BE0},
    {0x13460, 0x143FA}, {0x16100, 0x1611D}, {0x16D40, 0x16D6C}, {0x18CFF, 0x18CFF}, {0x1E5D0, 0x1E5ED},
    {0x1E5F0, 0x1E5F0}, {0x2EBF0, 0x2EE5D}};
static const range new_numbers[] = {{0x10D40, 0x10D49}, {0x116D0, 0x116E3}, {0x11BF0, 0x11BF9},
                                    {0x16130, 0x16139}, {0x16D70, 0x16D79}, {0x1CCF0, 0x1CCF9},
                                    {0x1E5F1, 0x1E5FA}};

/* White_Space beyond ASCII. */
static const range spaces[] = {{0x85, 0x85},     {0xA0, 0xA0},     {0x1680, 0x1680}, {0x2000, 0x200A},
                               {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}};

fv_char_class fv_char_classify(uint32_t code)
{
    if (code == '\n' || code == '\r')
        return FV_CHAR_NEWLINE;
    if ((code >= 9 && code <= 12) || code == ' ' || (code >= 0x80 && IN(code, spaces)))
        return FV_CHAR_SPACE;
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code);
    if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO)
        return FV_CHAR_LETTER;
    if (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO)
        return FV_CHAR_NUMBER;
    if (category != UTF8PROC_CATEGORY_CN)
        return FV_CHAR_OTHER;
    return IN(code, new_letters) ? FV_CHAR_LETTER : IN(code, new_numbers) ? FV_CHAR_NUMBER : FV_CHAR_OTHER;
}

int fv_char_is_word(uint32_t code)
{
    /* Circled and squared letters are alphabetic by property, not by category. */
    static const range alphabetic[] = {
        {0x200C, 0x200D}, {0x24B6, 0x24E9}, {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189}};
    if (fv_char_classify(code) == FV_CHAR_LETTER)
        return 1;
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code);
    return (category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_NL) ||
           category == UTF8PROC_CATEGORY_PC || IN(code, alphabetic);
}

/* The reference normalizes as Unicode 9 did: marks that are newer stay where they are. */
static const range newer_marks[] = {
    {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},     {0xC3C, 0xC3C},
    {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},   {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},
    {0xA82C, 0xA82C},   {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50},
    {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x1145E, 0x1145E}, {0x11839, 0x1183A},
    {0x11930, 0x11930}, {0x11938, 0x11938}, {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0},
    {0x11A34, 0x11A34}, {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45},
    {0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x16FF0, 0x16FF1}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136},
    {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF}};

/* Code points that normalization leaves alone and that never join the one before: text made of them is in
 * form C. Most text is, so this spares it the slow way. U+11A7 is the empty final of Hangul, which utf8proc
 * would swallow behind a syllable. */
static int is_settled(uint32_t code)
{
    static const range settled[] = {{0x11A7, 0x11A7}, {0x400, 0x482},    {0x4E00, 0x9FFF}, {0x3001, 0x3029},
                                    {0x3041, 0x3096}, {0x30A1, 0x30FF},  {0xAC00, 0xD7A3}, {0x2010, 0x2027},
                                    {0xFF01, 0xFF60}, {0x1F300, 0x1FAFF}};
    return code < 0x300 || IN(code, settled) || IN(code, newer_marks);
}

typedef struct points {
    utf8proc_int32_t *data; /* owned */
    size_t n, capacity;
} points;

static int combining_class(utf8proc_int32_t code)
{
    int class = (int)utf8proc_get_property(code)->combining_class;
    return class && IN((uint32_t)code, newer_marks) ? 0 : class;
}

/* Append the full canonical decomposition of a code point. */
static fv_err decompose(points *p, uint32_t code)
{
    enum { LONGEST = 32 }; /* no canonical decomposition has more than 4 */
    if (p->capacity - p->n < LONGEST) {
        size_t capacity = p->capacity * 2 + LONGEST;
        utf8proc_int32_t *data = realloc(p->data, capacity * sizeof *data);
        FV_CHECK(data, FV_ERR_MEMORY, "cannot allocate %zu code points to normalize", capacity);
        p->data = data;
        p->capacity = capacity;
    }
    int state = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)code, p->data + p->n, LONGEST,
                                                 UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, &state);
    FV_CHECK(n >= 0 && n <= LONGEST, FV_ERR_INTERNAL, "cannot decompose U+%04X: %s", code,
             utf8proc_errmsg(n));
    p->n += (size_t)n;
    return FV_OK;
}

/* Sort marks by combining class, keeping the order of equals. Counting, as a run may be megabytes long. */
static fv_err sort_long_run(utf8proc_int32_t *marks, size_t n)
{
    size_t start[257] = {0};
    utf8proc_int32_t *copy = malloc(n * sizeof *copy);
    FV_CHECK(copy, FV_ERR_MEMORY, "cannot allocate %zu code points to normalize", n);
    for (size_t i = 0; i < n; i++) {
        copy[i] = marks[i];
        start[combining_class(marks[i]) + 1]++;
    }
    for (int c = 0; c < 256; c++)
        start[c + 1] += start[c];
    for (size_t i = 0; i < n; i++)
        marks[start[combining_class(copy[i])]++] = copy[i];
    free(copy);
    return FV_OK;
}

static fv_err sort_run(utf8proc_int32_t *marks, size_t n)
{
    enum { LONG_RUN = 32 };
    if (n > LONG_RUN)
        return sort_long_run(marks, n);
    for (size_t i = 1; i < n; i++) {
        utf8proc_int32_t mark = marks[i];
        size_t j = i;
        for (; j > 0 && combining_class(marks[j - 1]) > combining_class(mark); j--)
            marks[j] = marks[j - 1];
        marks[j] = mark;
    }
    return FV_OK;
}

static fv_err order_marks(points *p)
{
    for (size_t i = 0; i < p->n;) {
        size_t end = i;
        while (end < p->n && combining_class(p->data[end]) != 0)
            end++;
        if (end - i > 1)
            FV_TRY(sort_run(p->data + i, end - i));
        i = end + 1;
    }
    return FV_OK;
}

/* utf8proc's own whole-string functions order marks in quadratic time, so only its parts are used. */
static fv_err normalize(points *p, const char *text, size_t size, fv_buffer *out)
{
    p->n = 0;
    for (size_t at = 0; at < size;) {
        uint32_t code = 0;
        at += (size_t)fv_utf8_decode(text + at, size - at, &code);
        FV_TRY(decompose(p, code));
    }
    FV_TRY(order_marks(p));
    utf8proc_ssize_t n =
        utf8proc_normalize_utf32(p->data, (utf8proc_ssize_t)p->n, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    FV_CHECK(n >= 0, FV_ERR_INTERNAL, "cannot normalize: %s", utf8proc_errmsg(n));
    FV_TRY(fv_buffer_reserve(out, (size_t)n * 4));
    for (utf8proc_ssize_t i = 0; i < n; i++)
        out->size += (size_t)fv_utf8_encode((uint32_t)p->data[i], out->data + out->size);
    out->data[out->size] = '\0';
    return FV_OK;
}

/* The end of the settled text that starts at `at`, but for its last code point if more follows it: a mark may
 * join that one. */
static size_t settled_end(const char *text, size_t size, size_t at)
{
    size_t last = at;
    while (at < size) {
        uint32_t code = (uint8_t)text[at];
        int length = code < 0x80 ? 1 : fv_utf8_decode(text + at, size - at, &code);
        if (!is_settled(code))
            return last;
        last = at;
        at += (size_t)length;
    }
    return at;
}

/* The end of the text from `at` on that must be normalized as one: up to the next settled code point. */
static size_t unsettled_end(const char *text, size_t size, size_t at)
{
    for (int first = 1; at < size; first = 0) {
        uint32_t code = 0;
        int length = fv_utf8_decode(text + at, size - at, &code);
        if (!first && is_settled(code))
            break;
        at += (size_t)length;
    }
    return at;
}

fv_err fv_nfc_append(fv_buffer *out, const char *text, size_t size)
{
    points p = {0};
    fv_err err = FV_OK;
    FV_TRY_DONE(fv_buffer_reserve(out, size));
    for (size_t at = 0; at < size;) {
        size_t end = settled_end(text, size, at);
        FV_TRY_DONE(fv_buffer_append(out, text + at, end - at));
        at = end;
        end = unsettled_end(text, size, at);
        FV_TRY_DONE(normalize(&p, text + at, end - at, out));
        at = end;
    }
done:
    free(p.data);
    return err;
}
