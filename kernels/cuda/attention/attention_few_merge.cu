/* Chunks of segments of one query are merged in order: what they came to is in parts. */
#include "attention_few.cuh"

enum { TOGETHER = 8 /* parts that are loaded at once */ };

__device__ __forceinline__ void merge_part(running *run, float o[4], float2 of, float4 x)
{
    float keep, add;
    merge(run, of.x, of.y, &keep, &add);
    o[0] = merged(o[0], x.x, keep, add);
    o[1] = merged(o[1], x.y, keep, add);
    o[2] = merged(o[2], x.z, keep, add);
    o[3] = merged(o[3], x.w, keep, add);
}

/* A warp has a row of a segment, a lane up to four channels. */
template <int DP> __global__ __launch_bounds__(THREADS) void attention_few_merge(const attention a)
{
    few_query q = query_of(a.lists.queries + blockIdx.x); /* as in attention_few */
    int n_few = __ldcg(a.lists.counts + FEW);
    join_chain();
    if ((int)blockIdx.x >= n_few)
        return;
    int kv_head = blockIdx.y, r = blockIdx.z * WARPS + threadIdx.x / 32, group = a.n_heads / a.n_kv;
    int n_chunks = (q.n_keys + CHUNK - 1) / CHUNK, d = threadIdx.x % 32 * 4;
    if (r >= group || q.part < 0)
        return;
    running run = {NEG_INF, 0};
    float o[4] = {};
    for (int first = 0; first < n_chunks; first += TOGETHER) {
        float2 of[TOGETHER];
        float4 x[TOGETHER];
#pragma unroll
        for (int i = 0; i < TOGETHER; i++) {
            int c = min(first + i, n_chunks - 1);
            of[i] = *stats_at(a, q.part + c, kv_head, r);
            x[i] = d < DP ? *(const float4 *)(part_at<DP>(a, q.part + c, kv_head, r) + d)
                          : make_float4(0, 0, 0, 0);
        }
#pragma unroll
        for (int i = 0; i < TOGETHER; i++)
            if (first + i < n_chunks)
                merge_part(&run, o, of[i], x[i]);
    }
    int64_t row = q.row, head = kv_head * group + r;
    float inverse = 1.0f / run.l;
    uint32_t *to = (uint32_t *)(a.out + row * a.out_row + head * a.dim + d);
    if (d < a.dim) { /* channels come in eights */
        to[0] = pack2(__fmul_rn(o[0], inverse), __fmul_rn(o[1], inverse));
        to[1] = pack2(__fmul_rn(o[2], inverse), __fmul_rn(o[3], inverse));
    }
    if (a.lse && d == 0)
        a.lse[row * a.lse_row + head] = lse_of(run);
}

template <int DP> static fv_err launch(fv_backend *backend, const attention &a)
{
    dim3 blocks(a.lists.n_segments, a.n_kv, blocks_for(a.n_heads / a.n_kv, WARPS));
    return fv_cuda_chain(backend, "attention", {blocks, THREADS, 0}, attention_few_merge<DP>, a);
}

fv_err fv_cuda_attention_few_merge(fv_backend *backend, const attention &a)
{
    WITH_DIM(a.dim, return launch<DP>(backend, a));
}
