#include "io/image/image_codec.h"
#include "fovea/base/file.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

fv_err fv_image_check_size(const char *name, int64_t width, int64_t height, int64_t max_pixels)
{
    FV_CHECK(width > 0 && height > 0 && width <= INT_MAX && height <= INT_MAX, FV_ERR_FORMAT,
             "%s: an image of %lld x %lld pixels does not exist", name, (long long)width, (long long)height);
    FV_CHECK(height <= max_pixels / width, FV_ERR_FORMAT,
             "%s: %lld x %lld pixels, at most %lld are taken; reduce the image", name, (long long)width,
             (long long)height, (long long)max_pixels);
    return FV_OK;
}

fv_err fv_image_init(fv_image *out, const char *name, int64_t width, int64_t height, int64_t max_pixels)
{
    *out = (fv_image){0};
    FV_TRY(fv_image_check_size(name, width, height, max_pixels));
    uint8_t *rgb = malloc((size_t)width * (size_t)height * 3);
    FV_CHECK(rgb, FV_ERR_MEMORY, "%s: no memory for %lld x %lld pixels", name, (long long)width,
             (long long)height);
    *out = (fv_image){.rgb = rgb, .width = (int)width, .height = (int)height};
    return FV_OK;
}

void fv_image_fini(fv_image *image)
{
    free(image->rgb);
    *image = (fv_image){0};
}

/* What decoders call. */

static fv_err begin_stream(fv_image_target *to)
{
    int width = to->width, height = to->height;
    FV_TRY(to->fit->size(to->fit->context, &width, &height));
    FV_TRY(fv_image_init(&to->image, to->file->name, width, height, FV_IMAGE_MAX_PIXELS));
    if (width == to->width && height == to->height)
        return FV_OK;
    return fv_resize_stream_create(to->width, to->height, to->fit->filter, &to->image, &to->stream);
}

fv_err fv_image_begin(fv_image_target *to, int64_t width, int64_t height, fv_row_order order)
{
    FV_TRY(fv_image_check_size(to->file->name, width, height, to->file->max_pixels));
    to->width = (int)width;
    to->height = (int)height;
    if (to->is_check) {
        to->row = malloc((size_t)width * 3);
        FV_CHECK(to->row, FV_ERR_MEMORY, "%s: no memory for a row of pixels", to->file->name);
        return FV_OK;
    }
    if (to->fit && order == FV_ROWS_IN_ORDER && to->orientation == 1)
        return begin_stream(to);
    return fv_image_init(&to->image, to->file->name, width, height, to->file->max_pixels);
}

uint8_t *fv_image_row(fv_image_target *to, int y)
{
    if (to->is_check)
        return to->row;
    return to->stream ? fv_resize_stream_row(to->stream) : to->image.rgb + (size_t)y * (size_t)to->width * 3;
}

void fv_image_row_done(fv_image_target *to)
{
    if (to->stream)
        fv_resize_stream_push(to->stream);
}

static uint8_t on_white(int colour, int alpha)
{
    int sum = 255 * (255 - alpha) + colour * alpha + 128;
    return (uint8_t)(((sum >> 8) + sum) >> 8);
}

void fv_image_compose(fv_alpha alpha, const uint8_t *rgba, size_t n, uint8_t *rgb)
{
    for (size_t i = 0; i < n; i++, rgba += 4, rgb += 3) {
        int opacity = alpha == FV_ALPHA_DROP ? 255 : rgba[3];
        for (int c = 0; c < 3; c++)
            rgb[c] = on_white(rgba[c], opacity);
    }
}

/* Kinds. */

static int starts(const uint8_t *data, size_t size, size_t at, const char *text)
{
    size_t n = strlen(text);
    return size >= at + n && memcmp(data + at, text, n) == 0;
}

