#include "fovea/image.h"

#include <png.h>

fv_err fv_image_encode_png(const fv_image *image, fv_buffer *out)
{
    png_image png = {.version = PNG_IMAGE_VERSION,
                     .width = (png_uint_32)image->width,
                     .height = (png_uint_32)image->height,
                     .format = PNG_FORMAT_RGB,
                     .flags = PNG_IMAGE_FLAG_FAST};
    png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(png);
    FV_TRY(fv_buffer_reserve(out, bytes));
    int is_written = png_image_write_to_memory(&png, out->data + out->size, &bytes, 0, image->rgb, 0, NULL);
    FV_CHECK(is_written, FV_ERR_MEMORY, "cannot encode a PNG of %d x %d pixels: %s", image->width,
             image->height, png.message);
    out->size += bytes;
    out->data[out->size] = '\0';
    return FV_OK;
}
