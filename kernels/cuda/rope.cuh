/* The turn of pairs of channels, in one order of its roundings. */
#ifndef FOVEA_KERNELS_CUDA_ROPE_CUH
#define FOVEA_KERNELS_CUDA_ROPE_CUH

#include "cuda.cuh"

/* The angles of a row. */
struct row_angles {
    const float *cosines, *sines;
    int half, is_aligned; /* half: how many */
    float sign;           /* of the sines */
};

__device__ __forceinline__ row_angles row_angles_of(const matrix<float> &cosines, const matrix<float> &sines,
                                                    int64_t row, float sign)
{
    return {cosines.data + row * cosines.stride, sines.data + row * sines.stride, (int)cosines.cols,
            cosines.is_aligned && sines.is_aligned, sign};
}

__device__ __forceinline__ void turn_pair(float *x1, float *x2, float c, float s)
{
    float a = *x1, b = *x2;
    *x1 = __fmaf_rn(a, c, -__fmul_rn(b, s));
    *x2 = __fmaf_rn(b, c, __fmul_rn(a, s));
}

/* Units at `at` of the halves of a head, turned. */
template <typename T>
__device__ __forceinline__ void turn_unit(const T *head, int is_aligned, const row_angles &by, int at,
                                          float x1[UNIT], float x2[UNIT])
{
    float c[UNIT], s[UNIT];
    load_unit(head, at, by.half, is_aligned, x1);
    load_unit(head + by.half, at, by.half, is_aligned, x2);
    load_unit(by.cosines, at, by.half, by.is_aligned, c);
    load_unit(by.sines, at, by.half, by.is_aligned, s);
    for (int e = 0; e < UNIT; e++)
        turn_pair(&x1[e], &x2[e], c[e], by.sign * s[e]);
}

template <typename T>
__device__ __forceinline__ void store_halves(T *head, int is_aligned, int half, int at, const float x1[UNIT],
                                             const float x2[UNIT])
{
    store_unit(head, at, half, is_aligned, x1);
    store_unit(head + half, at, half, is_aligned, x2);
}

/* Whether units of halves of heads lie as those of rows do. */
static inline int halves_are_whole(int64_t dim)
{
    return dim % (2 * UNIT) == 0;
}

#endif
