/* BMP, as Windows and OS/2 write it. Source: the documentation of BITMAPINFOHEADER and its successors. */
#include "io/image/image_codec.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_HEADER = 14, CORE_HEADER = 12, INFO_HEADER = 40, MASKS_AT = FILE_HEADER + INFO_HEADER };
typedef enum compression { PLAIN = 0, RLE8 = 1, RLE4 = 2, BIT_FIELDS = 3, ALPHA_BIT_FIELDS = 6 } compression;

typedef struct decoder {
    fv_image_target *to;
    const uint8_t *data;
    size_t size;
    uint32_t header; /* bytes of the second header, from FILE_HEADER on */
    int64_t width, height;
    int is_top_down, bits;
    uint32_t compression;
    uint32_t masks[4];      /* red, green, blue, alpha, of 16 and 32 bits */
    const uint8_t *palette; /* blue, green, red, of n_colours */
    size_t n_colours, colour_bytes;
    size_t pixels;    /* where they start */
    uint8_t *indices; /* of RLE: (height, width) from the bottom up; owned */
} decoder;

static uint32_t number(const decoder *d, size_t at, int n_bytes)
{
    uint32_t value = 0;
    while (n_bytes-- > 0)
        value = value << 8 | d->data[at + (size_t)n_bytes];
    return value;
}

static fv_err too_short(const decoder *d)
{
    return FV_FAIL(FV_ERR_FORMAT, "%s: the BMP ends too early, after %zu bytes", d->to->file->name, d->size);
}

/* Header. */

static fv_err read_sizes(decoder *d)
{
    if (d->size < FILE_HEADER + CORE_HEADER)
        return too_short(d);
    d->header = number(d, 14, 4);
    d->pixels = number(d, 10, 4);
    FV_CHECK(d->header == CORE_HEADER || (d->header >= INFO_HEADER && d->header <= 256), FV_ERR_FORMAT,
             "%s: not a BMP: its header says %u bytes, expected 12 or 40 to 256", d->to->file->name,
             d->header);
    if (d->size < FILE_HEADER + d->header)
        return too_short(d);
    if (d->header == CORE_HEADER) {
        d->width = number(d, 18, 2);
        d->height = number(d, 20, 2);
        d->bits = (int)number(d, 24, 2);
        return FV_OK;
    }
    int32_t height = (int32_t)number(d, 22, 4);
    d->width = (int32_t)number(d, 18, 4);
    d->is_top_down = height < 0;
    d->height = height < 0 ? -(int64_t)height : height;
    d->bits = (int)number(d, 28, 2);
    d->compression = number(d, 30, 4);
    return FV_OK;
}

static fv_err check_coding(const decoder *d)
{
    int has_masks = d->compression == BIT_FIELDS || d->compression == ALPHA_BIT_FIELDS;
    int is_known =
        d->bits == 1 || d->bits == 4 || d->bits == 8 || d->bits == 16 || d->bits == 24 || d->bits == 32;
    int fits = d->compression == PLAIN || (d->compression == RLE8 && d->bits == 8) ||
               (d->compression == RLE4 && d->bits == 4) || (has_masks && (d->bits == 16 || d->bits == 32));
    FV_CHECK(is_known && fits, FV_ERR_FORMAT,
             "%s: a BMP of %d bits a pixel with compression %u is not supported; convert it to PNG",
             d->to->file->name, d->bits, d->compression);
    return FV_OK;
}

static fv_err read_masks(decoder *d)
{
    int n = d->compression == ALPHA_BIT_FIELDS || (d->compression == BIT_FIELDS && d->header >= 56) ? 4
            : d->compression == BIT_FIELDS                                                          ? 3
                                                                                                    : 0;
    static const uint32_t plain16[] = {0x7c00, 0x03e0, 0x001f, 0}, plain32[] = {0xff0000, 0xff00, 0xff, 0};
    memcpy(d->masks, d->bits == 16 ? plain16 : plain32, sizeof d->masks);
    if (d->size < (size_t)(MASKS_AT + 4 * n))
        return n ? too_short(d) : FV_OK;
    for (int c = 0; c < n; c++)
        d->masks[c] = number(d, (size_t)(MASKS_AT + 4 * c), 4);
    return FV_OK;
}

static fv_err read_palette(decoder *d)
{
    size_t at = FILE_HEADER + d->header;
    if (d->bits > 8)
        return FV_OK;
    uint32_t used = d->header >= INFO_HEADER ? number(d, 46, 4) : 0, all = 1u << d->bits;
    d->n_colours = used > 0 && used < all ? used : all;
    d->colour_bytes = d->header == CORE_HEADER ? 3 : 4;
    d->palette = d->data + at;
    if (d->size - at < d->n_colours * d->colour_bytes)
        return too_short(d);
    return FV_OK;
}

static size_t row_bytes(const decoder *d)
{
    return ((size_t)d->width * (size_t)d->bits + 31) / 32 * 4;
}

static fv_err read_header(decoder *d)
{
    FV_TRY(read_sizes(d));
    FV_TRY(fv_image_check_size(d->to->file->name, d->width, d->height, d->to->file->max_pixels));
    FV_TRY(check_coding(d));
    FV_TRY(read_masks(d));
    FV_TRY(read_palette(d));
    int is_coded = d->compression == RLE8 || d->compression == RLE4;
    size_t left = d->pixels <= d->size ? d->size - d->pixels : 0;
    if (left == 0 || (!is_coded && left / row_bytes(d) < (size_t)d->height))
        return too_short(d);
    return FV_OK;
}

