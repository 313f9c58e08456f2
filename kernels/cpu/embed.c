/* Rows by index: embeddings, picked rows and their gradients. */
#include "rows.h"

/* Row i of a tensor of any dtype. */
static void *row_of(fv_tensor t, int64_t i)
{
    return (char *)t.data + (size_t)(i * t.stride) * fv_dtype_bytes(t.dtype);
}

/* Row of the table that index i names, or NULL outside it. */
static void *table_row(fv_tensor table, int32_t index, int32_t first)
{
    int64_t row = (int64_t)index - first;
    return row >= 0 && row < table.dim[0] ? row_of(table, row) : NULL;
}

/* -0 is what sums over ranks leave alone, +0 is not: it makes -0 of another rank +0. */
static void put_neutral(fv_tensor out, void *row, int64_t n)
{
    if (out.dtype == FV_F32)
        for (int64_t i = 0; i < n; i++)
            ((float *)row)[i] = -0.0f;
    else if (out.dtype == FV_BF16)
        for (int64_t i = 0; i < n; i++)
            ((uint16_t *)row)[i] = 0x8000u;
    else
        memset(row, 0, (size_t)n * fv_dtype_bytes(out.dtype));
}

fv_err FV_CPU(gather)(fv_backend *backend, const fv_gather_args *args)
{
    int64_t rows = args->out.dim[0], n = fv_tensor_row_count(args->out);
    size_t bytes = (size_t)n * fv_dtype_bytes(args->out.dtype);
#pragma omp parallel for num_threads(backend->n_threads) if (rows * n > FV_CPU_SERIAL)
    for (int64_t t = 0; t < rows; t++) {
        const void *from = table_row(args->table, fv_i32(args->index)[t], args->first);
        void *out = row_of(args->out, t);
        if (from)
            memcpy(out, from, bytes);
        else
            put_neutral(args->out, out, n);
    }
    return FV_OK;
}

fv_err FV_CPU(scatter)(fv_backend *backend, const fv_scatter_args *args)
{
    int64_t rows = args->in.dim[0], n = fv_tensor_row_count(args->in);
#pragma omp parallel for num_threads(backend->n_threads) if (rows * n > FV_CPU_SERIAL)
    for (int64_t t = 0; t < rows; t++) {
        void *to = table_row(args->table, fv_i32(args->index)[t], args->first);
        if (to)
            memcpy(to, row_of(args->in, t), (size_t)n * fv_dtype_bytes(args->in.dtype));
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
            int64_t n_cols = to ? cols.end - cols.first : 0;
            const float *restrict in = read_row(args->in, t * args->in.stride + cols.first, n_cols,
                                                fv_cpu_scratch(backend, fv_cpu_thread()));
            for (int64_t i = 0; i < n_cols; i++)
                to[cols.first + i] = to[cols.first + i] + in[i];
        }
    }
    return FV_OK;
}
