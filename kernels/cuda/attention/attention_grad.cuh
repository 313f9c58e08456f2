/* What the kernels of the gradient of attention share. */
#ifndef FOVEA_KERNELS_CUDA_ATTENTION_GRAD_CUH
#define FOVEA_KERNELS_CUDA_ATTENTION_GRAD_CUH

#include "attention.cuh"

enum { TILE = 64 /* queries, and keys */, EIGHTS = TILE / 8, WARPS = 4, THREADS = 32 * WARPS };

struct attention_grad {
    attention f;
    const bf16 *dout;
    int64_t dout_row;
    float *delta;   /* (T, H) workspace */
    float *dq;      /* written */
    float *dk, *dv; /* added to */
    int64_t dq_row, dk_row, dv_row;
    int64_t n_key_rows, n_queries;
    int own_dim; /* channels of the gradients, which are never padded */
};

/* By which weights are made again, and what is taken off the gradient of a weight. */
struct grad_stats {
    float lse, delta; /* lse: in base 2 */
};

__device__ __forceinline__ grad_stats grad_stats_of(const attention_grad &g, const segment_view &seg, int i,
                                                    int head)
{
    int64_t row = seg.q_row + i;
    if (i >= seg.n_q)
        return {0, 0};
    return {g.f.lse[row * g.f.lse_row + head] * LOG2_E, g.delta[row * g.f.n_heads + head]};
}

/* A chunk's scores become their gradients, from those of weights: in dp. */
__device__ __forceinline__ void grad_scores(const float (&s)[EIGHTS][4], float (&dp)[EIGHTS][4],
                                            const grad_stats of[2], float scale_log2)
{
#pragma unroll
    for (int t = 0; t < EIGHTS; t++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            dp[t][e] = weight(s[t][e], of[e / 2].lse, scale_log2) * (dp[t][e] - of[e / 2].delta);
}

/* dq (16, DP) += gradients of scores times a tile of keys */
template <int DP>
__device__ __forceinline__ void add_keys(float (&dq)[DP / 8][4], const float (&ds)[EIGHTS][4], const bf16 *k)
{
#pragma unroll
    for (int n = 0; n < EIGHTS; n += 2) {
        uint32_t p[4];
        pack_tiles(p, ds[n], ds[n + 1]);
        add_weighted<DP>(dq, p, k, n * 8);
    }
}

/* Of a row's numbers in two tiles of eight columns this thread's four neighbours: in tile lane % 2. */
__device__ __forceinline__ float4 neighbours(const float a[2], const float b[2])
{
    bool odd = threadIdx.x % 2;
    float x = __shfl_xor_sync(~0u, odd ? a[0] : b[0], 1), y = __shfl_xor_sync(~0u, odd ? a[1] : b[1], 1);
    return odd ? make_float4(x, y, b[0], b[1]) : make_float4(a[0], a[1], x, y);
}

__device__ __forceinline__ void store_four(float *to, float4 x, int n, bool is_aligned)
{
    if (is_aligned && n >= 4) {
        *(float4 *)to = x;
        return;
    }
    float each[4] = {x.x, x.y, x.z, x.w};
#pragma unroll
    for (int e = 0; e < 4; e++)
        if (e < n)
            to[e] = each[e];
}

/* Rows of a tile from `first` on, channels from column0 on. */
template <int OUT>
__device__ __forceinline__ void store_queries(const attention_grad &g, const query_tile &t, int first,
                                              const float (&dq)[OUT][4], int column0 = 0)
{
    float scale = g.f.scale_log2 * LN_2;
    int lane = threadIdx.x % 32;
    bool is_aligned = (uintptr_t)g.dq % 16 == 0 && g.dq_row % 4 == 0 && g.own_dim % 4 == 0;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int i = first + lane / 4 + 8 * half;
        float *to = g.dq + (t.seg.q_row + i) * g.dq_row + (int64_t)t.head * g.own_dim;
#pragma unroll
        for (int d = 0; d < OUT; d += 2) {
            int column = column0 + (d + lane % 2) * 8 + lane % 4 / 2 * 4;
            float4 x = neighbours(dq[d] + 2 * half, dq[d + 1] + 2 * half);
            x = make_float4(x.x * scale, x.y * scale, x.z * scale, x.w * scale);
            if (i < t.seg.n_q)
                store_four(to + column, x, g.own_dim - column, is_aligned);
        }
    }
}

/* When delta is there: gradients of queries; of keys and values; both, of wide heads. */
fv_err fv_cuda_attention_grad_groups(fv_backend *backend, const attention_grad &g); /* both, on sm_90 alone */
fv_err fv_cuda_attention_grad_groups_keys(fv_backend *backend, const attention_grad &g);
fv_err fv_cuda_attention_grad_queries(fv_backend *backend, const attention_grad &g);
fv_err fv_cuda_attention_grad_keys(fv_backend *backend, const attention_grad &g);
fv_err fv_cuda_attention_grad_wide(fv_backend *backend, const attention_grad &g);

#endif
