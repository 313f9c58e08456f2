#include "io/image_codec.h"

#include <setjmp.h>
#include <string.h>

#include <png.h>

typedef struct decoder {
    png_structp png;
    png_infop info;
    const fv_image_source *source;
    size_t at; /* of the next byte to read */
    fv_image *out;
    int grey16; /* rows arrive as 16-bit grey */
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
    memcpy(bytes, d->source->data + d->at, n);
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

/* Transparency is dropped, so its chunk is not read either: with it, a palette would become RGBA. */
static void read_header(decoder *d)
{
    png_set_read_fn(d->png, d, on_read);
    png_set_keep_unknown_chunks(d->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_keep_unknown_chunks(d->png, PNG_HANDLE_CHUNK_AS_DEFAULT, (png_const_bytep) "eXIf", 1);
    png_read_info(d->png, d->info);
    png_uint_32 width = png_get_image_width(d->png, d->info), height = png_get_image_height(d->png, d->info);
    fv_err err = fv_image_init(d->out, d->source->name, width, height, d->source->max_pixels);
    if (err != FV_OK)
        leave(d, err);
    check_claim(d);
}

static void choose_output(decoder *d)
{
    int type = png_get_color_type(d->png, d->info);
    d->grey16 = type == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(d->png, d->info) == 16;
    if (d->grey16)
        return;
    if (type == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(d->png);
    if (type == PNG_COLOR_TYPE_GRAY)
        png_set_expand_gray_1_2_4_to_8(d->png);
    png_set_strip_16(d->png);
    png_set_strip_alpha(d->png);
    png_set_gray_to_rgb(d->png);
}

/* A row of 2-byte samples stands at the end of the RGB row that it becomes. */
static void clip_grey16(uint8_t *row, int width)
{
    const uint8_t *grey = row + width;
    for (int x = 0; x < width; x++)
        memset(row + 3 * x, grey[2 * x] ? 255 : grey[2 * x + 1], 3);
}

static void read_pixels(decoder *d)
{
    choose_output(d);
    int n_passes = png_set_interlace_handling(d->png);
    png_read_update_info(d->png, d->info);
    size_t row_bytes = (size_t)d->out->width * 3, filled = png_get_rowbytes(d->png, d->info);
    if (filled > row_bytes)
        leave(d, FV_FAIL(FV_ERR_INTERNAL, "%s: a row has %zu bytes, expected %zu", d->source->name, filled,
                         row_bytes));
    for (int pass = 0; pass < n_passes; pass++)
        for (size_t y = 0; y < (size_t)d->out->height; y++)
            png_read_row(d->png, d->out->rgb + y * row_bytes + (row_bytes - filled), NULL);
    for (size_t y = 0; d->grey16 && y < (size_t)d->out->height; y++)
        clip_grey16(d->out->rgb + y * row_bytes, d->out->width);
    png_read_end(d->png, d->info);
}

static int find_orientation(const decoder *d)
{
    png_uint_32 size = 0;
    png_bytep exif = NULL;
    return png_get_eXIf_1(d->png, d->info, &size, &exif) ? fv_exif_orientation(exif, size) : 1;
}

/* What longjmp may leave half-done lives with the caller, not in the frame that calls setjmp. */
static fv_err run(decoder *d, int *orientation)
{
    if (setjmp(png_jmpbuf(d->png)) != 0)
        return d->err;
    read_header(d);
    read_pixels(d);
    *orientation = find_orientation(d);
    return FV_OK;
}

fv_err fv_image_decode_png(const fv_image_source *source, fv_image *out, int *orientation)
{
    decoder d = {.source = source, .out = out, .err = FV_OK};
    d.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &d, on_error, on_warning);
    d.info = d.png ? png_create_info_struct(d.png) : NULL;
    fv_err err = d.info ? run(&d, orientation)
                        : FV_FAIL(FV_ERR_MEMORY, "%s: no memory to decode the PNG", source->name);
    png_destroy_read_struct(&d.png, &d.info, NULL);
    return err;
}
