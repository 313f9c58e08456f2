/* The online softmax of the forward kernels, in base 2: one order of its sums. */
#ifndef FOVEA_KERNELS_CUDA_ATTENTION_SOFTMAX_CUH
#define FOVEA_KERNELS_CUDA_ATTENTION_SOFTMAX_CUH

#include "attention.cuh"

enum { BF16_ONES = 0x3f803f80 /* two of them */ };

/* The scaled maximum of scores so far, and the sum of their weights. */
struct running {
    float m, l;
};

/* The running maximum and sum take in those of a chunk; *keep and *add: factors of what was and what comes.
 */
__device__ __forceinline__ void merge(running *run, float m, float l, float *keep, float *add)
{
    if (m == NEG_INF) {
        *keep = 1;
        *add = 0;
        return;
    }
    float top = fmaxf(run->m, m);
    *keep = exp2_fast(__fsub_rn(run->m, top));
    *add = exp2_fast(__fsub_rn(m, top));
    run->l = __fmaf_rn(l, *add, __fmul_rn(run->l, *keep));
    run->m = top;
}

__device__ __forceinline__ float merged(float was, float comes, float keep, float add)
{
    return __fmaf_rn(comes, add, __fmul_rn(was, keep));
}

__device__ __forceinline__ float scaled_max(float top, float scale_log2)
{
    return top == NEG_INF ? NEG_INF : __fmul_rn(top, scale_log2);
}

/* Of a row that sees nothing, so that its weights are 0 and not NaN. */
__device__ __forceinline__ float finite_or_zero(float top)
{
    return top == NEG_INF ? 0 : top;
}

__device__ __forceinline__ void weigh(float w[4], const float s[4], const float top[2], float scale_log2)
{
    w[0] = weight(s[0], top[0], scale_log2);
    w[1] = weight(s[1], top[0], scale_log2);
    w[2] = weight(s[2], top[1], scale_log2);
    w[3] = weight(s[3], top[1], scale_log2);
}

__device__ __forceinline__ float lse_of(running run)
{
    return (run.m + log2f(run.l)) * LN_2;
}

#endif
