/* Attention of segments with few queries: rows of a tile are (query, head of the group), so that one pass
 * over the keys serves all heads that share them. A block reduces one chunk alone, each of its four warps a
 * quarter of the scores and then a quarter of the channels; attention_few_merge merges the chunks in order.
 */
#include "attention_softmax.cuh"

enum {
    WARPS = 4,
    THREADS = 32 * WARPS,
    P_LINE = CHUNK + PAD,
    KEYS_OF_WARP = CHUNK / WARPS,
    SCORES = KEYS_OF_WARP / 8
};

/* Shared memory of a block. */
template <int DP> struct few_room {
    bf16 q[FEW_ROWS * (DP + PAD)], k[CHUNK * (DP + PAD)], v[CHUNK * (DP + PAD)], p[FEW_ROWS * P_LINE];
    float tops[WARPS][FEW_ROWS];
    key_map map;
};

/* Channels of a warp: every WARPS-th pair of tiles of eight. */
template <int DP> struct few_part {
    enum { PAIRS = (DP / 8 + 2 * WARPS - 1) / (2 * WARPS) };
    float o[PAIRS][2][4], l[4];
};

__device__ __forceinline__ int pair_of(int i)
{
    return (i * WARPS + threadIdx.x / 32) * 2;
}

template <int DP>
__device__ __forceinline__ void load_queries(bf16 *q, const attention &a, const segment_view &seg,
                                             int kv_head)
{
    int group = a.n_heads / a.n_kv;
    for (int i = threadIdx.x; i < FEW_ROWS * DP / 8; i += THREADS) {
        int r = i / (DP / 8), piece = i % (DP / 8);
        bool inside = r < seg.n_q * group && piece * 8 < a.dim;
        int64_t row = seg.q_row + r / group, head = kv_head * group + r % group;
        copy16(q + r * (DP + PAD) + piece * 8, inside ? a.q + row * a.q_row + head * a.dim + piece * 8 : a.q,
               inside);
    }
}

/* The maxima of the rows of this thread over all warps, scaled. */
__device__ __forceinline__ void maxima(float tops[WARPS][FEW_ROWS], const float (&s)[SCORES][4],
                                       float scale_log2, float m[2])
{
    int row = threadIdx.x % 32 / 4;
    row_max<SCORES>(s, m);
    if (threadIdx.x % 4 == 0) {
        tops[threadIdx.x / 32][row] = m[0];
        tops[threadIdx.x / 32][row + 8] = m[1];
    }
    __syncthreads();
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int r = row + 8 * half;
        m[half] = scaled_max(fmaxf(fmaxf(tops[0][r], tops[1][r]), fmaxf(tops[2][r], tops[3][r])), scale_log2);
    }
}

__device__ __forceinline__ void store_weights(bf16 *p, const float (&s)[SCORES][4], const float m[2],
                                              float scale_log2)
{
    float top[2] = {finite_or_zero(m[0]), finite_or_zero(m[1])};
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int t = 0; t < SCORES; t++) {
        float w[4];
        bf16 *to = p + lane / 4 * P_LINE + threadIdx.x / 32 * KEYS_OF_WARP + t * 8 + lane % 4 * 2;
        weigh(w, s[t], top, scale_log2);
        *(uint32_t *)to = pack2(w[0], w[1]);
        *(uint32_t *)(to + 8 * P_LINE) = pack2(w[2], w[3]);
    }
}

/* Warp 0 sums the weights too. */
template <int DP>
__device__ __forceinline__ void weigh_values(few_part<DP> &part, const bf16 *p, const bf16 *v)
{
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int t = 0; t < CHUNK; t += 16) {
        uint32_t fa[4], fb[4];
        load_matrices(fa, p + lane % 16 * P_LINE + t + lane / 16 * 8);
        if (threadIdx.x < 32)
            mma(part.l, fa, BF16_ONES, BF16_ONES);
#pragma unroll
        for (int i = 0; i < few_part<DP>::PAIRS; i++)
            if (pair_of(i) < DP / 8) {
                frag_b_turned<DP>(fb, v, t, pair_of(i) * 8);
                mma(part.o[i][0], fa, fb[0], fb[1]);
                mma(part.o[i][1], fa, fb[2], fb[3]);
            }
    }
}

/* to: FEW_ROWS lines of DP values, maximum and sum */
template <int DP>
__device__ __forceinline__ void store_part(float *to, const few_part<DP> &part, const float m[2])
{
    constexpr int LINE = DP + 2;
    int lane = threadIdx.x % 32;
    float *low = to + lane / 4 * LINE, *high = low + 8 * LINE;
#pragma unroll
    for (int i = 0; i < few_part<DP>::PAIRS; i++)
#pragma unroll
        for (int j = 0; j < 2; j++) {
            int column = (pair_of(i) + j) * 8 + lane % 4 * 2;
            if (pair_of(i) < DP / 8) {
                *(float2 *)(low + column) = make_float2(part.o[i][j][0], part.o[i][j][1]);
                *(float2 *)(high + column) = make_float2(part.o[i][j][2], part.o[i][j][3]);
            }
        }
    if (threadIdx.x < 32 && lane % 4 == 0) {
        *(float2 *)(low + DP) = make_float2(m[0], part.l[0]);
        *(float2 *)(high + DP) = make_float2(m[1], part.l[2]);
    }
}

