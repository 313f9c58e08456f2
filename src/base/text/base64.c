#include "fovea/base/text/base64.h"

#include <stdint.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int value_of(char c)
{
    const char *found = c ? strchr(alphabet, c) : NULL;
    return found ? (int)(found - alphabet) : -1;
}

/* Four characters, the last n_padding of them '=', become 3 - n_padding bytes. */
static fv_err decode_group(const char *text, size_t at, int n_padding, char bytes[3])
{
    uint32_t bits = 0;
    for (int i = 0; i < 4 - n_padding; i++) {
        int value = value_of(text[at + (size_t)i]);
        FV_CHECK(value >= 0, FV_ERR_FORMAT, "character %zu is not of base64", at + (size_t)i + 1);
        bits |= (uint32_t)value << (18 - 6 * i);
    }
    for (int i = 0; i < 3; i++)
        bytes[i] = (char)(bits >> (16 - 8 * i));
    FV_CHECK((bits & ((1u << 8 * n_padding) - 1)) == 0, FV_ERR_FORMAT, "the base64 ends with half a byte");
    return FV_OK;
}

fv_err fv_base64_decode(const char *text, size_t size, fv_buffer *out)
{
    FV_CHECK(size % 4 == 0, FV_ERR_FORMAT, "%zu characters of base64, expected a multiple of four", size);
    FV_TRY(fv_buffer_reserve(out, size / 4 * 3));
    for (size_t at = 0; at < size; at += 4) {
        char bytes[3];
        int is_last = at + 4 == size;
        int n_padding = !is_last || text[at + 3] != '=' ? 0 : text[at + 2] != '=' ? 1 : 2;
        FV_TRY(decode_group(text, at, n_padding, bytes));
        FV_TRY(fv_buffer_append(out, bytes, (size_t)(3 - n_padding)));
    }
    return FV_OK;
}
