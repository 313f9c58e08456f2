#include "io/json_mend.h"

#include "fovea/base/text/slice.h"
#include "fovea/base/text/utf8.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DIGITS = 18 }; /* of an integer of 64 bits */

/* A text, and how much of it is done with. */
typedef struct mending {
    const char *text;
    size_t size, at;
    fv_buffer *out;
} mending;

static fv_err copy_bytes(mending *m, size_t n)
{
    m->at += n;
    return fv_buffer_append(m->out, m->text + m->at - n, n);
}

static fv_err put(mending *m, size_t n, const char *instead)
{
    m->at += n;
    return fv_buffer_append(m->out, instead, strlen(instead));
}

/* Strings. */

/* The number of an escape \uXXXX; -1: there is none. */
static int unit_at(const mending *m, size_t at)
{
    char digits[5] = "";
    if (at + 6 > m->size || m->text[at] != '\\' || m->text[at + 1] != 'u')
        return -1;
    memcpy(digits, m->text + at + 2, 4);
    return strspn(digits, "0123456789abcdefABCDEF") == 4 ? (int)strtol(digits, NULL, 16) : -1;
}

static fv_err mend_escape(mending *m)
{
    int first = unit_at(m, m->at), second = unit_at(m, m->at + 6);
    if ((first & ~0x3FF) == 0xD800 && (second & ~0x3FF) == 0xDC00)
        return copy_bytes(m, 12);
    if ((first & ~0x7FF) == 0xD800)
        return put(m, 6, "\\uFFFD");
    return copy_bytes(m, m->at + 2 > m->size ? 1 : 2);
}

static fv_err mend_control(mending *m)
{
    FV_TRY(fv_buffer_print(m->out, "\\u%04X", m->text[m->at]));
    return put(m, 1, "");
}

/* With both quotes, if the second is there. */
static fv_err mend_string(mending *m)
{
    FV_TRY(copy_bytes(m, 1));
    while (m->at < m->size) {
        const char *from = m->text + m->at;
        size_t n = 0, left = m->size - m->at;
        while (n < left && from[n] != '"' && from[n] != '\\' && (unsigned char)from[n] >= 0x20)
            n++;
        FV_TRY(copy_bytes(m, n));
        if (n == left)
            return FV_OK;
        if (from[n] == '"')
            return copy_bytes(m, 1);
        FV_TRY(from[n] == '\\' ? mend_escape(m) : mend_control(m));
    }
    return FV_OK;
}

/* Between strings. */

static int is_of_word(char c)
{
    return isalnum((unsigned char)c) || (c != '\0' && strchr("+-._", c));
}

static int is_sound(fv_slice word)
{
    char number[64];
    if (fv_slice_equal(word, fv_slice_of("true")) || fv_slice_equal(word, fv_slice_of("false")) ||
        fv_slice_equal(word, fv_slice_of("null")))
        return 1;
    if (word.size >= sizeof number)
        return 0;
    memcpy(number, word.data, word.size);
    number[word.size] = '\0';
    if (strspn(number, "+-0123456789") == word.size)
        return word.size <= MAX_DIGITS;
    return strspn(number, "+-.eE0123456789") == word.size && isfinite(strtod(number, NULL));
}

static fv_err mend_word(mending *m)
{
    const char *from = m->text + m->at;
    size_t n = 0;
    while (m->at + n < m->size && is_of_word(from[n]))
        n++;
    return is_sound((fv_slice){from, n}) ? copy_bytes(m, n) : put(m, n, "null");
}

static fv_err mend_all(mending *m)
{
    while (m->at < m->size) {
        char c = m->text[m->at];
        FV_TRY(c == '"' ? mend_string(m) : is_of_word(c) ? mend_word(m) : copy_bytes(m, 1));
    }
    return FV_OK;
}

fv_err fv_json_mend(const char *text, size_t size, fv_buffer *out)
{
    const fv_slice mark = {"\xEF\xBB\xBF", 3};
    fv_buffer valid = {0};
    fv_slice whole = {text, size};
    if (fv_slice_starts(whole, mark))
        whole = fv_slice_cut(whole, mark.size, size);
    fv_err err = fv_buffer_append_valid(&valid, whole.data, whole.size);
    if (err == FV_OK)
        err = mend_all(&(mending){.text = valid.data, .size = valid.size, .out = out});
    fv_buffer_fini(&valid);
    return err;
}
