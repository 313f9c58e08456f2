#include "io/image/image_codec.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

/* How a row arrives. */
typedef enum layout { RGB, RGBA, GREY16 } layout;

/* One way through the file. An interlaced image is decoded by one for each of its seven passes, side by side,
 * so that its rows come in order and never more than one is in memory; together they inflate about twice as
 * much. */
typedef struct decoder {
    png_structp png;
    png_infop info;
    const fv_image_file *source;
    size_t at; /* of the next byte to read */
    int pass;
    layout layout;
    int key;      /* of GREY16: the transparent value, or -1 */
    uint8_t *row; /* as it arrives; owned */
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

static int is_interlaced(const decoder *d)
{
    return png_get_interlace_type(d->png, d->info) != PNG_INTERLACE_NONE;
}

/* Pixels of a row of this pass, and rows of a pass. */
static size_t columns_of(const decoder *d)
{
    size_t width = png_get_image_width(d->png, d->info);
    return is_interlaced(d) ? PNG_PASS_COLS(width, d->pass) : width;
}

static size_t rows_of(const decoder *d, int pass)
{
    size_t width = png_get_image_width(d->png, d->info), height = png_get_image_height(d->png, d->info);
    return PNG_PASS_COLS(width, pass) > 0 ? PNG_PASS_ROWS(height, pass) : 0;
}

/* Steps, which leave by longjmp if the library fails. What it may leave half-done lives with the caller, not
 * in the frame that calls setjmp. */
static fv_err run_step(decoder *d, void (*step)(decoder *))
{
    if (setjmp(png_jmpbuf(d->png)) != 0)
        return d->err;
    step(d);
    return FV_OK;
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

/* Up to the first row of the pass. */
static void open_rows(decoder *d)
{
    choose_output(d);
    png_read_update_info(d->png, d->info);
    size_t width = png_get_image_width(d->png, d->info), row_bytes = png_get_rowbytes(d->png, d->info);
    size_t n_channels = d->layout == GREY16 ? 2 : d->layout == RGBA ? 4 : 3;
    if (row_bytes != n_channels * width)
        leave(d, FV_FAIL(FV_ERR_INTERNAL, "%s: a row has %zu bytes, expected %zu", d->source->name, row_bytes,
                         n_channels * width));
    d->row = malloc(row_bytes);
    if (!d->row)
        leave(d, FV_FAIL(FV_ERR_MEMORY, "%s: no memory for a row of pixels", d->source->name));
    for (int pass = 0; pass < d->pass; pass++)
        for (size_t n = rows_of(d, pass); n > 0; n--)
            png_read_row(d->png, NULL, NULL);
}

static void read_row(decoder *d)
{
    png_read_row(d->png, d->row, NULL);
}

static void read_end(decoder *d)
{
    png_read_end(d->png, d->info);
}

/* Pixels. */

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

/* A row of a pass is every so many pixels of a row of the image. line: room for a row. */
static void scatter(const decoder *d, uint8_t *line, uint8_t *rgb)
{
    size_t n = columns_of(d);
    convert(d, n, line);
    for (size_t x = 0; x < n; x++)
        memcpy(rgb + 3 * PNG_COL_FROM_PASS_COL(x, d->pass), line + 3 * x, 3);
}

/* The whole. */

typedef struct whole {
    fv_image_target *to;
    decoder passes[PNG_INTERLACE_ADAM7_PASSES]; /* the first alone if the image is not interlaced */
    uint8_t *line;                              /* owned */
} whole;

static fv_err open_pass(whole *w, int pass)
{
    decoder *d = &w->passes[pass];
    *d = (decoder){.source = w->to->file, .pass = pass};
    d->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, d, on_error, on_warning);
    d->info = d->png ? png_create_info_struct(d->png) : NULL;
    FV_CHECK(d->info, FV_ERR_MEMORY, "%s: no memory to decode the PNG", w->to->file->name);
    return run_step(d, read_header);
}

static void find_orientation(whole *w, const decoder *d)
{
    png_uint_32 size = 0;
    png_bytep exif = NULL;
    if (png_get_eXIf_1(d->png, d->info, &size, &exif))
        w->to->orientation = fv_exif_orientation(exif, size);
}

static fv_err begin(whole *w)
{
    FV_TRY(open_pass(w, 0));
    const decoder *d = &w->passes[0];
    png_uint_32 width = png_get_image_width(d->png, d->info), height = png_get_image_height(d->png, d->info);
    find_orientation(w, d);
    FV_TRY(fv_image_begin(w->to, width, height,
                          has_late_exif(w->to->file) ? FV_ROWS_IN_ANY_ORDER : FV_ROWS_IN_ORDER));
    w->line = malloc(3 * (size_t)width);
    FV_CHECK(w->line, FV_ERR_MEMORY, "%s: no memory for a row of pixels", w->to->file->name);
    return run_step(&w->passes[0], open_rows);
}

static fv_err read_plain(whole *w)
{
    decoder *d = &w->passes[0];
    for (int y = 0; y < w->to->height; y++) {
        FV_TRY(run_step(d, read_row));
        convert(d, (size_t)w->to->width, fv_image_row(w->to, y));
        fv_image_row_done(w->to);
    }
    FV_TRY(run_step(d, read_end));
    find_orientation(w, d);
    return FV_OK;
}

/* *last: the pass that comes to the end of the pixels. */
static fv_err open_passes(whole *w, decoder **last)
{
    *last = &w->passes[0];
    for (int pass = 1; pass < PNG_INTERLACE_ADAM7_PASSES; pass++) {
        if (rows_of(&w->passes[0], pass) == 0)
            continue;
        *last = &w->passes[pass];
        FV_TRY(open_pass(w, pass));
        FV_TRY(run_step(*last, open_rows));
    }
    return FV_OK;
}

static fv_err read_interlaced(whole *w)
{
    decoder *last;
    FV_TRY(open_passes(w, &last));
    for (int y = 0; y < w->to->height; y++) {
        uint8_t *rgb = fv_image_row(w->to, y);
        for (decoder *d = w->passes; d <= last; d++) {
            if (!d->png || !PNG_ROW_IN_INTERLACE_PASS(y, d->pass))
                continue;
            FV_TRY(run_step(d, read_row));
            scatter(d, w->line, rgb);
        }
        fv_image_row_done(w->to);
    }
    FV_TRY(run_step(last, read_end));
    find_orientation(w, last);
    return FV_OK;
}

fv_err fv_image_decode_png(fv_image_target *to)
{
    whole w = {.to = to};
    fv_err err = begin(&w);
    if (err == FV_OK)
        err = is_interlaced(&w.passes[0]) ? read_interlaced(&w) : read_plain(&w);
    for (int pass = 0; pass < PNG_INTERLACE_ADAM7_PASSES; pass++) {
        png_destroy_read_struct(&w.passes[pass].png, &w.passes[pass].info, NULL);
        free(w.passes[pass].row);
    }
    free(w.line);
    return err;
}
