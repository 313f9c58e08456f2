#include "io/image_codec.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

/* How a row arrives. */
typedef enum layout { RGB, RGBA, GREY16 } layout;

typedef struct decoder {
    png_structp png;
    png_infop info;
    const fv_image_file *source;
    fv_image_target *to;
    size_t at; /* of the next byte to read */
    layout layout;
    int key;       /* of GREY16: the transparent value, or -1 */
    uint8_t *row;  /* as it arrives; owned */
    uint8_t *line; /* of an interlaced image: a part of a row in RGB; owned */
    fv_err err;
} decoder;

static void on_error(png_structp png, const char *reason)
{
    decoder *d = png_get_error_ptr(png);
    if (d->err == FV_OK)
        d->err = FV_FAIL(FV_ERR_FORMAT, "%s: not a sound PNG: %s", d->source->name, reason);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, const char *reason)
{
    (void)png;
    (void)reason;
}

static void on_read(png_structp png, png_bytep bytes, size_t n)
{
    decoder *d = png_get_io_ptr(png);
    if (n > d->source->size - d->at) {
        d->err = FV_FAIL(FV_ERR_FORMAT, "%s: the PNG ends too early, after %zu bytes", d->source->name,
                         d->source->size);
        png_longjmp(png, 1);
    }
    memcpy(bytes, (const uint8_t *)d->source->data + d->at, n);
    d->at += n;
}

static void leave(decoder *d, fv_err err)
{
    d->err = err;
    png_longjmp(d->png, 1);
}

/* Deflate cannot pack more than 1032 bytes into one: a larger claim is a lie that would only cost memory. */
static void check_claim(decoder *d)
{
    size_t row = png_get_rowbytes(d->png, d->info), height = png_get_image_height(d->png, d->info);
    if (row * height / 1032 > d->source->size)
        leave(d, FV_FAIL(FV_ERR_FORMAT, "%s: %u x %zu pixels cannot come from a PNG of %zu bytes",
                         d->source->name, png_get_image_width(d->png, d->info), height, d->source->size));
}

/* Whether the orientation stands behind the pixels: chunks are a length, a name, data and a checksum. */
static int has_late_exif(const fv_image_file *source)
{
    const uint8_t *data = source->data;
    int is_late = 0;
    for (size_t at = 8; source->size - at >= 12;) {
        size_t n = png_get_uint_32(data + at), left = source->size - at - 12;
        is_late |= memcmp(data + at + 4, "IDAT", 4) == 0;
        if (is_late && memcmp(data + at + 4, "eXIf", 4) == 0)
            return 1;
        if (n > left)
            return 0;
        at += n + 12;
    }
    return 0;
}

static void find_orientation(decoder *d)
{
    png_uint_32 size = 0;
    png_bytep exif = NULL;
    if (png_get_eXIf_1(d->png, d->info, &size, &exif))
        d->to->orientation = fv_exif_orientation(exif, size);
}

static int is_interlaced(const decoder *d)
{
    return png_get_interlace_type(d->png, d->info) != PNG_INTERLACE_NONE;
}