static fv_image_decoder *decoder_of(const uint8_t *data, size_t size)
{
    if (starts(data, size, 0, "\xff\xd8\xff"))
        return fv_image_decode_jpeg;
    if (starts(data, size, 0, "\x89PNG\r\n\x1a\n"))
        return fv_image_decode_png;
    if (starts(data, size, 0, "RIFF") && starts(data, size, 8, "WEBP"))
        return fv_image_decode_webp;
    if (starts(data, size, 0, "GIF87a") || starts(data, size, 0, "GIF89a"))
        return fv_image_decode_gif;
    if (starts(data, size, 0, "BM"))
        return fv_image_decode_bmp;
    if (size >= 4 && (memcmp(data, "II*\0", 4) == 0 || memcmp(data, "MM\0*", 4) == 0))
        return fv_image_decode_tiff;
    return NULL;
}

static fv_err refuse_kind(const uint8_t *data, size_t size, const char *name)
{
    const char *kind = size > 0 ? fv_image_kind(data, size) : NULL;
    char head[8 * 3 + 1] = "";
    FV_CHECK(size > 0, FV_ERR_FORMAT, "%s is empty, expected a JPEG, PNG, WebP, GIF, BMP or TIFF image",
             name);
    FV_CHECK(!kind, FV_ERR_FORMAT, "%s is %s", name, kind);
    for (size_t i = 0; i < size && i < 8; i++)
        snprintf(head + 3 * i, 4, " %02x", data[i]);
    return FV_FAIL(FV_ERR_FORMAT,
                   "%s is not a JPEG, PNG, WebP, GIF, BMP or TIFF image (it starts with%s); convert it", name,
                   head);
}

/* Reading. */

static fv_err resize(fv_image_target *to)
{
    fv_image resized;
    int width = to->image.width, height = to->image.height;
    FV_TRY(to->fit->size(to->fit->context, &width, &height));
    if (width == to->image.width && height == to->image.height)
        return FV_OK;
    FV_TRY(fv_image_resize(&to->image, width, height, to->fit->filter, &resized));
    fv_image_fini(&to->image);
    to->image = resized;
    return FV_OK;
}

static fv_err decode(fv_image_target *to)
{
    const fv_image_file *file = to->file;
    fv_image_decoder *decoder = decoder_of(file->data, file->size);
    if (!decoder)
        return refuse_kind(file->data, file->size, file->name);
    FV_TRY(decoder(to));
    if (to->is_check || to->stream)
        return FV_OK;
    FV_TRY(fv_image_orient(&to->image, file->name, to->orientation));
    return to->fit ? resize(to) : FV_OK;
}

static fv_err run(fv_image_target *to)
{
    fv_err err = decode(to);
    fv_resize_stream_destroy(to->stream);
    free(to->row);
    if (err != FV_OK)
        fv_image_fini(&to->image);
    return err;
}

fv_err fv_image_read(const fv_image_file *file, const fv_image_fit *fit, fv_image *out)
{
    fv_image_target to = {.file = file, .fit = fit, .orientation = 1};
    fv_err err = run(&to);
    *out = to.image;
    return err;
}

fv_err fv_image_check(const fv_image_file *file, int *width, int *height)
{
    fv_image_target to = {.file = file, .is_check = 1, .orientation = 1};
    FV_TRY(run(&to));
    int is_turned = to.orientation >= 5;
    *width = is_turned ? to.height : to.width;
    *height = is_turned ? to.width : to.height;
    return FV_OK;
}

fv_err fv_image_decode(const void *data, size_t size, const char *name, int64_t max_pixels, fv_image *out)
{
    const fv_image_file file = {.data = data, .size = size, .name = name, .max_pixels = max_pixels};
    return fv_image_read(&file, NULL, out);
}

fv_err fv_image_load(const char *path, fv_image *out)
{
    *out = (fv_image){0};
    fv_file_map map;
    FV_TRY(fv_file_open_map(path, &map));
    fv_err err = fv_image_decode(map.data, map.size, path, FV_IMAGE_MAX_PIXELS, out);
    fv_file_close_map(&map);
    return err;
}
