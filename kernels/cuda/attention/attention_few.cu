/* Attention of segments of one query, as in decoding: a block takes a chunk of keys, for the heads that share
 * a key head, and leaves what it comes to; attention_few_merge.cu merges the chunks in order.
 *
 * Rows of a tile are heads of the group. A chunk of one segment has at most sixteen of them: each of four
 * warps has a quarter of its keys and then a quarter of the channels. A chunk that several segments share, as
 * samples do the pages of their prompt, is read once for all of them: sixty-four rows, sixteen a warp. */
#include "attention_few.cuh"

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

/* Scores of chunk c, whose keys are there, and their scaled maxima over all warps; all have read the keys. */
template <int DP>
__device__ __forceinline__ void add_few_scores(few_room<DP> &room, const attention &a, const few_query &q,
                                               int c, float (&s)[SCORES][4], float m[2])
{
    int first = threadIdx.x / 32 * QUARTER;
    add_scores<DP, SCORES>(s, room.q, 0, room.k, first);
    mask_scores<SCORES>(s, c * CHUNK + first, q.pos, q.pos, q.n_keys, a.causal, a.window);
    maxima(room.tops, s, a.scale_log2, m);
}

/* Weighted values and sums of weights, when weights and values are there. */
template <int DP>
__device__ __forceinline__ void weigh_few(few_room<DP> &room, few_part<DP> &part, float l[2])
{
    int lane = threadIdx.x % 32;
    weigh_values<DP>(part, room.p, room.v);
#pragma unroll
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
        if (row >= a.n_heads / a.n_kv)
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
__device__ __forceinline__ void store_few(const attention &a, int64_t row, int kv_head, const few_part<DP> &o,
                                          const running run[2])
{
    int lane = threadIdx.x % 32, group = a.n_heads / a.n_kv;
    for (int half = 0; half < 2; half++) {
        int r = lane / 4 + 8 * half;
        if (r >= group)
            continue;
        int64_t head = kv_head * group + r;
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
__device__ __forceinline__ void finish_one(few_room<DP> &room, const attention &a, const work &now,
                                           const float m[2])
{
    float l[2];
    few_part<DP> part = {};
    weigh_few(room, part, l);
    store_part<DP>(a, now.first.part + now.unit.z, now.kv_head, part, m, l);
}

/* All chunks of a segment for whose parts there is no room. */
template <int DP>
__device__ __forceinline__ void run_alone(few_room<DP> &room, const attention &a, const work &w)
{
    segment_view seg = segment_of(a, a.lists.few[w.unit.x].x);
    key_range seen = keys_seen(a, seg.n_keys, seg.n_past, seg.n_past);
    few_part<DP> o = {};
    running run[2] = {{NEG_INF, 0}, {NEG_INF, 0}};
    load_queries<DP, FEW_ROWS>(room.q, a, w);
    for (int c = 0; c < (seg.n_keys + CHUNK - 1) / CHUNK; c++) {
        float s[SCORES][4] = {}, m[2], l[2];
        few_part<DP> part = {};
        load_keys<DP, CHUNK, WARPS>(room.k, room.v, a, seg, c * CHUNK, seen, w.kv_head);
        copies_commit();
        copies_wait<0>();
        __syncthreads();
        add_few_scores(room, a, w.first, c, s, m);
        store_weights(room, s, m, a.scale_log2);
        __syncthreads();
        weigh_few(room, part, l);
        merge_rows(run, m, l, o.o, part.o);
        __syncthreads();
    }
    store_few(a, w.first.row, w.kv_head, o, run);
}

/* ---- sixty-four rows of several ---- */

/* The rows of this thread: whose they are, and their places there. */
struct unit_row {
    int is_there, pos, n_keys, part, row;
};

__device__ __forceinline__ unit_row unit_row_of(const attention &a, int4 unit, int r)
{
    int group = a.n_heads / a.n_kv, i = quotient(r, 1.0f / (float)group);
    if (i >= unit.y)
        return {0, 0, 0, 0, 0};
    few_query q = query_of(a.lists.queries + unit.x + i);
    return {1, q.pos, q.n_keys, q.part + unit.z, r - i * group};
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

template <int DP>
__device__ __forceinline__ void store_shared(const attention &a, const unit_row rows[2], int kv_head,
                                             const float (&part)[DP / 8][4], const float m[2],
                                             const float l[2])
{
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

/* Whether this warp has rows of a unit. */
__device__ __forceinline__ bool is_busy(const attention &a, const work &now)
{
    return (int)threadIdx.x / 32 * 16 < now.unit.y * (a.n_heads / a.n_kv);
}

/* Scores become weights; m, l: their scaled maxima and sums. */
__device__ __forceinline__ void weigh_shared(const attention &a, const work &now, const unit_row rows[2],
                                             float (&s)[CHUNK / 8][4], float m[2], float l[2])
{
    mask_units(a, s, now.unit.z, rows);
    scaled_maxima(s, a.scale_log2, m);
    weigh_chunk(s, m, a.scale_log2, l);
}

template <int DP>
__device__ __forceinline__ void finish_shared(few_room<DP> &room, const attention &a, const work &now,
                                              const unit_row rows[2], const float (&s)[CHUNK / 8][4],
                                              const float m[2], const float l[2])
{
    float part[DP / 8][4] = {};
    add_values<DP, CHUNK / 8>(part, s, room.v);
    store_shared<DP>(a, rows, now.kv_head, part, m, l);
}

/* A unit, whose copies are on their way; then those of the next one are. */
template <int DP>
__device__ __forceinline__ void run_unit(few_room<DP> &room, const attention &a, const work &now,
                                         const work &next)
{
    int r = threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4, one = n_of(now) == 1,
        shared = n_of(now) > 1 && is_busy(a, now);
    float s[CHUNK / 8][4] = {}, m[2], l[2];
    float(&few)[SCORES][4] = *(float(*)[SCORES][4]) & s;
    unit_row rows[2] = {};
    if (shared)
        rows[0] = unit_row_of(a, now.unit, r), rows[1] = unit_row_of(a, now.unit, r + 8);
    group_arrives();
    if (shared)
        add_scores<DP, CHUNK / 8>(s, room.q, r / 16 * 16, room.k, 0);
    if (one)
        add_few_scores(room, a, now.first, now.unit.z, few, m);
    else
        __syncthreads();
    start_keys(room, a, next);
    if (shared)
        weigh_shared(a, now, rows, s, m, l);
    if (one)
        store_weights(room, few, m, a.scale_log2);
    group_arrives();
    if (shared)
        finish_shared(room, a, now, rows, s, m, l);
    if (one)
        finish_one(room, a, now, m);
    start_values(room, a, next);
}

/* Lists are there before the kernel ahead has ended: what makes them is waited for by all that follow. */
template <int DP> __global__ __launch_bounds__(THREADS, 2) void attention_few(const attention a)
{
    extern __shared__ __align__(128) uint8_t shared[];
    few_room<DP> &room = *(few_room<DP> *)shared;
    int n = __ldcg(a.lists.counts + UNITS), first = blockIdx.x / a.n_kv, step = gridDim.x / a.n_kv;
    work now = work_at(a, first, n), next = work_at(a, first + step, n);
    join_chain();
    see_keys(a, &now);
    start_keys(room, a, now);
    start_values(room, a, now);
    for (int u = first; u < n; u += step) {
        work after = work_at(a, u + 2 * step, n);
        see_keys(a, &next);
        run_unit(room, a, now, next);
        now = next;
        next = after;
    }
    copies_wait<0>();
    for (int u = first; a.lists.counts[ALONE] && u < n; u += step) {
        work w = work_at(a, u, n);
        if (w.unit.z < 0)
            run_alone(room, a, w);
    }
}

template <int DP> static fv_err launch(fv_backend *backend, const attention &a)
{
    unsigned units = grid_for(backend, (int64_t)a.lists.max_units * a.n_kv, 2) / a.n_kv;
    int bytes = (int)sizeof(few_room<DP>);
    FV_CUDA(cudaFuncSetAttribute(attention_few<DP>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    FV_TRY(fv_cuda_chain(backend, "attention", {dim3((units ? units : 1) * a.n_kv), THREADS, (size_t)bytes},
                         attention_few<DP>, a));
    return fv_cuda_attention_few_merge(backend, a);
}

fv_err fv_cuda_attention_few(fv_backend *backend, const attention &a)
{
    WITH_DIM(a.dim, return launch<DP>(backend, a));
}
