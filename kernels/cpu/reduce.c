/* Sums over everything and over rows. */
#include "cpu.h"
#include "vec.h"

/* A register of doubles and the floats that fill it. */
typedef double vd __attribute__((vector_size(4 * V_NATIVE)));
typedef float vd_source __attribute__((vector_size(2 * V_NATIVE)));

/* The fixed unit of sumsq: sixteen strided sums in double, where squares of floats are exact. */
enum { SUMSQ_BLOCK = 65536, VD_LANES = V_NATIVE / 2, VD_PARTS = V_LANES / VD_LANES };

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

fv_err FV_CPU(sumsq)(fv_backend *backend, const fv_sumsq_args *args)
{
    int64_t n = args->x.dim[0], n_blocks = (n + SUMSQ_BLOCK - 1) / SUMSQ_BLOCK;
    double *block = fv_cpu_scratch(backend, 0); /* 4 MB hold the sums of 2^35 elements */
    double sum = 0.0;
#pragma omp parallel for num_threads(backend->n_threads) if (n_blocks > 1)
    for (int64_t b = 0; b < n_blocks; b++) {
        int64_t left = n - b * SUMSQ_BLOCK;
        block[b] = block_sumsq(fv_f32(args->x) + b * SUMSQ_BLOCK, left < SUMSQ_BLOCK ? left : SUMSQ_BLOCK);
    }
    for (int64_t b = 0; b < n_blocks; b++)
        sum = sum + block[b];
    *(double *)args->out.data = sum;
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
            const float *restrict x = fv_f32(args->x) + t * args->x.stride;
            for (int64_t i = cols.first; i < cols.end; i++)
                out[i] = out[i] + x[i];
        }
    }
    return FV_OK;
}
