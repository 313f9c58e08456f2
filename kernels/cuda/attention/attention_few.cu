/* Attention of segments with few queries, as in decoding: a block takes a chunk of keys, for the heads that
 * share a key head, and leaves what it comes to; attention_few_merge merges the chunks in order.
 *
 * Rows of a tile are (query, head of the group). A chunk of one segment has sixteen of them: each of four
 * warps has a quarter of its keys and then a quarter of the channels. A chunk that several segments share, as
 * samples do the pages of their prompt, is read once for all of them: sixty-four rows, sixteen a warp. */
#include "attention_softmax.cuh"

enum { WARPS = 4, THREADS = 32 * WARPS, P_LINE = CHUNK + PAD, SCORES = QUARTER / 8 };

/* A segment of a unit. */
struct member {
    segment_view seg;
    int part; /* of the chunk; -1: the block goes on by itself */
};

/* Shared memory of a block. */
template <int DP> struct few_room {
    bf16 q[UNIT_ROWS * (DP + PAD)], k[CHUNK * (DP + PAD)], v[CHUNK * (DP + PAD)], p[FEW_ROWS * P_LINE];
    float tops[WARPS][FEW_ROWS], sums[QUARTERS][2][32];
};

__device__ __forceinline__ member member_of(const attention &a, int4 unit, int i)
{
    int2 item = a.lists.few[unit.x + i];
    return {segment_of(a, item.x), item.y < 0 ? -1 : item.y + unit.z};
}

/* Where the row of a part begins, and its statistics. */
template <int DP>
__device__ __forceinline__ float *part_at(const attention &a, int part, int kv_head, int row)
{
    return a.parts + (((int64_t)part * a.n_kv + kv_head) * a.few_rows + row) * DP;
}
__device__ __forceinline__ float2 *stats_at(const attention &a, int part, int kv_head, int row)
{
    return a.stats + ((int64_t)part * a.n_kv + kv_head) * a.few_rows + row;
}

/* Queries of n segments, `each` rows of one after the other. */
template <int DP>
__device__ __forceinline__ void load_queries(bf16 *q, const attention &a, int4 unit, int rows, int each,
                                             int kv_head)
{
    int group = a.n_heads / a.n_kv;
    for (int i = threadIdx.x; i < rows * DP / 8; i += THREADS) {
        int r = i / (DP / 8), piece = i % (DP / 8);
        bool inside = r < each * unit.y && piece * 8 < a.dim;
        int64_t row = 0;
        if (inside) {
            int32_t first = a.segments[a.segment_row * a.lists.few[unit.x + r / each].x];
            row = first + r % each / group;
        }
        int head = kv_head * group + r % each % group;
        copy16(q + r * (DP + PAD) + piece * 8,
               inside ? a.q + row * a.q_row + (int64_t)head * a.dim + piece * 8 : a.q, inside);
    }
}

/* ---- sixteen rows of one segment ---- */

/* Channels of a warp: every WARPS-th pair of tiles of eight. */
template <int DP> struct few_part {
    enum { PAIRS = (DP / 8 + 2 * WARPS - 1) / (2 * WARPS) };
    float o[2 * PAIRS][4];
};

