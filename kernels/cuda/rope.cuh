/* The turn of a pair of channels, in one order of its roundings. */
#ifndef FOVEA_KERNELS_CUDA_ROPE_CUH
#define FOVEA_KERNELS_CUDA_ROPE_CUH

#include "cuda.cuh"

__device__ __forceinline__ void turn_pair(float *x1, float *x2, float c, float s)
{
    float a = *x1, b = *x2;
    *x1 = __fmaf_rn(a, c, -__fmul_rn(b, s));
    *x2 = __fmaf_rn(b, c, __fmul_rn(a, s));
}

#endif
