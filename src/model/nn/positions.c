#include "fovea/model/nn/positions.h"

static int64_t run_length(const fv_model_shape *shape, const int32_t *ids, int64_t n)
{
    int64_t length = 0;
    while (length < n && shape->vision.depth > 0 && ids[length] == shape->image_id)
        length++;
    return length;
}

static void place_image(fv_grid grid, int merge, int32_t *next, int32_t *out, int64_t stride)
{
    int32_t height = grid.h / merge, width = grid.w / merge, start = *next;
    int64_t i = 0;
    for (int32_t t = 0; t < grid.t; t++)
        for (int32_t h = 0; h < height; h++)
            for (int32_t w = 0; w < width; w++, i++) {
                out[i] = start;
                out[stride + i] = start + h;
                out[2 * stride + i] = start + w;
            }
    *next = start + (height > width ? height : width);
}

fv_err fv_positions_append(const fv_model_shape *shape, const int32_t *ids, int64_t n, const fv_grid *grids,
                           int n_grids, int32_t *next, int32_t *out, int64_t stride)
{
    int image = 0;
    for (int64_t i = 0; i < n;) {
        int64_t run = run_length(shape, ids + i, n - i);
        if (run == 0) {
            out[i] = out[stride + i] = out[2 * stride + i] = (*next)++;
            i++;
            continue;
        }
        /* Runs of images that touch have no text between them. */
        for (int64_t used = 0; used < run; image++) {
            FV_CHECK(image < n_grids, FV_ERR_ARGUMENT,
                     "there are image tokens at %lld for more than the %d images given",
                     (long long)(i + used), n_grids);
            int64_t tokens = fv_grid_tokens(grids[image], shape->vision.merge);
            FV_CHECK(tokens > 0 && tokens <= run - used, FV_ERR_ARGUMENT,
                     "image %d: its grid needs %lld image tokens, %lld are there", image + 1,
                     (long long)tokens, (long long)(run - used));
            place_image(grids[image], shape->vision.merge, next, out + i + used, stride);
            used += tokens;
        }
        i += run;
    }
    FV_CHECK(image == n_grids, FV_ERR_ARGUMENT, "%d images were given, the tokens hold places for %d",
             n_grids, image);
    return FV_OK;
}
