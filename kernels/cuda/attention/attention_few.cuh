/* What the kernels of segments of one query share: their parts, and the units of a block, of which the next
 * is loaded while one is worked on. */
#ifndef FOVEA_KERNELS_CUDA_ATTENTION_FEW_CUH
#define FOVEA_KERNELS_CUDA_ATTENTION_FEW_CUH

#include "attention_softmax.cuh"

enum { WARPS = 4, THREADS = 32 * WARPS, P_LINE = CHUNK + PAD, SCORES = QUARTER / 8 };

/* Shared memory of a block. */
template <int DP> struct few_room {
    bf16 q[UNIT_ROWS * (DP + PAD)], k[CHUNK * (DP + PAD)], v[CHUNK * (DP + PAD)], p[FEW_ROWS * P_LINE];
    float tops[WARPS][FEW_ROWS], sums[QUARTERS][2][32];
};

/* Where the row of a part begins, and its statistics. */
template <int DP>
__device__ __forceinline__ float *part_at(const attention &a, int part, int kv_head, int row)
{
    return a.parts + ((int64_t)part * a.n_heads + kv_head * (a.n_heads / a.n_kv) + row) * DP;
}
__device__ __forceinline__ float2 *stats_at(const attention &a, int part, int kv_head, int row)
{
    return a.stats + (int64_t)part * a.n_heads + kv_head * (a.n_heads / a.n_kv) + row;
}

/* A chunk of a key head. It is asked for long before it is worked on. */
struct work {
    int4 unit;        /* as listed; of no segments: there is nothing to do */
    few_query first;  /* of its segments */
    int kv_head, row; /* row: of the key of the chunk that this lane of its warp loads, or -1 */
};

__device__ __forceinline__ int n_of(const work &w)
{
    return w.unit.z >= 0 ? w.unit.y : 0;
}

__device__ __forceinline__ few_query query_of(const few_query *at)
{
    int4 x = __ldcg((const int4 *)at);
    return {x.x, x.y, x.z, x.w};
}

/* Unit u of n, for the block's key head. */
__device__ __forceinline__ work work_at(const attention &a, int u, int n)
{
    work w = {};
    if (u >= n)
        return w;
    w.unit = __ldcg(a.lists.units + u);
    w.first = query_of(a.lists.firsts + u);
    w.row = __ldcg(a.lists.rows + u * CHUNK + threadIdx.x);
    w.kv_head = (int)blockIdx.x % a.n_kv;
    return w;
}

/* What some segment of a unit sees; a warp calls. */
__device__ __forceinline__ key_range work_range(const attention &a, const work &w)
{
    key_range all = keys_seen(a, w.first.n_keys, w.first.pos, w.first.pos);
    if (n_of(w) < 2)
        return all;
    for (int i = threadIdx.x % 32; i < w.unit.y; i += 32) {
        few_query q = query_of(a.lists.queries + w.unit.x + i);
        key_range seen = keys_seen(a, q.n_keys, q.pos, q.pos);
        all = {min(all.first, seen.first), max(all.end, seen.end)};
    }
    for (int d = 16; d; d /= 2) {
        all.first = min(all.first, __shfl_xor_sync(~0u, all.first, d));
        all.end = max(all.end, __shfl_xor_sync(~0u, all.end, d));
    }
    return all;
}

/* Only rows of keys that are seen are loaded. */
__device__ __forceinline__ void see_keys(const attention &a, work *w)
{
    key_range seen = work_range(a, *w);
    int key = w->unit.z * CHUNK + threadIdx.x;
    w->row = key >= seen.first && key < seen.end ? w->row : -1;
}

/* x / n of small numbers, by what 1.0f / n is. */
__device__ __forceinline__ int quotient(int x, float inverse)
{
    return (int)(((float)x + 0.5f) * inverse);
}

/* The query of each segment of a unit, its heads one after the other. */
template <int DP, int ROWS>
__device__ __forceinline__ void load_queries(bf16 *q, const attention &a, const work &w)
{
    int group = a.n_heads / a.n_kv;
#pragma unroll
    for (int i = threadIdx.x; i < ROWS * DP / 8; i += THREADS) {
        int r = i / (DP / 8), piece = i % (DP / 8),
            of = ROWS > FEW_ROWS ? quotient(r, 1.0f / (float)group) : 0;
        bool inside = r < group * w.unit.y && piece * 8 < a.dim;
        int64_t row = of && inside ? query_of(a.lists.queries + w.unit.x + of).row : w.first.row;
        int head = w.kv_head * group + r - of * group;
        copy16(q + r * (DP + PAD) + piece * 8, inside ? a.q + row * a.q_row + head * a.dim + piece * 8 : a.q,
               inside);
    }
}

/* Lanes have neighbouring pieces of a few rows; what differs from copy to copy is one product, and constants.
 */
template <int DP>
__device__ __forceinline__ void copy_chunk(bf16 *tile, const bf16 *x, int64_t stride, const work &w, int dim)
{
    constexpr int LANES = DP <= 32   ? 4
                          : DP <= 64 ? 8
                                     : 16,
                  STEP = 32 / LANES, LINE = (DP + PAD) * sizeof(bf16);
    int lane = threadIdx.x % 32, piece = lane % LANES;
    const char *from = (const char *)(x + w.kv_head * dim + piece * 8);
    uint32_t to = shared_address(tile) + (threadIdx.x / 32 * 32 + lane / LANES) * LINE + piece * 16;
    asm("" : "+l"(from), "+r"(to)); /* is not taken apart again */
#pragma unroll
    for (int i = 0; i < 32 / STEP; i++) {
        int own = __shfl_sync(~0u, w.row, lane / LANES + i * STEP);
        if (piece < DP / 8)
            copy16(to + i * STEP * LINE, from + (uint64_t)(unsigned)max(own, 0) * ((unsigned)stride * 2),
                   own >= 0 && piece * 8 < dim);
    }
}

/* Queries and keys of a unit, into memory that nobody reads any more; then its values. Each is a group of
 * copies, if it is empty too. */
template <int DP>
__device__ __forceinline__ void start_keys(few_room<DP> &room, const attention &a, const work &w)
{
    if (n_of(w)) {
        copy_chunk<DP>(room.k, a.k, a.k_row, w, a.dim);
        if (n_of(w) > 1)
            load_queries<DP, UNIT_ROWS>(room.q, a, w);
        else
            load_queries<DP, FEW_ROWS>(room.q, a, w);
    }
    copies_commit();
}
template <int DP>
__device__ __forceinline__ void start_values(few_room<DP> &room, const attention &a, const work &w)
{
    __syncthreads();
    if (n_of(w))
        copy_chunk<DP>(room.v, a.v, a.v_row, w, a.dim);
    copies_commit();
}
/* All copies but the last group are there, for all. */
__device__ __forceinline__ void group_arrives()
{
    copies_wait<1>();
    __syncthreads();
}

/* The parts of each segment merged, in order of its chunks. */
fv_err fv_cuda_attention_few_merge(fv_backend *backend, const attention &a);

#endif
