/* Checks of the arguments of patches. */
#include "args_check.h"

fv_err fv_check_patches_args(const fv_patches_args *args, int *empty)
{
    EXPECT(patches, pixels, U8, FV_DIM_ANY, FV_DIM_ANY, 3);
    FV_CHECK(args->patch > 0 && args->merge > 0 && args->frames > 0, FV_ERR_SHAPE,
             "patches: patch is %d, merge %d and frames %d, expected 1 or more", args->patch, args->merge,
             args->frames);
    int64_t height = args->pixels.dim[0], width = args->pixels.dim[1], area = args->patch * args->patch;
    int block = args->patch * args->merge;
    FV_CHECK(height % block == 0 && width % block == 0, FV_ERR_SHAPE,
             "patches: tensor pixels has %lld x %lld pixels, expected multiples of %d", (long long)width,
             (long long)height, block);
    EXPECT(patches, out, STORED, height * width / area, 3 * args->frames * area);
    *empty = fv_tensor_count(args->out) == 0;
    return FV_OK;
}
