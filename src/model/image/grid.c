#include "fovea/model/image/grid.h"

int64_t fv_grid_patches(fv_grid grid)
{
    return (int64_t)grid.t * grid.h * grid.w;
}

int64_t fv_grid_tokens(fv_grid grid, int merge)
{
    return fv_grid_patches(grid) / ((int64_t)merge * merge);
}

fv_err fv_grid_check(const fv_grid *grids, int n, int merge)
{
    for (int i = 0; i < n; i++) {
        fv_grid g = grids[i];
        FV_CHECK(g.t > 0 && g.h > 0 && g.w > 0 && g.h % merge == 0 && g.w % merge == 0, FV_ERR_ARGUMENT,
                 "image %d: a grid of %d x %d x %d patches; sides must be positive multiples of %d", i + 1,
                 g.t, g.h, g.w, merge);
    }
    return FV_OK;
}