__device__ __forceinline__ int pair_of(int i)
{
    return (i * WARPS + threadIdx.x / 32) * 2;
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

/* Weights of the warp's quarter, and their sums for all. */
template <int DP>
__device__ __forceinline__ void store_weights(few_room<DP> &room, float (&s)[SCORES][4], const float m[2],
                                              float scale_log2)
{
    float top[2] = {finite_or_zero(m[0]), finite_or_zero(m[1])}, sum[2] = {};
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
    for (int t = 0; t < SCORES; t++) {
        bf16 *to = room.p + lane / 4 * P_LINE + warp * QUARTER + t * 8 + lane % 4 * 2;
        weigh(s[t], top, scale_log2, sum);
        *(uint32_t *)to = pack2(s[t][0], s[t][1]);
        *(uint32_t *)(to + 8 * P_LINE) = pack2(s[t][2], s[t][3]);
    }
    room.sums[warp][0][lane] = sum[0];
    room.sums[warp][1][lane] = sum[1];
}

template <int DP>
__device__ __forceinline__ void weigh_values(few_part<DP> &part, const bf16 *p, const bf16 *v)
{
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int t = 0; t < CHUNK; t += 16) {
        uint32_t fa[4], fb[4];
        load_matrices(fa, p + lane % 16 * P_LINE + t + lane / 16 * 8);
#pragma unroll
        for (int i = 0; i < few_part<DP>::PAIRS; i++)
            if (pair_of(i) < DP / 8) {
                frag_b_turned<DP>(fb, v, t, pair_of(i) * 8);
                mma(part.o[2 * i], fa, fb[0], fb[1]);
                mma(part.o[2 * i + 1], fa, fb[2], fb[3]);
            }
    }
}

/* Chunk c, whose keys are there: its maxima, sums and weighted values. */
template <int DP>
__device__ __forceinline__ void reduce_few(few_room<DP> &room, const attention &a, const segment_view &seg,
                                           int c, few_part<DP> &part, float m[2], float l[2])
{
    int first = threadIdx.x / 32 * QUARTER, row = threadIdx.x % 32 / 4, lane = threadIdx.x % 32,
        group = a.n_heads / a.n_kv;
    float s[SCORES][4] = {};
    add_scores<DP, SCORES>(s, room.q, 0, room.k, first);
    mask_scores<SCORES>(s, c * CHUNK + first, seg.n_past + row / group, seg.n_past + (row + 8) / group,
                        seg.n_keys, a.causal, a.window);
    maxima(room.tops, s, a.scale_log2, m);
    store_weights(room, s, m, a.scale_log2);
    __syncthreads();
    weigh_values<DP>(part, room.p, room.v);
    for (int half = 0; half < 2; half++)
        l[half] = sum_of_quarters(room.sums[0][half][lane], room.sums[1][half][lane],
                                  room.sums[2][half][lane], room.sums[3][half][lane]);
}

template <int DP>
__device__ __forceinline__ void store_part(const attention &a, int part_index, int kv_head,
                                           const few_part<DP> &part, const float m[2], const float l[2])
{
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int row = lane / 4 + 8 * half;
        if (row >= a.few_rows)
            continue;
        float *to = part_at<DP>(a, part_index, kv_head, row);
#pragma unroll
        for (int i = 0; i < 2 * few_part<DP>::PAIRS; i++)
            if (pair_of(i / 2) < DP / 8)
                *(float2 *)(to + (pair_of(i / 2) + i % 2) * 8 + lane % 4 * 2) =
                    make_float2(part.o[i][2 * half], part.o[i][2 * half + 1]);
        if (threadIdx.x < 32 && lane % 4 == 0)
            *stats_at(a, part_index, kv_head, row) = make_float2(m[half], l[half]);
    }
}

/* The result, where all chunks were merged in registers. */
template <int DP>
__device__ __forceinline__ void store_few(const attention &a, const segment_view &seg, int kv_head,
                                          const few_part<DP> &o, const running run[2])
{
    int lane = threadIdx.x % 32, group = a.n_heads / a.n_kv;
    for (int half = 0; half < 2; half++) {
        int r = lane / 4 + 8 * half;
        if (r >= seg.n_q * group)
            continue;
        int64_t row = seg.q_row + r / group, head = kv_head * group + r % group;
        float inverse = 1.0f / run[half].l;
        for (int i = 0; i < 2 * few_part<DP>::PAIRS; i++) {
            int column = (pair_of(i / 2) + i % 2) * 8 + lane % 4 * 2;
            if (column < a.dim)
                *(uint32_t *)(a.out + row * a.out_row + head * a.dim + column) =
                    pack2(__fmul_rn(o.o[i][2 * half], inverse), __fmul_rn(o.o[i][2 * half + 1], inverse));
        }
        if (a.lse && threadIdx.x < 32 && lane % 4 == 0)
            a.lse[row * a.lse_row + head] = lse_of(run[half]);
    }
}