/* Where the parts of chunk c of an item are: (chunks of all, n_kv, FEW_ROWS, DP + 2). */
template <int DP> __device__ __forceinline__ float *part_of(const attention &a, int2 item, int c, int kv_head)
{
    return a.parts + (((int64_t)item.y + c) * a.n_kv + kv_head) * FEW_ROWS * (DP + 2);
}

template <int DP> __global__ __launch_bounds__(THREADS) void attention_few(const attention a)
{
    extern __shared__ __align__(128) uint8_t shared[];
    few_room<DP> &room = *(few_room<DP> *)shared;
    if ((int)blockIdx.x >= a.counts[1])
        return;
    int2 item = a.few[blockIdx.x];
    segment_view seg = segment_of(a, item.x);
    int kv_head = blockIdx.y, group = a.n_heads / a.n_kv, n_chunks = (seg.n_keys + CHUNK - 1) / CHUNK;
    if ((int)blockIdx.z >= n_chunks)
        return;
    int first = threadIdx.x / 32 * KEYS_OF_WARP, row = threadIdx.x % 32 / 4;
    int pos0 = seg.n_past + row / group, pos1 = seg.n_past + (row + 8) / group;
    key_range seen = keys_seen(a, seg, seg.n_past, seg.n_past + seg.n_q - 1);
    key_map_fill(&room.map, seg);
    load_queries<DP>(room.q, a, seg, kv_head);
    for (int c = blockIdx.z; c < n_chunks; c += gridDim.z) {
        load_keys<DP, CHUNK, WARPS>(room.k, room.v, a, &room.map, c * CHUNK, seen, kv_head);
        copies_commit();
        copies_wait<0>();
        __syncthreads();
        float s[SCORES][4] = {}, m[2];
        add_scores<DP, SCORES>(s, room.q, 0, room.k, first);
        mask_scores<SCORES>(s, c * CHUNK + first, pos0, pos1, seg.n_keys, a.causal, a.window);
        maxima(room.tops, s, a.scale_log2, m);
        store_weights(room.p, s, m, a.scale_log2);
        __syncthreads();
        few_part<DP> part = {};
        weigh_values<DP>(part, room.p, room.v);
        store_part<DP>(part_of<DP>(a, item, c, kv_head), part, m);
        __syncthreads();
    }
}

/* A block has a row of an item, a thread a channel. */
template <int DP> __global__ __launch_bounds__(128) void attention_few_merge(const attention a)
{
    if ((int)blockIdx.x >= a.counts[1])
        return;
    int2 item = a.few[blockIdx.x];
    segment_view seg = segment_of(a, item.x);
    int kv_head = blockIdx.y, r = blockIdx.z, group = a.n_heads / a.n_kv, d = threadIdx.x;
    int n_chunks = (seg.n_keys + CHUNK - 1) / CHUNK;
    if (r >= seg.n_q * group)
        return;
    const float *from = part_of<DP>(a, item, 0, kv_head) + r * (DP + 2);
    running run = {NEG_INF, 0};
    float o = 0;
    for (int c = 0; c < n_chunks; c++, from += (int64_t)a.n_kv * FEW_ROWS * (DP + 2)) {
        float keep, add;
        merge(&run, from[DP], from[DP + 1], &keep, &add);
        if (d < a.dim)
            o = merged(o, from[d], keep, add);
    }
    int64_t row = seg.q_row + r / group, head = kv_head * group + r % group;
    if (d < a.dim)
        a.out[row * a.out_row + head * a.dim + d] = __float2bfloat16_rn(__fmul_rn(o, 1.0f / run.l));
    if (a.lse && d == 0)
        a.lse[row * a.lse_row + head] = lse_of(run);
}

/* Blocks share out the chunks of a segment as far as there are processors for them. */
template <int DP> static fv_err launch(fv_backend *backend, const attention &a)
{
    cudaStream_t stream = fv_cuda_compute(backend);
    int splits = 4 * fv_cuda_state_of(backend)->n_processors / (a.n_segments * a.n_kv);
    splits = splits < 1 ? 1 : splits > 32 ? 32 : splits;
    FV_CUDA(cudaFuncSetAttribute(attention_few<DP>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 (int)sizeof(few_room<DP>)));
    attention_few<DP><<<dim3(a.n_segments, a.n_kv, splits), THREADS, sizeof(few_room<DP>), stream>>>(a);
    attention_few_merge<DP><<<dim3(a.n_segments, a.n_kv, FEW_ROWS), 128, 0, stream>>>(a);
    return fv_cuda_launched("attention");
}

fv_err fv_cuda_attention_few(fv_backend *backend, const attention &a)
{
    WITH_DIM(a.dim, return launch<DP>(backend, a));
}
