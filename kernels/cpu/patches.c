/* The patches of a picture. */
#include "rows.h"

/* What each byte of a channel becomes: the same few numbers stand for all pixels. */
typedef struct table {
    float number[3][256];
    uint16_t rounded[3][256];
} table;

static table table_of(const fv_pixel_scale *scale)
{
    table t;
    for (int c = 0; c < 3; c++) {
        for (int b = 0; b < 256; b++)
            t.number[c][b] = ((float)(b * scale->factor) - scale->mean[c]) / scale->std[c];
        narrow(t.number[c], 256, t.rounded[c]);
    }
    return t;
}

/* One row of a patch, n pixels, to three planes that are `channel` elements apart. */
static void split(const table *t, const uint8_t *from, int64_t n, float *to, int64_t channel)
{
    for (int64_t x = 0; x < n; x++)
        for (int c = 0; c < 3; c++)
            to[c * channel + x] = t->number[c][from[3 * x + c]];
}

static void split_rounded(const table *t, const uint8_t *from, int64_t n, uint16_t *to, int64_t channel)
{
    for (int64_t x = 0; x < n; x++)
        for (int c = 0; c < 3; c++)
            to[c * channel + x] = t->rounded[c][from[3 * x + c]];
}

/* corner: the first pixel of the patch. out: its row. */
static void cut(const fv_patches_args *args, const table *t, const uint8_t *corner, char *out)
{
    int64_t patch = args->patch, area = patch * patch, channel = args->frames * area;
    size_t element = fv_dtype_bytes(args->out.dtype), plane = (size_t)area * element;
    for (int64_t y = 0; y < patch; y++, corner += args->pixels.stride) {
        char *to = out + (size_t)(y * patch) * element;
        if (args->out.dtype == FV_F32)
            split(t, corner, patch, (float *)to, channel);
        else
            split_rounded(t, corner, patch, (uint16_t *)to, channel);
    }
    for (size_t c = 0; c < 3; c++, out += (size_t)channel * element)
        for (size_t frame = 1; frame < (size_t)args->frames; frame++)
            memcpy(out + frame * plane, out, plane);
}

fv_err FV_CPU(patches)(fv_backend *backend, const fv_patches_args *args)
{
    const table t = table_of(&args->scale);
    const uint8_t *pixels = args->pixels.data;
    int64_t merge = args->merge, area = merge * merge, n = args->out.dim[0];
    int64_t n_blocks = args->pixels.dim[1] / (args->patch * merge);
    size_t element = fv_dtype_bytes(args->out.dtype);
#pragma omp parallel for num_threads(backend->n_threads) if (fv_tensor_count(args->out) > FV_CPU_SERIAL)
    for (int64_t i = 0; i < n; i++) {
        int64_t block = i / area, place = i % area;
        int64_t row = block / n_blocks * merge + place / merge,
                column = block % n_blocks * merge + place % merge;
        const uint8_t *corner = pixels + row * args->patch * args->pixels.stride + 3 * column * args->patch;
        cut(args, &t, corner, (char *)args->out.data + (size_t)(i * args->out.stride) * element);
    }
    return FV_OK;
}
