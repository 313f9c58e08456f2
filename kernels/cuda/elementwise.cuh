/* Kernels that work element by element: a thread has a unit of one row of every matrix. */
#ifndef FOVEA_KERNELS_CUDA_ELEMENTWISE_CUH
#define FOVEA_KERNELS_CUDA_ELEMENTWISE_CUH

#include "cuda.cuh"

enum { THREADS = 256 };

/* Unit u of a matrix: its row and its first column. */
struct place {
    int64_t row, column;
};
__device__ __forceinline__ place place_of(int64_t u, int64_t cols)
{
    int64_t per_row = (cols + UNIT - 1) / UNIT;
    return {u / per_row, u % per_row * UNIT};
}
static int64_t n_units(fv_tensor t)
{
    int64_t rows = t.n_dims == 1 ? 1 : t.dim[0], cols = t.n_dims == 1 ? t.dim[0] : fv_tensor_row_count(t);
    return rows * ((cols + UNIT - 1) / UNIT);
}

template <typename T> __device__ __forceinline__ void load_at(const matrix<T> &m, place p, float x[UNIT])
{
    load_unit(m.data + p.row * m.stride, p.column, m.cols, m.is_aligned, x);
}
template <typename T>
__device__ __forceinline__ void store_at(const matrix<T> &m, place p, const float x[UNIT])
{
    store_unit(m.data + p.row * m.stride, p.column, m.cols, m.is_aligned, x);
}

/* f works on numbers. */
template <typename A, typename B, typename C, typename F>
__global__ void map2_kernel(matrix<A> a, matrix<B> b, matrix<C> out, int64_t n, F f)
{
    join_chain();
    int64_t u = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (u >= n)
        return;
    place p = place_of(u, out.cols);
    float x[UNIT], y[UNIT];
    load_at(a, p, x);
    load_at(b, p, y);
    for (int e = 0; e < UNIT; e++)
        x[e] = f(x[e], y[e]);
    store_at(out, p, x);
}

template <typename A, typename C, typename F>
__global__ void map1_kernel(matrix<A> a, matrix<C> out, int64_t n, F f)
{
    int64_t u = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (u >= n)
        return;
    place p = place_of(u, out.cols);
    float x[UNIT];
    load_at(a, p, x);
    for (int e = 0; e < UNIT; e++)
        x[e] = f(x[e]);
    store_at(out, p, x);
}

#define LAUNCH(kernel, of, ...) \
    kernel<<<blocks_for(n_units(of), THREADS), THREADS, 0, fv_cuda_compute(backend)>>>(__VA_ARGS__)

#endif
