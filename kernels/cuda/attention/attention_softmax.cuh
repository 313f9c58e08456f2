/* The online softmax of the forward kernels, in base 2: one order of its sums.
 *
 * A chunk is reduced alone. Its weights are summed in fp32, those of a quarter of its keys by each of the
 * four lanes that share a row, then the quarters and the lanes in a tree; they are rounded to BF16 for the
 * product with values. Chunks are merged in order. */
#ifndef FOVEA_KERNELS_CUDA_ATTENTION_SOFTMAX_CUH
#define FOVEA_KERNELS_CUDA_ATTENTION_SOFTMAX_CUH

#include "attention.cuh"

enum { QUARTERS = 4, QUARTER = CHUNK / QUARTERS };

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

/* Scores become weights; l: their sums of this lane's columns in a quarter, of both rows. */
__device__ __forceinline__ void weigh(float s[4], const float top[2], float scale_log2, float l[2])
{
#pragma unroll
    for (int e = 0; e < 4; e++) {
        s[e] = weight(s[e], top[e / 2], scale_log2);
        l[e / 2] = __fadd_rn(l[e / 2], s[e]);
    }
}

__device__ __forceinline__ float sum_of_quarters(float a, float b, float c, float d)
{
    float l = __fadd_rn(__fadd_rn(a, b), __fadd_rn(c, d));
    l = __fadd_rn(l, __shfl_xor_sync(~0u, l, 1));
    return __fadd_rn(l, __shfl_xor_sync(~0u, l, 2));
}

/* The weights of a chunk in place of its scores (16, 8 TILES), of which those behind are unseen; m: the
 * scaled maxima of the two rows, l: their sums. */
template <int TILES>
__device__ __forceinline__ void weigh_chunk(float (&s)[TILES][4], const float m[2], float scale_log2,
                                            float l[2])
{
    constexpr int EACH = QUARTER / 8;
    float top[2] = {finite_or_zero(m[0]), finite_or_zero(m[1])}, sum[QUARTERS][2] = {};
#pragma unroll
    for (int t = 0; t < TILES; t++)
        weigh(s[t], top, scale_log2, sum[t / EACH]);
    l[0] = sum_of_quarters(sum[0][0], sum[1][0], sum[2][0], sum[3][0]);
    l[1] = sum_of_quarters(sum[0][1], sum[1][1], sum[2][1], sum[3][1]);
}

template <int TILES>
__device__ __forceinline__ void scaled_maxima(const float (&s)[TILES][4], float scale_log2, float m[2])
{
    row_max<TILES>(s, m);
    m[0] = scaled_max(m[0], scale_log2);
    m[1] = scaled_max(m[1], scale_log2);
}

/* part (16, DP) += weights (16, 8 TILES) times values, a tile of 8 TILES rows */
template <int DP, int TILES>
__device__ __forceinline__ void add_values(float (&part)[DP / 8][4], const float (&w)[TILES][4],
                                           const bf16 *v)
{
#pragma unroll
    for (int t = 0; t < TILES; t += 2) {
        uint32_t p[4];
        pack_tiles(p, w[t], w[t + 1]);
        add_weighted<DP>(part, p, v, t * 8);
    }
}

/* By which two rows and what a chunk adds to them are multiplied. */
struct factors {
    float keep[2], add[2];
};

__device__ __forceinline__ factors merge_sums(running run[2], const float m[2], const float l[2])
{
    factors f;
    merge(&run[0], m[0], l[0], &f.keep[0], &f.add[0]);
    merge(&run[1], m[1], l[1], &f.keep[1], &f.add[1]);
    return f;
}

template <int OUT>
__device__ __forceinline__ void merge_parts(float (&o)[OUT][4], const float (&part)[OUT][4], const factors &f)
{
#pragma unroll
    for (int d = 0; d < OUT; d++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            o[d][e] = merged(o[d][e], part[d][e], f.keep[e / 2], f.add[e / 2]);
}

template <int OUT>
__device__ __forceinline__ void merge_rows(running run[2], const float m[2], const float l[2],
                                           float (&o)[OUT][4], const float (&part)[OUT][4])
{
    merge_parts(o, part, merge_sums(run, m, l));
}

__device__ __forceinline__ float lse_of(running run)
{
    return (run.m + log2f(run.l)) * LN_2;
}

/* Channels [column0, ..) of a row that this lane has two of in every eight: half 0 or 1 of o. */
template <int OUT>
__device__ __forceinline__ void store_row(const attention &a, int64_t row, int head, const float (&o)[OUT][4],
                                          int half, running run, int column0 = 0)
{
    int lane = threadIdx.x % 32;
    float inverse = 1.0f / run.l;
    bf16 *to = a.out + row * a.out_row + (int64_t)head * a.dim;
#pragma unroll
    for (int d = 0; d < OUT; d++) {
        int column = column0 + d * 8 + lane % 4 * 2;
        if (column < a.dim)
            *(uint32_t *)(to + column) =
                pack2(__fmul_rn(o[d][2 * half], inverse), __fmul_rn(o[d][2 * half + 1], inverse));
    }
    if (a.lse && lane % 4 == 0 && column0 == 0)
        a.lse[row * a.lse_row + head] = lse_of(run);
}

/* Rows first + lane / 4 and 8 further of a tile. */
template <int OUT>
__device__ __forceinline__ void store_rows(const attention &a, const query_tile &t, int first,
                                           const float (&o)[OUT][4], const running run[2], int column0 = 0)
{
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int i = first + threadIdx.x % 32 / 4 + 8 * half;
        if (i < t.seg.n_q)
            store_row(a, t.seg.q_row + i, t.head, o, half, run[half], column0);
    }
}

#endif
