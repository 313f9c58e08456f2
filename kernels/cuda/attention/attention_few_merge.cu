/* Chunks of segments of one query are merged in order: what they came to is in parts. */
#include "attention_few.cuh"

/* A warp has a row of a segment, a lane up to four channels. */
template <int DP> __global__ __launch_bounds__(THREADS) void attention_few_merge(const attention a)
{
    join_chain();
    if ((int)blockIdx.x >= a.lists.counts[FEW])
        return;
    int2 item = a.lists.few[blockIdx.x];
    segment_view seg = segment_of(a, item.x);
    int kv_head = blockIdx.y, r = blockIdx.z * WARPS + threadIdx.x / 32, group = a.n_heads / a.n_kv;
    int n_chunks = (seg.n_keys + CHUNK - 1) / CHUNK, d = threadIdx.x % 32 * 4;
    if (r >= group || item.y < 0)
        return;
    running run = {NEG_INF, 0};
    float o[4] = {};
#pragma unroll 4
    for (int c = 0; c < n_chunks; c++) {
        float2 of = *stats_at(a, item.y + c, kv_head, r);
        float4 x =
            d < DP ? *(const float4 *)(part_at<DP>(a, item.y + c, kv_head, r) + d) : make_float4(0, 0, 0, 0);
        float keep, add;
        merge(&run, of.x, of.y, &keep, &add);
        o[0] = merged(o[0], x.x, keep, add);
        o[1] = merged(o[1], x.y, keep, add);
        o[2] = merged(o[2], x.z, keep, add);
        o[3] = merged(o[3], x.w, keep, add);
    }
    int64_t row = seg.q_row, head = kv_head * group + r;
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
