/* A picture as the vision tower is shown it: the bytes of an image in the size of its grid, counted by who
 * holds it, so that rollout, update and reference share one. Never changed once it is made. Host data. Any
 * thread. */
#ifndef FOVEA_MODEL_IMAGE_PICTURE_H
#define FOVEA_MODEL_IMAGE_PICTURE_H

#include "fovea/io/image/image.h"
#include "fovea/model/image/grid.h"
#include "fovea/ops/ops.h"

#include <stdatomic.h>

typedef struct fv_picture {
    fv_grid grid;
    int patch;            /* pixels of a patch's edge */
    fv_pixel_scale scale; /* what the bytes become (the operation patches) */
    uint8_t *rgb;         /* owned, (grid.h * patch, grid.w * patch, 3); NULL: */
    float *patches;       /* owned: numbers that were made elsewhere, (P, D) as the operation lays them out */
    atomic_int n_holders;
} fv_picture;

/* The caller is the first holder. image is taken ({0} afterwards, also on failure); it has the sides of the
 * grid, multiples of patch. */
fv_err fv_picture_create(fv_image *image, int patch, const fv_pixel_scale *scale, fv_picture **out);
/* Of finished numbers, copied: patches (fv_grid_patches(grid), n_elements). */
fv_err fv_picture_create_patches(fv_grid grid, const float *patches, int64_t n_elements, fv_picture **out);

fv_picture *fv_picture_hold(fv_picture *picture);
/* The last one to let go frees it. NULL is fine. */
void fv_picture_release(fv_picture *picture);

/* Bytes of host memory that the pixels of a picture take. */
size_t fv_picture_bytes(fv_grid grid, int patch);

#endif
