/* GELU of the error function, and its gradient. */
#include "elementwise.cuh"

struct gelu {
    __device__ float operator()(float x) const
    {
        return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
    }
};
struct gelu_slope_times {
    __device__ float operator()(float dy, float x) const
    {
        float cumulative = 0.5f * (1.0f + erff(x * 0.70710678118654752f));
        float density = 0.3989422804014327f * expf(-0.5f * x * x);
        return dy * (cumulative + x * density);
    }
};
extern "C" fv_err fv_cuda_gelu(fv_backend *backend, const fv_gelu_args *args)
{
    FV_CUDA_STORED(args->y.dtype, LAUNCH(map1_kernel, args->y, matrix_of<T>(args->x), matrix_of<T>(args->y),
                                         n_units(args->y), gelu()));
    return fv_cuda_launched("gelu");
}

extern "C" fv_err fv_cuda_gelu_grad(fv_backend *backend, const fv_gelu_grad_args *args)
{
    FV_CUDA_STORED(args->dx.dtype,
                   LAUNCH(map2_kernel, args->dx, matrix_of<T>(args->dy), matrix_of<T>(args->x),
                          matrix_of<T>(args->dx), n_units(args->dx), gelu_slope_times()));
    return fv_cuda_launched("gelu_grad");
}
