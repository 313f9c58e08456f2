/* Grids of patches: how large an image is to the vision tower. Local. */
#ifndef FOVEA_MODEL_IMAGE_GRID_H
#define FOVEA_MODEL_IMAGE_GRID_H

#include "fovea/base/error.h"

#include <stdint.h>

/* Frames, rows, columns of patches (image_grid_thw). Rows and columns are multiples of the merge size. */
typedef struct fv_grid {
    int32_t t, h, w;
} fv_grid;

/* Patches of a grid, and tokens of the decoder (after merging merge x merge). */
int64_t fv_grid_patches(fv_grid grid);
int64_t fv_grid_tokens(fv_grid grid, int merge);

/* FV_ERR_ARGUMENT names image i if a side is not positive or not a multiple of merge. */
fv_err fv_grid_check(const fv_grid *grids, int n, int merge);

#endif