template <int DP>
__device__ __forceinline__ void run_one(few_room<DP> &room, const attention &a, int4 unit, int kv_head)
{
    member of = member_of(a, unit, 0);
    int each = of.seg.n_q * (a.n_heads / a.n_kv), n_chunks = (of.seg.n_keys + CHUNK - 1) / CHUNK;
    int first = unit.z < 0 ? 0 : unit.z, end = unit.z < 0 ? n_chunks : unit.z + 1;
    key_range seen = keys_seen(a, of.seg, of.seg.n_past, of.seg.n_past + of.seg.n_q - 1);
    load_queries<DP>(room.q, a, unit, FEW_ROWS, each, kv_head);
    few_part<DP> o = {};
    running run[2] = {{NEG_INF, 0}, {NEG_INF, 0}};
    for (int c = first; c < end; c++) {
        few_part<DP> part = {};
        float m[2], l[2];
        load_keys<DP, CHUNK, WARPS>(room.k, room.v, a, of.seg, c * CHUNK, seen, kv_head);
        copies_commit();
        copies_wait<0>();
        __syncthreads();
        reduce_few(room, a, of.seg, c, part, m, l);
        if (of.part >= 0)
            store_part<DP>(a, of.part, kv_head, part, m, l);
        else
            merge_rows(run, m, l, o.o, part.o);
        __syncthreads();
    }
    if (of.part < 0)
        store_few(a, of.seg, kv_head, o, run);
}

/* ---- sixty-four rows of several ---- */

/* The rows of this thread: whose they are, and their places there. */
struct unit_row {
    int is_there, pos, n_keys, part, row;
};

__device__ __forceinline__ unit_row unit_row_of(const attention &a, int4 unit, int r)
{
    int group = a.n_heads / a.n_kv, i = r / group;
    if (i >= unit.y)
        return {0, 0, 0, 0, 0};
    int2 item = a.lists.few[unit.x + i];
    const int32_t *s = a.segments + a.segment_row * item.x;
    return {1, s[2], s[5], item.y + unit.z, r % group};
}

/* Scores of keys that a row does not see become -inf. */
__device__ __forceinline__ void mask_units(const attention &a, float (&s)[CHUNK / 8][4], int c,
                                           const unit_row rows[2])
{
    int lane = threadIdx.x % 32, end = (c + 1) * CHUNK;
    bool whole = !a.window;
    for (int half = 0; half < 2; half++)
        whole = whole && end <= rows[half].n_keys && (!a.causal || end <= rows[half].pos + 1);
    if (whole)
        return;
#pragma unroll
    for (int t = 0; t < CHUNK / 8; t++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            int key = c * CHUNK + t * 8 + lane % 4 * 2 + e % 2;
            const unit_row &r = rows[e / 2];
            bool seen =
                key < r.n_keys && (!a.causal || key <= r.pos) && (!a.window || key > r.pos - a.window);
            s[t][e] = seen ? s[t][e] : NEG_INF;
        }
}

/* What some segment of the unit sees. */
__device__ __forceinline__ key_range unit_range(const attention &a, int4 unit)
{
    key_range all = {0x7fffffff, 0};
    for (int i = 0; i < unit.y; i++) {
        member of = member_of(a, unit, i);
        key_range seen = keys_seen(a, of.seg, of.seg.n_past, of.seg.n_past);
        all = {min(all.first, seen.first), max(all.end, seen.end)};
    }
    return all;
}

