/* A call of attention on the device: its segments and their keys, which are gathered by cp.async from
 * wherever spans say, and the lists of what blocks do. */
#ifndef FOVEA_KERNELS_CUDA_ATTENTION_CUH
#define FOVEA_KERNELS_CUDA_ATTENTION_CUH

#include "attention_tile.cuh"

enum { CHUNK = FV_ATTENTION_CHUNK, MAX_SPANS = 2048, FEW_ROWS = 16 };

/* A call, and the lists that attention_plan makes for its kernels. */
struct attention {
    const bf16 *q, *k, *v;
    bf16 *out;
    float *lse; /* (T, H) or NULL */
    int64_t lse_row;
    const int32_t *segments, *spans;
    int64_t segment_row, span_row; /* elements from one to the next */
    int64_t q_row, k_row, v_row, out_row;
    int n_segments, n_heads, n_kv, dim;
    float scale_log2;
    int causal, window;
    int2 *tiles;  /* segment, first query */
    int *counts;  /* n_tiles, n_few */
    int2 *few;    /* segments with few queries, and where their parts begin */
    float *parts; /* of those: (chunks of all, n_kv, 16, DP + 2) */
    int max_tiles, max_parts;
};

struct segment_view {
    int q_row, n_q, n_past, n_spans, n_keys;
    const int32_t *spans;
    int64_t span_row;
};

__device__ __forceinline__ segment_view segment_of(const attention &a, int i)
{
    const int32_t *s = a.segments + a.segment_row * i;
    return {s[0], s[1], s[2], s[4], s[5], a.spans + a.span_row * s[3], a.span_row};
}

/* The sum of x over the lanes up to and with this one. */
__device__ __forceinline__ int warp_scan(int x)
{
    for (int d = 1; d < 32; d *= 2) {
        int other = __shfl_up_sync(~0u, x, d);
        x += (int)threadIdx.x % 32 >= d ? other : 0;
    }
    return x;
}

/* Logical keys to rows: first[i] is the logical number of the first key of span i. All threads call. */
struct key_map {
    int n, first[MAX_SPANS], row[MAX_SPANS];
};

static __device__ void key_map_fill(key_map *map, const segment_view &seg)
{
    __shared__ int carry, warp_sum[32];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, n_warps = blockDim.x / 32;
    if (threadIdx.x == 0) {
        carry = 0;
        map->n = seg.n_spans;
    }
    __syncthreads();
    for (int base = 0; base < seg.n_spans; base += blockDim.x) {
        int i = base + threadIdx.x, length = i < seg.n_spans ? seg.spans[seg.span_row * i + 1] : 0;
        int sum = warp_scan(length);
        if (lane == 31)
            warp_sum[warp] = sum;
        __syncthreads();
        int before = carry;
        for (int w = 0; w < warp; w++)
            before += warp_sum[w];
        if (i < seg.n_spans) {
            map->first[i] = before + sum - length;
            map->row[i] = seg.spans[seg.span_row * i];
        }
        __syncthreads();
        if (threadIdx.x == 0)
            for (int w = 0; w < n_warps; w++)
                carry += warp_sum[w];
        __syncthreads();
    }
}

__device__ __forceinline__ int key_row(const key_map *map, int key)
{
    int low = 0, high = map->n - 1;
    while (low < high) {
        int mid = (low + high + 1) / 2;
        if (map->first[mid] <= key)
            low = mid;
        else
            high = mid - 1;
    }
    return map->row[low] + key - map->first[low];
}

/* Keys that some query of a tile sees. */
struct key_range {
    int first, end;
};

__device__ __forceinline__ key_range keys_seen(const attention &a, const segment_view &seg, int first_pos,
                                               int last_pos)
{
    return {a.window ? max(0, first_pos - a.window + 1) : 0,
            a.causal ? min(seg.n_keys, last_pos + 1) : seg.n_keys};
}

/* N logical keys from `first` on into tile (N, DP + PAD), zeros in place of those that nobody sees: whatever
 * they hold, NaN included, does not matter. Warps share the rows. */
template <int DP, int N, int WARPS>
__device__ __forceinline__ void load_keys(bf16 *ktile, bf16 *vtile, const attention &a, const key_map *map,
                                          int first, key_range seen, int kv_head)
{
    constexpr int PIECES = DP / 8, ROWS = N / WARPS;
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, base = warp * ROWS;
    for (int group = 0; group < ROWS; group += 32) {
        constexpr int GROUP = ROWS < 32 ? ROWS : 32;
        int key = first + base + group + lane % GROUP;
        int row = key >= seen.first && key < seen.end ? key_row(map, key) : -1;
#pragma unroll
        for (int i = 0; i < GROUP * PIECES / 32; i++) {
            int at = lane + 32 * i, r = at / PIECES, piece = at % PIECES;
            int from = __shfl_sync(~0u, row, r);
            bool inside = from >= 0 && piece * 8 < a.dim;
            int64_t column = (int64_t)kv_head * a.dim + piece * 8;
            int to = (base + group + r) * (DP + PAD) + piece * 8;
            copy16(ktile + to, inside ? a.k + from * a.k_row + column : a.k, inside);
            copy16(vtile + to, inside ? a.v + from * a.v_row + column : a.v, inside);
        }
    }
}

