/* An image file from anywhere; what is accepted becomes patches, all of them finite numbers. */
#include "fovea/model/image/processor.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_PIXELS = 1 << 16 };

static void check_patches(const fv_image *image)
{
    fv_processor p;
    fv_grid grid;
    fv_processor_init(&p);
    p.min_pixels = 28 * 28;
    p.max_pixels = 56 * 56;
    if (fv_processor_grid(&p, image->width, image->height, &grid) != FV_OK)
        return;
    size_t n = (size_t)(fv_grid_patches(grid) * fv_processor_patch_size(&p));
    float *patches = malloc(n * sizeof *patches);
    if (!patches || fv_processor_run(&p, image, patches) != FV_OK)
        __builtin_trap();
    for (size_t i = 0; i < n; i++)
        if (!isfinite(patches[i]))
            __builtin_trap();
    free(patches);
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
    check_patches(&image);
    fv_image_fini(&image);
    return 0;
}
