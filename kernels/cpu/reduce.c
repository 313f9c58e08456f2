/* Sums over everything and over rows. */
#include "cpu.h"
#include "vec.h"

typedef double v16d __attribute__((vector_size(128)));

/* The fixed unit of sumsq: sixteen strided sums in double. Squares of floats are exact there. */
enum { SUMSQ_BLOCK = 65536 };

static double block_sumsq(const float *x, int64_t n)
{
    v16d sum = {0};
    for (int64_t i = 0; i < n; i += V_LANES) {
        v16 part = n - i < V_LANES ? v_load_part(x + i, n - i, 0.0f) : v_load(x + i);
        v16d wide = __builtin_convertvector(part, v16d);
        sum = sum + wide * wide;
    }
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            sum[i] = sum[i] + sum[i + half];
    return sum[0];
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
