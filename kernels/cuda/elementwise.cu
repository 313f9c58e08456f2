/* Sums, copies and casts, element by element. */
#include "elementwise.cuh"

#include <math.h>

struct add_numbers {
    __device__ float operator()(float a, float b) const
    {
        return a + b;
    }
};
struct same {
    __device__ float operator()(float x) const
    {
        return x;
    }
};

extern "C" fv_err fv_cuda_add(fv_backend *backend, const fv_add_args *args)
{
    FV_CUDA_STORED(args->out.dtype,
                   LAUNCH(map2_kernel, args->out, matrix_of<T>(args->a), matrix_of<T>(args->b),
                          matrix_of<T>(args->out), n_units(args->out), add_numbers()));
    return fv_cuda_launched("add");
}

template <typename B, typename C>
__global__ void add_bias_kernel(matrix<float> in, matrix<B> bias, matrix<C> out, int64_t n)
{
    int64_t u = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (u >= n)
        return;
    place p = place_of(u, out.cols);
    float x[UNIT], b[UNIT];
    load_at(in, p, x);
    load_unit(bias.data, p.column, bias.cols, bias.is_aligned, b);
    for (int e = 0; e < UNIT; e++)
        x[e] = x[e] + b[e];
    store_at(out, p, x);
}

extern "C" fv_err fv_cuda_add_bias(fv_backend *backend, const fv_add_bias_args *args)
{
    FV_CUDA_STORED(args->bias.dtype, {
        typedef T B;
        FV_CUDA_STORED(args->out.dtype,
                       LAUNCH(add_bias_kernel, args->out, matrix_of<float>(args->in),
                              matrix_of<B>(args->bias), matrix_of<T>(args->out), n_units(args->out)));
    });
    return fv_cuda_launched("add_bias");
}

/* Rows that lie side by side are one: copied as such they reach the rate of memory, and row by row they do
 * not. */
extern "C" fv_err fv_cuda_copy(fv_backend *backend, const fv_copy_args *args)
{
    size_t element = fv_dtype_bytes(args->in.dtype), row = (size_t)fv_tensor_row_count(args->in) * element;
    if (fv_tensor_is_contiguous(args->in) && fv_tensor_is_contiguous(args->out)) {
        FV_CUDA(cudaMemcpyAsync(args->out.data, args->in.data, row * (size_t)args->in.dim[0],
                                cudaMemcpyDeviceToDevice, fv_cuda_compute(backend)));
        return FV_OK;
    }
    FV_CUDA(cudaMemcpy2DAsync(args->out.data, (size_t)args->out.stride * element, args->in.data,
                              (size_t)args->in.stride * element, row, (size_t)args->in.dim[0],
                              cudaMemcpyDeviceToDevice, fv_cuda_compute(backend)));
    return FV_OK;
}

template <typename T> __global__ void fill_kernel(matrix<T> x, int64_t n, float value)
{
    int64_t u = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (u >= n)
        return;
    float v[UNIT];
    for (int e = 0; e < UNIT; e++)
        v[e] = value;
    store_at(x, place_of(u, x.cols), v);
}

/* Zeros side by side are set at the rate of memory. */
extern "C" fv_err fv_cuda_fill(fv_backend *backend, const fv_fill_args *args)
{
    if (args->value == 0 && !signbit(args->value) && fv_tensor_is_contiguous(args->x)) {
        FV_CUDA(cudaMemsetAsync(args->x.data, 0, fv_tensor_span_bytes(args->x), fv_cuda_compute(backend)));
        return FV_OK;
    }
    FV_CUDA_STORED(args->x.dtype,
                   LAUNCH(fill_kernel, args->x, matrix_of<T>(args->x), n_units(args->x), args->value));
    return fv_cuda_launched("fill");
}

#define WITH_FLOAT(dtype, name, ...) \
    do {                             \
        if ((dtype) == FV_F16) {     \
            typedef __half name;     \
            __VA_ARGS__;             \
        } else                       \
            FV_CUDA_STORED(dtype, {  \
                typedef T name;      \
                __VA_ARGS__;         \
            });                      \
    } while (0)

extern "C" fv_err fv_cuda_cast(fv_backend *backend, const fv_cast_args *args)
{
    WITH_FLOAT(args->in.dtype, A,
               WITH_FLOAT(args->out.dtype, C,
                          LAUNCH(map1_kernel, args->out, matrix_of<A>(args->in), matrix_of<C>(args->out),
                                 n_units(args->out), same())));
    return fv_cuda_launched("cast");
}
