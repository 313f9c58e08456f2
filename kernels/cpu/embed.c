/* Rows by index: embeddings, picked rows and their gradients. */
#include "cpu.h"

#include <string.h>

/* Row of the table that index i names, or NULL outside it. */
static float *table_row(fv_tensor table, int32_t index, int32_t first)
{
    int64_t row = (int64_t)index - first;
    return row >= 0 && row < table.dim[0] ? fv_f32(table) + row * table.stride : NULL;
}

fv_err FV_CPU(gather)(fv_backend *backend, const fv_gather_args *args)
{
    int64_t rows = args->out.dim[0], n = fv_tensor_row_count(args->out);
    size_t bytes = (size_t)n * sizeof(float);
#pragma omp parallel for num_threads(backend->n_threads) if (rows * n > FV_CPU_SERIAL)
    for (int64_t t = 0; t < rows; t++) {
        const float *from = table_row(args->table, fv_i32(args->index)[t], args->first);
        float *out = fv_f32(args->out) + t * args->out.stride;
        if (from)
            memcpy(out, from, bytes);
        else
            memset(out, 0, bytes);
    }
    return FV_OK;
}

fv_err FV_CPU(scatter)(fv_backend *backend, const fv_scatter_args *args)
{
    int64_t rows = args->in.dim[0], n = fv_tensor_row_count(args->in);
#pragma omp parallel for num_threads(backend->n_threads) if (rows * n > FV_CPU_SERIAL)
    for (int64_t t = 0; t < rows; t++) {
        float *to = table_row(args->table, fv_i32(args->index)[t], args->first);
        if (to)
            memcpy(to, fv_f32(args->in) + t * args->in.stride, (size_t)n * sizeof(float));
    }
    return FV_OK;
}

fv_err FV_CPU(scatter_add)(fv_backend *backend, const fv_scatter_add_args *args)
{
    int64_t rows = args->in.dim[0], n = fv_tensor_row_count(args->in);
#pragma omp parallel num_threads(backend->n_threads) if (rows * n > FV_CPU_SERIAL)
    {
        fv_cpu_range cols = fv_cpu_share(n, 16);
        for (int64_t t = 0; t < rows; t++) {
            float *restrict to = table_row(args->table, fv_i32(args->index)[t], args->first);
            const float *restrict in = fv_f32(args->in) + t * args->in.stride;
            for (int64_t i = cols.first; to && i < cols.end; i++)
                to[i] = to[i] + in[i];
        }
    }
    return FV_OK;
}
