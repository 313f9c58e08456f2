/* Texts as Python's str methods see them, in which the published scorers are written. */
#include "eval/scorer/scorer_internal.h"

#include "fovea/base/text/utf8.h"

#include <utf8proc.h>

static int is_space(uint32_t code)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code);
    return (code >= '\t' && code <= '\r') || (code >= 0x1C && code <= ' ') || code == 0x85 ||
           category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
           category == UTF8PROC_CATEGORY_ZP;
}

fv_err fv_scorer_lower(fv_slice text, fv_buffer *out)
{
    fv_buffer valid = {0};
    fv_err err = fv_buffer_append_valid(&valid, text.data, text.size);
    for (size_t at = 0; at < valid.size && err == FV_OK;) {
        uint32_t code;
        char bytes[4];
        at += (size_t)fv_utf8_decode(valid.data + at, valid.size - at, &code);
        code = (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
        err = fv_buffer_append(out, bytes, (size_t)fv_utf8_encode(code, bytes));
    }
    fv_buffer_fini(&valid);
    return err;
}

static size_t start_of_last(fv_slice valid)
{
    size_t at = valid.size - 1;
    while (at > 0 && (valid.data[at] & 0xC0) == 0x80)
        at--;
    return at;
}

fv_slice fv_scorer_strip(fv_slice valid)
{
    uint32_t code;
    while (valid.size > 0) {
        int n = fv_utf8_decode(valid.data, valid.size, &code);
        if (!is_space(code))
            break;
        valid = fv_slice_cut(valid, (size_t)n, valid.size);
    }
    while (valid.size > 0) {
        size_t at = start_of_last(valid);
        fv_utf8_decode(valid.data + at, valid.size - at, &code);
        if (!is_space(code))
            break;
        valid.size = at;
    }
    return valid;
}

size_t fv_scorer_length(fv_slice valid)
{
    size_t n = 0;
    for (size_t i = 0; i < valid.size; i++)
        n += (valid.data[i] & 0xC0) != 0x80;
    return n;
}

fv_err fv_scorer_collapse(fv_slice valid, fv_buffer *out)
{
    int has_gap = 0;
    valid = fv_scorer_strip(valid);
    for (size_t at = 0; at < valid.size;) {
        uint32_t code;
        int n = fv_utf8_decode(valid.data + at, valid.size - at, &code);
        if (!is_space(code)) {
            if (has_gap)
                FV_TRY(fv_buffer_append(out, " ", 1));
            FV_TRY(fv_buffer_append(out, valid.data + at, (size_t)n));
        }
        has_gap = is_space(code);
        at += (size_t)n;
    }
    return FV_OK;
}

fv_err fv_scorer_same(fv_slice a, fv_slice b, int *is_same)
{
    fv_buffer x = {0}, y = {0};
    fv_err err = fv_scorer_lower(a, &x);
    if (err == FV_OK)
        err = fv_scorer_lower(b, &y);
    *is_same = err == FV_OK && fv_slice_equal((fv_slice){x.data, x.size}, (fv_slice){y.data, y.size});
    fv_buffer_fini(&x);
    fv_buffer_fini(&y);
    return err;
}