/* Rows [first, first + N) of x (.., H, D), zeros where !(first + i < end). */
template <int DP, int N, int WARPS>
__device__ __forceinline__ void load_rows(bf16 *tile, const bf16 *x, int64_t stride, int first, int end,
                                          int head, int dim)
{
    constexpr int PIECES = DP / 8;
    for (int i = threadIdx.x; i < N * PIECES; i += WARPS * 32) {
        int r = i / PIECES, piece = i % PIECES;
        bool inside = first + r < end && piece * 8 < dim;
        copy16(tile + r * (DP + PAD) + piece * 8,
               inside ? x + (first + r) * stride + (int64_t)head * dim + piece * 8 : x, inside);
    }
}

/* The tile of queries of a block: a.tiles and the heads are its grid. */
struct query_tile {
    segment_view seg;
    int first, first_pos, head, kv_head; /* first: of the queries of the segment */
    key_range seen;
};

template <int ROWS> __device__ __forceinline__ query_tile query_tile_of(const attention &a)
{
    int2 listed = a.tiles[a.counts[0] - 1 - blockIdx.x]; /* late queries see most: they go first */
    query_tile t;
    t.seg = segment_of(a, listed.x);
    t.first = listed.y;
    t.first_pos = t.seg.n_past + t.first;
    t.head = blockIdx.y;
    t.kv_head = t.head / (a.n_heads / a.n_kv);
    t.seen = keys_seen(a, t.seg, t.first_pos, min(t.first_pos + ROWS, t.seg.n_past + t.seg.n_q) - 1);
    return t;
}

/* Two tiles of N keys and of their values: one is worked on while the next is on its way. */
template <int DP, int N, int WARPS> struct key_ring {
    bf16 *k, *v;
    const key_map *map;

    __device__ __forceinline__ bf16 *k_at(int c) const
    {
        return k + c % 2 * N * (DP + PAD);
    }
    __device__ __forceinline__ bf16 *v_at(int c) const
    {
        return v + c % 2 * N * (DP + PAD);
    }
    __device__ __forceinline__ void load(const attention &a, const query_tile &t, int c) const
    {
        load_keys<DP, N, WARPS>(k_at(c), v_at(c), a, map, c * N, t.seen, t.kv_head);
    }
    /* Tile c is there for all threads, and tile c + 1 < end is being loaded. */
    __device__ __forceinline__ void advance(const attention &a, const query_tile &t, int c, int end) const
    {
        if (c + 1 < end)
            load(a, t, c + 1);
        copies_commit();
        copies_wait<1>();
        __syncthreads();
    }
};

/* Queue the making of the lists: tiles of tile_rows queries; with few > 0, segments whose queries and heads
 * of a group are at most that many go to the list of few, as far as there is room for their parts. */
void fv_cuda_attention_plan(fv_backend *backend, const attention &a, int tile_rows, int few);

/* The segments of the list of few. */
fv_err fv_cuda_attention_few(fv_backend *backend, const attention &a);

/* 16-byte loads of whole heads need this. */
static inline int heads_are_aligned(const fv_tensor *t)
{
    return (uintptr_t)t->data % 16 == 0 && t->stride % 8 == 0 && t->dim[2] % 8 == 0;
}

/* Heads as they must lie, copied to *room, which moves on; and back. */
fv_tensor fv_cuda_pad(fv_backend *backend, fv_tensor t, char **room);
void fv_cuda_unpad(fv_backend *backend, fv_tensor from, fv_tensor to);
size_t fv_cuda_padded_bytes(const fv_tensor *t);

/* Room for the lists of a call, and the lists in it. */
size_t fv_cuda_lists_bytes(int64_t n_queries, int64_t n_segments, int tile_rows);
void fv_cuda_lists(attention *a, int64_t n_queries, int tile_rows, char *room);
fv_err fv_cuda_check_heads(const char *op, const fv_tensor *q, const fv_tensor *k);

#define WITH_DIM(dim, ...)        \
    do {                          \
        if ((dim) <= 32) {        \
            enum { DP = 32 };     \
            __VA_ARGS__;          \
        } else if ((dim) <= 64) { \
            enum { DP = 64 };     \
            __VA_ARGS__;          \
        } else if ((dim) <= 80) { \
            enum { DP = 80 };     \
            __VA_ARGS__;          \
        } else {                  \
            enum { DP = 128 };    \
            __VA_ARGS__;          \
        }                         \
    } while (0)

#endif
