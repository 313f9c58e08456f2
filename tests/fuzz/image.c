/* An image file from anywhere; what is accepted becomes a picture. */
#include "fovea/model/image/processor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_PIXELS = 1 << 16 };

/* image is taken. */
static void check_picture(fv_image *image)
{
    fv_processor p;
    fv_grid grid;
    fv_picture *picture;
    fv_processor_init(&p);
    p.min_pixels = 28 * 28;
    p.max_pixels = 56 * 56;
    fv_err expected = fv_processor_grid(&p, image->width, image->height, &grid);
    if (fv_processor_run(&p, image, &picture) != expected || image->rgb)
        __builtin_trap();
    fv_picture_release(picture);
}

static fv_err fit_to(const void *context, int *width, int *height)
{
    (void)context;
    *width = *width / 2 + 1;
    *height = *height % 50 + 3;
    return FV_OK;
}

/* Checked, whole, or resized on the way: all or none. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fv_image image, small;
    int width, height;
    const fv_image_fit fit = {.size = fit_to, .filter = FV_FILTER_BICUBIC};
    const fv_image_file file = {.data = data, .size = size, .name = "input", .max_pixels = MAX_PIXELS};
    fv_err err = fv_image_read(&file, NULL, &image);
    if (fv_image_check(&file, &width, &height) != err || fv_image_read(&file, &fit, &small) != err)
        __builtin_trap();
    fv_image_fini(&small);
    if (err != FV_OK) {
        if (image.rgb)
            __builtin_trap();
        return 0;
    }
    if (image.width != width || image.height != height || width < 1 || height < 1 ||
        width > MAX_PIXELS / height)
        __builtin_trap();
    check_picture(&image);
    return 0;
}
