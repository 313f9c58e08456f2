/* The patches of a picture. */
#include "suite.h"

/* The byte that element (c, y, x) of patch i shows. */
static uint8_t byte_of(const fv_patches_args *args, int64_t i, int64_t c, int64_t y, int64_t x)
{
    int64_t merge = args->merge, width = args->pixels.dim[1], per_row = width / args->patch;
    int64_t band = i / (merge * per_row), in_band = i % (merge * per_row);
    int64_t block = in_band / (merge * merge), in_block = in_band % (merge * merge);
    int64_t row = (band * merge + in_block / merge) * args->patch + y;
    int64_t column = (block * merge + in_block % merge) * args->patch + x;
    return ((const uint8_t *)args->pixels.data)[(row * width + column) * 3 + c];
}

void reference_patches(const fv_patches_args *args)
{
    const fv_pixel_scale *scale = &args->scale;
    int64_t area = (int64_t)args->patch * args->patch, channel = args->frames * area;
    for (int64_t i = 0; i < args->out.dim[0]; i++)
        for (int64_t j = 0; j < args->out.dim[1]; j++) {
            int64_t c = j / channel, place = j % area;
            uint8_t byte = byte_of(args, i, c, place / args->patch, place % args->patch);
            *f64_at(args->out, i, j) =
                (byte * scale->factor - (double)scale->mean[c]) / (double)scale->std[c];
        }
}

void cases_patches(void)
{
    static const struct {
        int bands, blocks, patch, merge, frames;
    } shapes[] = {{0, 3, 2, 2, 1}, {3, 0, 2, 2, 1}, {1, 1, 1, 1, 1},  {1, 1, 14, 2, 2},
                  {5, 3, 3, 1, 3}, {4, 5, 5, 3, 1}, {3, 7, 14, 2, 2}, {13, 9, 14, 2, 2}};
    static const fv_pixel_scale scales[] = {
        {1.0 / 255.0, {0.48145466f, 0.4578275f, 0.40821073f}, {0.26862954f, 0.26130258f, 0.27577711f}},
        {1.0, {0, 0, 0}, {1, 1, 1}}};
    for (size_t i = 0; i < 2 * sizeof shapes / sizeof *shapes; i++) {
        int bands = shapes[i / 2].bands, blocks = shapes[i / 2].blocks, patch = shapes[i / 2].patch;
        int merge = shapes[i / 2].merge, frames = shapes[i / 2].frames, side = patch * merge;
        fv_patches_args args = {
            .pixels = zeros_3d(FV_U8, bands * side, blocks * side, 3),
            .out = zeros_2d(FV_F32, bands * blocks * merge * merge, 3 * frames * patch * patch),
            .scale = scales[i % 2],
            .patch = patch,
            .merge = merge,
            .frames = frames};
        for (int64_t p = 0; p < fv_tensor_count(args.pixels); p++)
            ((uint8_t *)args.pixels.data)[p] = (uint8_t)(p * 37 + p / 251 * 11);
        CONFORM(patches, args, .near = i % 2 ? 0 : 1e-6, .n_rows = bands, .rows = "pixels out");
    }
}
