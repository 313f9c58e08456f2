/* A JPEG, PNG or WebP file from anywhere; what is accepted becomes patches, all of them finite numbers. */
#include "fovea/processor.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fv_image image;
    if (fv_image_decode(data, size, "input", MAX_PIXELS, &image) != FV_OK) {
        if (image.rgb)
            __builtin_trap();
        return 0;
    }
    if (image.width < 1 || image.height < 1 || image.width > MAX_PIXELS / image.height)
        __builtin_trap();
    check_patches(&image);
    fv_image_fini(&image);
    return 0;
}
