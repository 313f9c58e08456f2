#include "io/image_codec.h"
#include "fovea/file.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

fv_err fv_image_init(fv_image *out, const char *name, int64_t width, int64_t height, int64_t max_pixels)
{
    *out = (fv_image){0};
    FV_CHECK(width > 0 && height > 0 && width <= INT_MAX && height <= INT_MAX, FV_ERR_FORMAT,
             "%s: an image of %lld x %lld pixels does not exist", name, (long long)width, (long long)height);
    FV_CHECK(height <= max_pixels / width, FV_ERR_FORMAT,
             "%s: %lld x %lld pixels, at most %lld are taken; reduce the image", name, (long long)width,
             (long long)height, (long long)max_pixels);
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

typedef fv_err decode_function(const fv_image_source *, fv_image *, int *);

static decode_function *decoder_of(const uint8_t *data, size_t size)
{
    if (size >= 3 && memcmp(data, "\xff\xd8\xff", 3) == 0)
        return fv_image_decode_jpeg;
    if (size >= 8 && memcmp(data, "\x89PNG\r\n\x1a\n", 8) == 0)
        return fv_image_decode_png;
    if (size >= 12 && memcmp(data, "RIFF", 4) == 0 && memcmp(data + 8, "WEBP", 4) == 0)
        return fv_image_decode_webp;
    return NULL;
}

static fv_err refuse_kind(const uint8_t *data, size_t size, const char *name)
{
    FV_CHECK(size > 0, FV_ERR_FORMAT, "%s is empty, expected a JPEG, PNG or WebP image", name);
    char head[8 * 3 + 1] = "";
    for (size_t i = 0; i < size && i < 8; i++)
        snprintf(head + 3 * i, 4, " %02x", data[i]);
    return FV_FAIL(FV_ERR_FORMAT, "%s is not a JPEG, PNG or WebP image (it starts with%s); convert it", name,
                   head);
}

fv_err fv_image_decode(const void *data, size_t size, const char *name, int64_t max_pixels, fv_image *out)
{
    *out = (fv_image){0};
    fv_image_source source = {.data = data, .size = size, .name = name, .max_pixels = max_pixels};
    decode_function *decode = decoder_of(data, size);
    if (!decode)
        return refuse_kind(data, size, name);
    int orientation = 1;
    fv_err err = decode(&source, out, &orientation);
    if (err == FV_OK)
        err = fv_image_orient(out, name, orientation);
    if (err != FV_OK)
        fv_image_fini(out);
    return err;
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
