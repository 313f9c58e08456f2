/* Copies, sums and fills: one output element from one place. */
#include "cpu.h"
#include "vec.h"

fv_err FV_CPU(add)(fv_backend *backend, const fv_add_args *args)
{
    int64_t n = fv_tensor_row_count(args->out);
#pragma omp parallel for num_threads(backend->n_threads)
    for (int64_t row = 0; row < args->out.dim[0]; row++) {
        const float *a = fv_f32(args->a) + row * args->a.stride;
        const float *b = fv_f32(args->b) + row * args->b.stride;
        float *out = fv_f32(args->out) + row * args->out.stride;
        for (int64_t i = 0; i < n; i++)
            out[i] = a[i] + b[i];
    }
    return FV_OK;
}

fv_err FV_CPU(copy)(fv_backend *backend, const fv_copy_args *args)
{
    size_t element = fv_dtype_bytes(args->in.dtype);
    size_t bytes = (size_t)fv_tensor_row_count(args->in) * element;
#pragma omp parallel for num_threads(backend->n_threads)
    for (int64_t row = 0; row < args->in.dim[0]; row++)
        memcpy((char *)args->out.data + (size_t)(row * args->out.stride) * element,
               (const char *)args->in.data + (size_t)(row * args->in.stride) * element, bytes);
    return FV_OK;
}

fv_err FV_CPU(fill)(fv_backend *backend, const fv_fill_args *args)
{
    int64_t n = fv_tensor_row_count(args->x);
#pragma omp parallel for num_threads(backend->n_threads)
    for (int64_t row = 0; row < args->x.dim[0]; row++) {
        float *x = fv_f32(args->x) + row * args->x.stride;
        for (int64_t i = 0; i < n; i++)
            x[i] = args->value;
    }
    return FV_OK;
}
