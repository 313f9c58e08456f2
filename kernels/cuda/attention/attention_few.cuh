/* What the kernels of segments of one query share: their parts, and the units of a block, of which the next
 * is loaded while one is worked on. */
#ifndef FOVEA_KERNELS_CUDA_ATTENTION_FEW_CUH
#define FOVEA_KERNELS_CUDA_ATTENTION_FEW_CUH

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
    return a.parts + ((int64_t)part * a.n_heads + kv_head * (a.n_heads / a.n_kv) + row) * DP;
}
__device__ __forceinline__ float2 *stats_at(const attention &a, int part, int kv_head, int row)
{
    return a.stats + (int64_t)part * a.n_heads + kv_head * (a.n_heads / a.n_kv) + row;
}

/* The query of each segment of a unit, its heads one after the other. */
template <int DP>
__device__ __forceinline__ void load_queries(bf16 *q, const attention &a, int4 unit, int rows, int kv_head)
{
    int group = a.n_heads / a.n_kv;
    for (int i = threadIdx.x; i < rows * DP / 8; i += THREADS) {
        int r = i / (DP / 8), piece = i % (DP / 8);
        bool inside = r < group * unit.y && piece * 8 < a.dim;
        int64_t row = inside ? a.segments[a.segment_row * a.lists.few[unit.x + r / group].x] : 0;
        int head = kv_head * group + r % group;
        copy16(q + r * (DP + PAD) + piece * 8,
               inside ? a.q + row * a.q_row + (int64_t)head * a.dim + piece * 8 : a.q, inside);
    }
}

struct work {
    int4 unit;
    int is_there, kv_head, row; /* row: of the key of the chunk that this lane of its warp loads, or -1 */
};

/* What some segment of the unit sees; a warp calls. */
__device__ __forceinline__ key_range unit_range(const attention &a, int4 unit)
{
    key_range all = {0x7fffffff, 0};
    for (int i = threadIdx.x % 32; i < unit.y; i += 32) {
        segment_view seg = member_of(a, unit, i).seg;
        key_range seen = keys_seen(a, seg, seg.n_past, seg.n_past);
        all = {min(all.first, seen.first), max(all.end, seen.end)};
    }
    for (int d = 16; d; d /= 2) {
        all.first = min(all.first, __shfl_xor_sync(~0u, all.first, d));
        all.end = max(all.end, __shfl_xor_sync(~0u, all.end, d));
    }
    return all;
}

/* The next from item *i on of the block's. */
__device__ __forceinline__ work next_work(const attention &a, int *i, int n)
{
    work w = {};
    for (; *i < n && !w.is_there; *i += gridDim.x) {
        w.unit = a.lists.units[*i / a.n_kv];
        w.is_there = w.unit.z >= 0;
        w.kv_head = *i % a.n_kv;
    }
    if (w.is_there)
        w.row = own_row(a, member_of(a, w.unit, 0).seg, w.unit.z * CHUNK + threadIdx.x / 32 * (CHUNK / WARPS),
                        unit_range(a, w.unit));
    return w;
}

template <int DP>
__device__ __forceinline__ void copy_chunk(bf16 *tile, const bf16 *x, int64_t stride, const work &w, int dim)
{
    constexpr int PIECES = DP / 8;
    int lane = threadIdx.x % 32, base = threadIdx.x / 32 * (CHUNK / WARPS);
#pragma unroll
    for (int i = 0; i < PIECES; i++) {
        int at = lane + 32 * i, r = at / PIECES, piece = at % PIECES, from = __shfl_sync(~0u, w.row, r);
        bool inside = from >= 0 && piece * 8 < dim;
        copy16(tile + (base + r) * (DP + PAD) + piece * 8,
               inside ? x + from * stride + (int64_t)w.kv_head * dim + piece * 8 : x, inside);
    }
}

/* Queries and keys of a unit, into memory that nobody reads any more; then its values. Each is a group of
 * copies, if it is empty too. */
template <int DP>
__device__ __forceinline__ void start_keys(few_room<DP> &room, const attention &a, const work &w)
{
    if (w.is_there) {
        load_queries<DP>(room.q, a, w.unit, w.unit.y > 1 ? UNIT_ROWS : FEW_ROWS, w.kv_head);
        copy_chunk<DP>(room.k, a.k, a.k_row, w, a.dim);
    }
    copies_commit();
}
template <int DP>
__device__ __forceinline__ void start_values(few_room<DP> &room, const attention &a, const work &w)
{
    __syncthreads();
    if (w.is_there)
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
