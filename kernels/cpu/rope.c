/* Rotary positions. */
#include "rows.h"

#include <math.h>

fv_err FV_CPU(rope_angles)(fv_backend *backend, const fv_rope_angles_args *args)
{
    int64_t rows = args->cos.dim[0], half = args->cos.dim[1];
    const double *rates = args->rates.data;
    int first = args->sections[0], second = first + args->sections[1];
#pragma omp parallel for num_threads(backend->n_threads) if (rows * half > FV_CPU_SERIAL / 16)
    for (int64_t t = 0; t < rows; t++) {
        float *cosines = fv_f32(args->cos) + t * args->cos.stride;
        float *sines = fv_f32(args->sin) + t * args->sin.stride;
        for (int64_t i = 0; i < half; i++) {
            int axis = (i >= first) + (i >= second);
            double angle = fv_i32(args->positions)[axis * args->positions.stride + t] * rates[i];
            cosines[i] = (float)(cos(angle) * args->scale);
            sines[i] = (float)(sin(angle) * args->scale);
        }
    }
    return FV_OK;
}

/* out may be x. */
static void rotate(const float *restrict cos, const float *restrict sin, float sign, const float *x,
                   float *out, int64_t half)
{
#pragma GCC ivdep
    for (int64_t i = 0; i < half; i++) {
        float a = x[i], b = x[i + half], s = sin[i] * sign;
        out[i] = a * cos[i] - b * s;
        out[i + half] = b * cos[i] + a * s;
    }
}

fv_err FV_CPU(rope)(fv_backend *backend, const fv_rope_args *args)
{
    int64_t rows = args->x.dim[0], heads = args->x.dim[1], d = args->x.dim[2];
    float sign = args->inverse ? -1.0f : 1.0f;
#pragma omp parallel for num_threads(backend->n_threads) if (rows * heads * d > FV_CPU_SERIAL)
    for (int64_t t = 0; t < rows; t++) {
        const float *cos = fv_f32(args->cos) + t * args->cos.stride;
        const float *sin = fv_f32(args->sin) + t * args->sin.stride;
        float *room = fv_cpu_scratch(backend, fv_cpu_thread());
        for (int64_t h = 0; h < heads; h++) {
            int64_t at = t * args->out.stride + h * d;
            const float *x = read_row(args->x, t * args->x.stride + h * d, d, room);
            float *out = row_for(args->out, at, room);
            rotate(cos, sin, sign, x, out, d / 2);
            write_row(args->out, at, d, out);
        }
    }
    return FV_OK;
}