/* Run lengths. */

typedef struct place {
    int64_t x, y; /* y from the bottom */
} place;

static void put(decoder *d, place *at, int index)
{
    if (at->x < d->width && at->y < d->height)
        d->indices[at->y * d->width + at->x] = (uint8_t)index;
    at->x++;
}

/* Number i of the indices in bytes that hold one each, or two. */
static int index_at(const decoder *d, const uint8_t *bytes, size_t i)
{
    if (d->compression == RLE8)
        return bytes[i];
    return i % 2 ? bytes[i / 2] & 15 : bytes[i / 2] >> 4;
}

/* What follows a 0: the end of a row (0), of the image (1), a jump (2), or so many indices as they are. Bytes
 * used, or 0 if they are not all there. */
static size_t escape(decoder *d, const uint8_t *data, size_t left, place *at)
{
    size_t n = data[1], bytes = d->compression == RLE8 ? n : (n + 1) / 2;
    bytes = 2 + (bytes + 1) / 2 * 2;
    if (n == 2 && left >= 4) {
        at->x += data[2];
        at->y += data[3];
        return 4;
    }
    if (n == 0) {
        *at = (place){0, at->y + 1};
        return 2;
    }
    if (n == 2 || left < bytes)
        return 0;
    for (size_t i = 0; i < n; i++)
        put(d, at, index_at(d, data + 2, i));
    return bytes;
}

static fv_err decode_runs(decoder *d)
{
    place at = {0, 0};
    d->indices = calloc((size_t)d->height, (size_t)d->width);
    FV_CHECK(d->indices, FV_ERR_MEMORY, "%s: no memory for %lld x %lld pixels", d->to->file->name,
             (long long)d->width, (long long)d->height);
    for (size_t used, from = d->pixels; d->size - from >= 2; from += used) {
        const uint8_t *data = d->data + from;
        if (data[0] == 0 && data[1] == 1)
            return FV_OK;
        used = data[0] ? 2 : escape(d, data, d->size - from, &at);
        if (used == 0)
            break;
        for (size_t i = 0; i < data[0]; i++)
            put(d, &at, index_at(d, (const uint8_t[]){data[1], data[1]}, d->compression == RLE8 ? 0 : i % 2));
    }
    return too_short(d);
}

/* Rows. */

static void look_up(const decoder *d, size_t index, uint8_t *rgb)
{
    if (index >= d->n_colours) {
        memset(rgb, 0, 3);
        return;
    }
    const uint8_t *colour = d->palette + index * d->colour_bytes;
    for (int c = 0; c < 3; c++)
        rgb[c] = colour[2 - c];
}

/* The bits of a mask, as a byte. */
static uint8_t field(uint32_t pixel, uint32_t mask)
{
    if (mask == 0)
        return 0;
    int shift = __builtin_ctz(mask);
    return (uint8_t)((uint64_t)((pixel & mask) >> shift) * 255 / (mask >> shift));
}

static void convert_masked(const decoder *d, const uint8_t *from, uint8_t *rgb)
{
    size_t n_bytes = (size_t)d->bits / 8;
    for (int64_t x = 0; x < d->width; x++, rgb += 3) {
        uint32_t pixel = number(d, (size_t)(from - d->data) + (size_t)x * n_bytes, (int)n_bytes);
        uint8_t rgba[4];
        for (int c = 0; c < 4; c++)
            rgba[c] = field(pixel, d->masks[c]);
        if (d->masks[3] == 0)
            rgba[3] = 255;
        fv_image_compose(d->to->file->alpha, rgba, 1, rgb);
    }
}

static void convert_row(const decoder *d, const uint8_t *from, uint8_t *rgb)
{
    int bits = d->indices ? 8 : d->bits, mask = (1 << (bits < 8 ? bits : 8)) - 1;
    for (int64_t x = 0; x < d->width && bits <= 8; x++) {
        int64_t bit = x * bits;
        look_up(d, (size_t)(from[bit / 8] >> (8 - bits - bit % 8) & mask), rgb + 3 * x);
    }
    for (int64_t x = 0; x < d->width && bits == 24; x++)
        for (int c = 0; c < 3; c++)
            rgb[3 * x + c] = from[3 * x + 2 - c];
    if (bits == 16 || bits == 32)
        convert_masked(d, from, rgb);
}

static void give_rows(const decoder *d)
{
    const uint8_t *first = d->indices ? d->indices : d->data + d->pixels;
    size_t stride = d->indices ? (size_t)d->width : row_bytes(d);
    for (int64_t y = 0; y < d->height; y++) {
        int64_t stored = d->is_top_down ? y : d->height - 1 - y;
        convert_row(d, first + (size_t)stored * stride, fv_image_row(d->to, (int)y));
        fv_image_row_done(d->to);
    }
}

fv_err fv_image_decode_bmp(fv_image_target *to)
{
    decoder d = {.to = to, .data = to->file->data, .size = to->file->size};
    FV_TRY(read_header(&d));
    FV_TRY(fv_image_begin(to, d.width, d.height, FV_ROWS_IN_ORDER));
    fv_err err = d.compression == RLE8 || d.compression == RLE4 ? decode_runs(&d) : FV_OK;
    if (err == FV_OK)
        give_rows(&d);
    free(d.indices);
    return err;
}
