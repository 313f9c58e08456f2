/* The patches of a picture. */
#include "cpu.h"

#include <string.h>

/* What each byte of a channel becomes: the same few numbers stand for all pixels. */
typedef struct table {
    float number[3][256];
} table;

static table table_of(const fv_pixel_scale *scale)
{
    table t;
    for (int c = 0; c < 3; c++)
        for (int b = 0; b < 256; b++)
            t.number[c][b] = ((float)(b * scale->factor) - scale->mean[c]) / scale->std[c];
    return t;
}

/* One row of a patch: n pixels, to three planes. */
static void split(const table *t, const uint8_t *from, int64_t n, float *const plane[3])
{
    for (int64_t x = 0; x < n; x++, from += 3)
        for (int c = 0; c < 3; c++)
            plane[c][x] = t->number[c][from[c]];
}

/* corner: the first pixel of the patch. */
static void cut(const fv_patches_args *args, const table *t, const uint8_t *corner, float *out)
{
    int64_t patch = args->patch, area = patch * patch, channel = args->frames * area;
    for (int64_t y = 0; y < patch; y++, corner += args->pixels.stride) {
        float *const plane[3] = {out + y * patch, out + channel + y * patch, out + 2 * channel + y * patch};
        split(t, corner, patch, plane);
    }
    for (int64_t c = 0; c < 3; c++)
        for (int64_t frame = 1; frame < args->frames; frame++)
            memcpy(out + c * channel + frame * area, out + c * channel, (size_t)area * sizeof *out);
}

fv_err FV_CPU(patches)(fv_backend *backend, const fv_patches_args *args)
{
    const table t = table_of(&args->scale);
    const uint8_t *pixels = args->pixels.data;
    int64_t merge = args->merge, area = merge * merge, n = args->out.dim[0];
    int64_t n_blocks = args->pixels.dim[1] / (args->patch * merge);
#pragma omp parallel for num_threads(backend->n_threads) if (fv_tensor_count(args->out) > FV_CPU_SERIAL)
    for (int64_t i = 0; i < n; i++) {
        int64_t block = i / area, place = i % area;
        int64_t row = block / n_blocks * merge + place / merge,
                column = block % n_blocks * merge + place % merge;
        const uint8_t *corner = pixels + row * args->patch * args->pixels.stride + 3 * column * args->patch;
        cut(args, &t, corner, fv_f32(args->out) + i * args->out.stride);
    }
    return FV_OK;
}
