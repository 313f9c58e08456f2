#include "fovea/io/image/image.h"

#include <png.h>

fv_err fv_image_encode_png(const fv_image *image, fv_buffer *out)
{
    png_image png = {.version = PNG_IMAGE_VERSION,
                     .width = (png_uint_32)image->width,
                     .height = (png_uint_32)image->height,
                     .format = PNG_FORMAT_RGB,
                     .flags = PNG_IMAGE_FLAG_FAST};
    png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(png);
    fv_buffer file = {0}; /* far larger than what it will hold, so out gets a copy */
    FV_TRY(fv_buffer_reserve(&file, bytes));
    fv_err err = FV_OK;
    FV_CHECK_DONE(png_image_write_to_memory(&png, file.data, &bytes, 0, image->rgb, 0, NULL), FV_ERR_MEMORY,
                  "cannot encode a PNG of %d x %d pixels: %s", image->width, image->height, png.message);
    FV_TRY_DONE(fv_buffer_append(out, file.data, bytes));
done:
    fv_buffer_fini(&file);
    return err;
}