template <int DP>
__device__ __forceinline__ void run_shared(few_room<DP> &room, const attention &a, int4 unit, int kv_head)
{
    int group = a.n_heads / a.n_kv, warp_row = threadIdx.x / 32 * 16, r = warp_row + threadIdx.x % 32 / 4;
    load_keys<DP, CHUNK, WARPS>(room.k, room.v, a, member_of(a, unit, 0).seg, unit.z * CHUNK,
                                unit_range(a, unit), kv_head);
    load_queries<DP>(room.q, a, unit, UNIT_ROWS, group, kv_head);
    copies_commit();
    const unit_row rows[2] = {unit_row_of(a, unit, r), unit_row_of(a, unit, r + 8)};
    copies_wait<0>();
    __syncthreads();
    if (warp_row >= unit.y * group)
        return;
    float s[CHUNK / 8][4] = {}, part[DP / 8][4] = {}, m[2], l[2];
    add_scores<DP, CHUNK / 8>(s, room.q, warp_row, room.k, 0);
    mask_units(a, s, unit.z, rows);
    scaled_maxima(s, a.scale_log2, m);
    weigh_chunk(s, m, a.scale_log2, l);
    add_values<DP, CHUNK / 8>(part, s, room.v);
#pragma unroll
    for (int half = 0; half < 2; half++) {
        if (!rows[half].is_there)
            continue;
        float *to = part_at<DP>(a, rows[half].part, kv_head, rows[half].row);
#pragma unroll
        for (int d = 0; d < DP / 8; d++)
            *(float2 *)(to + d * 8 + threadIdx.x % 4 * 2) =
                make_float2(part[d][2 * half], part[d][2 * half + 1]);
        if (threadIdx.x % 4 == 0)
            *stats_at(a, rows[half].part, kv_head, rows[half].row) = make_float2(m[half], l[half]);
    }
}

template <int DP> __global__ __launch_bounds__(THREADS, 2) void attention_few(const attention a)
{
    extern __shared__ __align__(128) uint8_t shared[];
    few_room<DP> &room = *(few_room<DP> *)shared;
    int n = a.lists.counts[UNITS] * a.n_kv;
    for (int i = blockIdx.x; i < n; i += gridDim.x) {
        int4 unit = a.lists.units[i / a.n_kv];
        if (unit.y > 1)
            run_shared(room, a, unit, i % a.n_kv);
        else
            run_one(room, a, unit, i % a.n_kv);
        __syncthreads();
    }
}

/* A warp has a row of a segment, a lane up to four channels. */
template <int DP> __global__ __launch_bounds__(THREADS) void attention_few_merge(const attention a)
{
    if ((int)blockIdx.x >= a.lists.counts[FEW])
        return;
    int2 item = a.lists.few[blockIdx.x];
    segment_view seg = segment_of(a, item.x);
    int kv_head = blockIdx.y, r = blockIdx.z * WARPS + threadIdx.x / 32, group = a.n_heads / a.n_kv;
    int n_chunks = (seg.n_keys + CHUNK - 1) / CHUNK, d = threadIdx.x % 32 * 4;
    if (r >= seg.n_q * group || item.y < 0)
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
    int64_t row = seg.q_row + r / group, head = kv_head * group + r % group;
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
    cudaStream_t stream = fv_cuda_compute(backend);
    int bytes = (int)sizeof(few_room<DP>);
    FV_CUDA(cudaFuncSetAttribute(attention_few<DP>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    attention_few<DP>
        <<<grid_for(backend, (int64_t)a.lists.max_units * a.n_kv, 2), THREADS, bytes, stream>>>(a);
    attention_few_merge<DP>
        <<<dim3(a.lists.n_segments, a.n_kv, blocks_for(a.few_rows, WARPS)), THREADS, 0, stream>>>(a);
    return fv_cuda_launched("attention");
}

fv_err fv_cuda_attention_few(fv_backend *backend, const attention &a)
{
    WITH_DIM(a.dim, return launch<DP>(backend, a));
}