static void read_header(decoder *d)
{
    png_set_read_fn(d->png, d, on_read);
    png_set_keep_unknown_chunks(d->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_keep_unknown_chunks(d->png, PNG_HANDLE_CHUNK_AS_DEFAULT, (png_const_bytep) "eXIf", 1);
    png_read_info(d->png, d->info);
    png_uint_32 width = png_get_image_width(d->png, d->info), height = png_get_image_height(d->png, d->info);
    fv_err err = fv_image_check_size(d->source->name, width, height, d->source->max_pixels);
    if (err != FV_OK)
        leave(d, err);
    check_claim(d);
    find_orientation(d);
    int is_ordered = !is_interlaced(d) && !has_late_exif(d->source);
    err = fv_image_begin(d->to, width, height, is_ordered ? FV_ROWS_IN_ORDER : FV_ROWS_IN_ANY_ORDER);
    if (err != FV_OK)
        leave(d, err);
}

static void find_key(decoder *d)
{
    png_color_16p colour = NULL;
    d->key = -1;
    if (d->source->alpha == FV_ALPHA_WHITE && png_get_tRNS(d->png, d->info, NULL, NULL, &colour) && colour)
        d->key = colour->gray;
}

static void choose_output(decoder *d)
{
    int type = png_get_color_type(d->png, d->info);
    int has_alpha = (type & PNG_COLOR_MASK_ALPHA) || png_get_valid(d->png, d->info, PNG_INFO_tRNS);
    if (type == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(d->png, d->info) == 16) {
        d->layout = GREY16;
        find_key(d);
        return;
    }
    png_set_expand(d->png); /* palettes, small samples, transparent colours */
    png_set_strip_16(d->png);
    png_set_gray_to_rgb(d->png);
    d->layout = has_alpha ? RGBA : RGB;
}

/* n pixels of two bytes. */
static void clip_grey16(const uint8_t *grey, int key, size_t n, uint8_t *rgb)
{
    for (size_t i = 0; i < n; i++, grey += 2, rgb += 3) {
        int value = grey[0] << 8 | grey[1];
        memset(rgb, value == key || grey[0] ? 255 : grey[1], 3);
    }
}

static void convert(const decoder *d, size_t n, uint8_t *rgb)
{
    if (d->layout == RGBA)
        fv_image_compose(d->source->alpha, d->row, n, rgb);
    else if (d->layout == GREY16)
        clip_grey16(d->row, d->key, n, rgb);
    else
        memcpy(rgb, d->row, 3 * n);
}

static void open_rows(decoder *d)
{
    choose_output(d);
    png_read_update_info(d->png, d->info);
    size_t width = (size_t)d->to->width, n_channels = d->layout == GREY16 ? 2 : d->layout == RGBA ? 4 : 3;
    size_t row_bytes = png_get_rowbytes(d->png, d->info);
    if (row_bytes != n_channels * width)
        leave(d, FV_FAIL(FV_ERR_INTERNAL, "%s: a row has %zu bytes, expected %zu", d->source->name, row_bytes,
                         n_channels * width));
    d->row = malloc(row_bytes);
    d->line = malloc(3 * width);
    if (!d->row || !d->line)
        leave(d, FV_FAIL(FV_ERR_MEMORY, "%s: no memory for a row of pixels", d->source->name));
}

/* Row y of a pass of an interlaced image: every so many pixels of a row. */
static void scatter(decoder *d, int pass, size_t y)
{
    size_t n = PNG_PASS_COLS((size_t)d->to->width, pass);
    uint8_t *rgb = fv_image_row(d->to, (int)PNG_ROW_FROM_PASS_ROW(y, pass));
    convert(d, n, d->line);
    for (size_t x = 0; x < n; x++)
        memcpy(rgb + 3 * PNG_COL_FROM_PASS_COL(x, pass), d->line + 3 * x, 3);
}

/* Pass by pass: so never more than a row is in the depth of the file. */
static void read_interlaced(decoder *d)
{
    size_t width = (size_t)d->to->width, height = (size_t)d->to->height;
    for (int pass = 0; pass < PNG_INTERLACE_ADAM7_PASSES; pass++)
        for (size_t y = 0; PNG_PASS_COLS(width, pass) > 0 && y < PNG_PASS_ROWS(height, pass); y++) {
            png_read_row(d->png, d->row, NULL);
            scatter(d, pass, y);
        }
}

static void read_pixels(decoder *d)
{
    open_rows(d);
    if (is_interlaced(d)) {
        read_interlaced(d);
    } else {
        for (int y = 0; y < d->to->height; y++) {
            png_read_row(d->png, d->row, NULL);
            convert(d, (size_t)d->to->width, fv_image_row(d->to, y));
            fv_image_row_done(d->to);
        }
    }
    png_read_end(d->png, d->info);
    find_orientation(d);
}

/* What longjmp may leave half-done lives with the caller, not in the frame that calls setjmp. */
static fv_err run(decoder *d)
{
    if (setjmp(png_jmpbuf(d->png)) != 0)
        return d->err;
    read_header(d);
    read_pixels(d);
    return FV_OK;
}

fv_err fv_image_decode_png(fv_image_target *to)
{
    decoder d = {.source = to->file, .to = to};
    d.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &d, on_error, on_warning);
    d.info = d.png ? png_create_info_struct(d.png) : NULL;
    fv_err err = d.info ? run(&d) : FV_FAIL(FV_ERR_MEMORY, "%s: no memory to decode the PNG", to->file->name);
    png_destroy_read_struct(&d.png, &d.info, NULL);
    free(d.row);
    free(d.line);
    return err;
}
