/* The gated unit of the MLP, and its gradient. */
#include "elementwise.cuh"

/* Divisions within 2 units of the last place: exact ones take as long as the memory does. */
__device__ __forceinline__ float sigmoid(float x)
{
    return __fdividef(1.0f, 1.0f + expf(-x));
}

struct silu_times {
    __device__ float operator()(float gate, float up) const
    {
        return gate * sigmoid(gate) * up;
    }
};
extern "C" fv_err fv_cuda_swiglu(fv_backend *backend, const fv_swiglu_args *args)
{
    fv_cuda_grid grid = {dim3(blocks_for(n_units(args->y), THREADS)), THREADS, 0};
    FV_CUDA_STORED(args->y.dtype,
                   return fv_cuda_chain(backend, "swiglu", grid, map2_kernel<T, T, T, silu_times>,
                                        matrix_of<T>(args->gate), matrix_of<T>(args->up),
                                        matrix_of<T>(args->y), n_units(args->y), silu_times()));
}

template <typename T>
__global__ void swiglu_grad_kernel(matrix<T> dy, matrix<T> gate, matrix<T> up, matrix<T> dgate, matrix<T> dup,
                                   int64_t n)
{
    int64_t u = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (u >= n)
        return;
    place p = place_of(u, dy.cols);
    float d[UNIT], g[UNIT], x[UNIT];
    load_at(dy, p, d);
    load_at(gate, p, g);
    load_at(up, p, x);
    for (int e = 0; e < UNIT; e++) {
        float share = sigmoid(g[e]), silu = g[e] * share;
        float dsilu = share * (1.0f + g[e] * (1.0f - share));
        g[e] = d[e] * x[e] * dsilu;
        x[e] = d[e] * silu;
    }
    store_at(dgate, p, g);
    store_at(dup, p, x);
}

extern "C" fv_err fv_cuda_swiglu_grad(fv_backend *backend, const fv_swiglu_grad_args *args)
{
    FV_CUDA_STORED(args->dy.dtype,
                   LAUNCH(swiglu_grad_kernel, args->dy, matrix_of<T>(args->dy), matrix_of<T>(args->gate),
                          matrix_of<T>(args->up), matrix_of<T>(args->dgate), matrix_of<T>(args->dup),
                          n_units(args->dy)));
    return fv_cuda_launched("swiglu_grad");
}
