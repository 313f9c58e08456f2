/* Sums over everything and over rows. */
#include "rows.h"

/* A register of doubles and the floats that fill it. */
typedef double vd __attribute__((vector_size(4 * V_NATIVE)));
typedef float vd_source __attribute__((vector_size(2 * V_NATIVE)));

/* A block of sumsq: sixteen strided sums in double, where squares of floats are exact. */
enum { VD_LANES = V_NATIVE / 2, VD_PARTS = V_LANES / VD_LANES };

V_INLINE void add_squares(vd sum[VD_PARTS], const float *x)
{
    for (int k = 0; k < VD_PARTS; k++) {
        vd_source narrow;
        memcpy(&narrow, x + k * VD_LANES, sizeof narrow);
        vd wide = __builtin_convertvector(narrow, vd);
        sum[k] = sum[k] + wide * wide;
    }
}

static double block_sumsq(const float *x, int64_t n)
{
    vd sum[VD_PARTS] = {0};
    double t[V_LANES];
    float tail[V_LANES] = {0};
    int64_t i = 0;
    for (; i + V_LANES <= n; i += V_LANES)
        add_squares(sum, x + i);
    memcpy(tail, x + i, (size_t)(n - i) * sizeof *x);
    add_squares(sum, tail);
    memcpy(t, sum, sizeof t);
    for (int half = V_LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++)
            t[l] = t[l] + t[l + half];
    return t[0];
}

/* The sums of every n_threads-th block of all segments. */
static void sum_blocks(const fv_sumsq_args *args, double *block)
{
    int64_t b = 0, thread = fv_cpu_thread(), n_threads = fv_cpu_n_threads();
    for (int64_t s = 0; s < args->segments.dim[0]; s++) {
        const int64_t *segment = (const int64_t *)args->segments.data + s * args->segments.stride;
        const float *x = fv_f32(args->x) + segment[0];
        for (int64_t at = 0; at < segment[1]; at += FV_SUMSQ_BLOCK, b++)
            if (b % n_threads == thread)
                block[b] =
                    block_sumsq(x + at, segment[1] - at < FV_SUMSQ_BLOCK ? segment[1] - at : FV_SUMSQ_BLOCK);
    }
}

/* 4 MB of scratch hold the sums of blocks of 2^18 segments with 2^34 elements. */
fv_err FV_CPU(sumsq)(fv_backend *backend, const fv_sumsq_args *args)
{
    const double *block = fv_cpu_scratch(backend, 0);
    double all = 0.0;
#pragma omp parallel num_threads(backend->n_threads) if (args->x.dim[0] > FV_SUMSQ_BLOCK)
    sum_blocks(args, fv_cpu_scratch(backend, 0));
    for (int64_t s = 0; s < args->segments.dim[0]; s++) {
        double sum = 0.0;
        for (int64_t at = 0; at < ((const int64_t *)args->segments.data)[s * args->segments.stride + 1];
             at += FV_SUMSQ_BLOCK)
            sum = sum + *block++;
        all = all + sum;
    }
    *(double *)args->out.data = all;
    return FV_OK;
}

fv_err FV_CPU(clip)(fv_backend *backend, const fv_clip_args *args)
{
    (void)backend;
    double norm = __builtin_sqrt(*(const double *)args->sum.data);
    float scale = args->limit > 0.0f && norm > args->limit ? (float)(args->limit / norm) : 1.0f;
    *fv_f32(args->scale) = __builtin_isfinite(norm) ? scale : 0.0f;
    return FV_OK;
}

fv_err FV_CPU(colsum)(fv_backend *backend, const fv_colsum_args *args)
{
    int64_t rows = args->x.dim[0], n = args->x.dim[1];
#pragma omp parallel num_threads(backend->n_threads) if (rows * n > FV_CPU_SERIAL)
    {
        fv_cpu_range cols = fv_cpu_share(n, V_LANES);
        float *restrict out = fv_f32(args->out);
        for (int64_t i = cols.first; i < cols.end && !args->accumulate; i++)
            out[i] = 0.0f;
        for (int64_t t = 0; t < rows; t++) {
            const float *restrict x =
                read_row(args->x, t * args->x.stride + cols.first, cols.end - cols.first,
                         fv_cpu_scratch(backend, fv_cpu_thread()));
            for (int64_t i = cols.first; i < cols.end; i++)
                out[i] = out[i] + x[i - cols.first];
        }
    }
    return FV_OK;
}
