/* What the kernels of the gradient of attention share. */
#ifndef FOVEA_KERNELS_CUDA_ATTENTION_GRAD_CUH
#define FOVEA_KERNELS_CUDA_ATTENTION_GRAD_CUH

#include "attention.cuh"

enum { TILE = 64 /* queries, and keys */, TILES = TILE / 8, WARPS = 4, THREADS = 32 * WARPS };

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

/* Gradients of keys and values, when delta is there. */
fv_err fv_cuda_attention_grad_keys(fv_backend *backend, const attention_grad &g);

#endif
