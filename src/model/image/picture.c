#include "fovea/model/image/picture.h"

#include <stdlib.h>
#include <string.h>

size_t fv_picture_bytes(fv_grid grid, int patch)
{
    return (size_t)fv_grid_patches(grid) * (size_t)patch * (size_t)patch * 3;
}

fv_err fv_picture_create(fv_image *image, int patch, const fv_pixel_scale *scale, fv_picture **out)
{
    fv_picture *picture = malloc(sizeof *picture);
    *out = picture;
    if (!picture) {
        fv_image_fini(image);
        return FV_FAIL(FV_ERR_MEMORY, "cannot allocate a picture");
    }
    *picture = (fv_picture){.grid = {.t = 1, .h = image->height / patch, .w = image->width / patch},
                            .patch = patch,
                            .scale = *scale,
                            .rgb = image->rgb,
                            .n_holders = 1};
    *image = (fv_image){0};
    return FV_OK;
}

fv_err fv_picture_create_patches(fv_grid grid, const float *patches, int64_t n_elements, fv_picture **out)
{
    size_t bytes = (size_t)(fv_grid_patches(grid) * n_elements) * sizeof *patches;
    fv_picture *picture = malloc(sizeof *picture);
    float *copy = malloc(bytes + 1);
    *out = NULL;
    if (!picture || !copy) {
        free(picture);
        free(copy);
        return FV_FAIL(FV_ERR_MEMORY, "cannot allocate the %lld patches of a picture",
                       (long long)fv_grid_patches(grid));
    }
    memcpy(copy, patches, bytes);
    *picture = (fv_picture){.grid = grid, .patches = copy, .n_holders = 1};
    *out = picture;
    return FV_OK;
}

fv_picture *fv_picture_hold(fv_picture *picture)
{
    atomic_fetch_add(&picture->n_holders, 1);
    return picture;
}

void fv_picture_release(fv_picture *picture)
{
    if (!picture || atomic_fetch_sub(&picture->n_holders, 1) > 1)
        return;
    free(picture->rgb);
    free(picture->patches);
    free(picture);
}
