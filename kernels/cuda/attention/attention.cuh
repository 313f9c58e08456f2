/* A call of attention on the device: its segments and their keys, which are gathered by cp.async from
 * wherever spans say, and the lists of what blocks do. */
#ifndef FOVEA_KERNELS_CUDA_ATTENTION_CUH
#define FOVEA_KERNELS_CUDA_ATTENTION_CUH

#include "attention_tile.cuh"

enum {
    CHUNK = FV_ATTENTION_CHUNK,
    TILE_ROWS = 128, /* queries of a listed tile */
    FEW_ROWS = 16,   /* heads of a group, at most, where segments of one query are `few` */
    UNIT_ROWS = 64,  /* rows of several of those that share a chunk */
    SMALL = 64       /* queries, and keys, of a segment that is one tile */
};

/* A segment of one query: the row of that, its place, how many keys there are, and the first part or -1. */
struct __align__(16) few_query
{
    int row, pos, n_keys, part;
};

/* What fv_cuda_attention_plan_kernel makes of segments and spans, in memory that the caller gives. Capacities
 * follow from shapes alone, and so do the grids of all kernels: blocks with nothing to do end. */
struct attention_lists {
    int *counts;       /* how many of each list are there: by list_kind */
    unsigned *key_sum; /* (n_spans + 1): keys of all spans before, modulo 2^32 */
    int2 *tiles;       /* segment, first query: of the others */
    int2 *all_tiles;   /* of all */
    int2 *few; /* (n_segments): of few queries: segment, and its first part, or -1: there is no room */
    few_query *queries; /* of few */
    int *shares;        /* of few: how many of its first chunks are those of the one before it */
    int2 *first_unit;   /* of few: of those that it shares with the next one, and of the others */
    int4 *units; /* a chunk of one or several that share it: first of few, how many, chunk (-1: all); those
                    of several, which take longer, come first */
    few_query *firsts; /* of units: their first queries */
    int *rows;         /* of units: of the keys of their chunks, (max_units, CHUNK); -1: there is none */
    int n_segments, n_spans, max_tiles, max_parts, max_units;
};
enum list_kind { TILES, ALL_TILES, FEW, UNITS, ALONE /* units that are all of a segment */ };

/* Of a call, and where its lists are: in its plan, or in room. */
struct list_shape {
    int64_t n_queries, n_segments, n_spans;
};
size_t fv_cuda_lists_bytes(list_shape shape);
attention_lists fv_cuda_lists(list_shape shape, void *memory);

struct attention {
    const bf16 *q, *k, *v;
    bf16 *out;
    float *lse; /* (T, H) or NULL */
    int64_t lse_row;
    const int32_t *segments, *spans;
    int64_t segment_row, span_row; /* elements from one to the next */
    int64_t q_row, k_row, v_row, out_row;
    int n_heads, n_kv, dim;
    float scale_log2;
    int causal, window;
    attention_lists lists;
    float *parts;  /* of few: (max_parts, n_heads, DP) */
    float2 *stats; /* of those: maximum and sum (max_parts, n_heads) */
};

struct segment_view {
    int q_row, n_q, n_past, n_spans, n_keys, first_span;
    const int32_t *spans;
    int64_t span_row;
    float per_span; /* 1 / the keys of the first span: most have as many */
};

__device__ __forceinline__ segment_view segment_of(const attention &a, int i)
{
    const int32_t *s = a.segments + a.segment_row * i;
    const int32_t *spans = a.spans + a.span_row * s[3];
    return {s[0], s[1], s[2], s[4], s[5], s[3], spans, a.span_row, s[4] > 0 ? 1.0f / (float)spans[1] : 0};
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

/* The row that holds a logical key: of the last span that begins at or before it. */
__device__ __forceinline__ int key_row(const attention &a, const segment_view &seg, int key)
{
    const unsigned *sum = a.lists.key_sum + seg.first_span, base = sum[0];
    int i = min((int)((float)key * seg.per_span), seg.n_spans - 1);
    if (sum[i] - base > (unsigned)key || (i + 1 < seg.n_spans && sum[i + 1] - base <= (unsigned)key)) {
        int low = 0, high = seg.n_spans - 1;
        while (low < high) {
            int mid = (low + high + 1) / 2;
            if (sum[mid] - base <= (unsigned)key)
                low = mid;
            else
                high = mid - 1;
        }
        i = low;
    }
    return seg.spans[seg.span_row * i] + key - (int)(sum[i] - base);
}

/* Keys that some query of a tile sees. */
struct key_range {
    int first, end;
};

__device__ __forceinline__ key_range keys_seen(const attention &a, int n_keys, int first_pos, int last_pos)
{
    return {a.window ? max(0, first_pos - a.window + 1) : 0, a.causal ? min(n_keys, last_pos + 1) : n_keys};
}

/* The rows of logical keys that a warp loads: lane l has that of key first + l, -1 where nobody sees it. */
__device__ __forceinline__ int own_row(const attention &a, const segment_view &seg, int first, key_range seen)
{
    int key = first + threadIdx.x % 32;
    return key >= seen.first && key < seen.end ? key_row(a, seg, key) : -1;
}

/* N logical keys from `first` on into tiles (N, DP + PAD) of keys and of values, channels from column0 on,
 * zeros in place of those that nobody sees: whatever they hold, NaN included, does not matter. v: NULL, or
 * the other tile. Warps share the rows. */
template <int DP, int N, int WARPS>
__device__ __forceinline__ void load_keys(bf16 *ktile, bf16 *vtile, const attention &a,
                                          const segment_view &seg, int first, key_range seen, int kv_head,
                                          int k_column = 0, int v_column = 0)
{
    constexpr int PIECES = DP / 8, ROWS = N / WARPS, GROUP = ROWS < 32 ? ROWS : 32;
    int lane = threadIdx.x % 32, base = threadIdx.x / 32 % WARPS * ROWS;
    for (int group = 0; group < ROWS; group += GROUP) {
        int row = own_row(a, seg, first + base + group, seen);
#pragma unroll
        for (int i = 0; i < GROUP * PIECES / 32; i++) {
            int at = lane + 32 * i, r = at / PIECES, piece = at % PIECES;
            int from = __shfl_sync(~0u, row, r);
            int64_t column = (int64_t)kv_head * a.dim + piece * 8;
            int to = (base + group + r) * (DP + PAD) + piece * 8;
            bool in_k = from >= 0 && k_column + piece * 8 < a.dim,
                 in_v = from >= 0 && v_column + piece * 8 < a.dim;
            if (ktile)
                copy16(ktile + to, in_k ? a.k + from * a.k_row + column + k_column : a.k, in_k);
            if (vtile)
                copy16(vtile + to, in_v ? a.v + from * a.v_row + column + v_column : a.v, in_v);
        }
    }
}

/* Rows [first, first + N) of x (.., H, D), channels from column0 on, zeros where !(first + i < end). */
template <int DP, int N, int WARPS>
__device__ __forceinline__ void load_rows(bf16 *tile, const bf16 *x, int64_t stride, int64_t first,
                                          int64_t end, int head, int dim, int column0 = 0)
{
    constexpr int PIECES = DP / 8;
    for (int i = threadIdx.x; i < N * PIECES; i += WARPS * 32) {
        int r = i / PIECES, piece = i % PIECES, column = column0 + piece * 8;
        bool inside = first + r < end && column < dim;
        copy16(tile + r * (DP + PAD) + piece * 8,
               inside ? x + (first + r) * stride + (int64_t)head * dim + column : x, inside);
    }
}

/* A tile of queries of one head. */
struct query_tile {
    segment_view seg;
    int first, first_pos, head, kv_head; /* first: of the queries of the segment */
    key_range seen;
};

/* Item `item` of those that a list of tiles, cut into tiles of ROWS, and the heads make, the tiles that see
 * most first. Returns 0 if the segment has no such queries. */
template <int ROWS>
__device__ __forceinline__ int query_tile_of(query_tile &t, const attention &a, const int2 *tiles,
                                             int n_tiles, int item)
{
    constexpr int CUTS = TILE_ROWS / ROWS;
    int place = item / a.n_heads;
    int2 listed = tiles[n_tiles - 1 - place / CUTS];
    t.seg = segment_of(a, listed.x);
    t.first = listed.y + (CUTS - 1 - place % CUTS) * ROWS;
    t.first_pos = t.seg.n_past + t.first;
    t.head = item % a.n_heads;
    t.kv_head = t.head / (a.n_heads / a.n_kv);
    t.seen = keys_seen(a, t.seg.n_keys, t.first_pos, min(t.first_pos + ROWS, t.seg.n_past + t.seg.n_q) - 1);
    return t.first < t.seg.n_q;
}

/* Whether all of a tile's queries see all keys of a chunk. */
__device__ __forceinline__ bool sees_all(const attention &a, const query_tile &t, int c)
{
    int end = (c + 1) * CHUNK;
    return end <= t.seg.n_keys && (!a.causal || end <= t.first_pos + 1) && !a.window;
}

/* Two tiles of N keys and of their values: one is worked on while the next is on its way. */
template <int DP, int N, int WARPS> struct key_ring {
    bf16 *k, *v;

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
        load_keys<DP, N, WARPS>(k_at(c), v_at(c), a, t.seg, c * N, t.seen, t.kv_head);
    }
    /* Into the only tile, which nobody reads any more. */
    __device__ __forceinline__ void load_alone(const attention &a, const query_tile &t, int c) const
    {
        load_keys<DP, N, WARPS>(k, v, a, t.seg, c * N, t.seen, t.kv_head);
        copies_commit();
        copies_wait<0>();
        __syncthreads();
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

/* Queue the making of the lists, with some of few or with none. */
fv_err fv_cuda_attention_plan_kernel(fv_backend *backend, const attention &a, int has_few);
/* Whether there are kernels for segments of one query with such heads. */
int fv_cuda_has_few(int64_t n_heads, int64_t n_kv, int64_t dim);

/* Kernels by what they are for: segments of one query, in parts of a chunk; tiles of the others; segments
 * of at most SMALL queries and keys; heads of more than 128 channels. */
fv_err fv_cuda_attention_few(fv_backend *backend, const attention &a);
fv_err fv_cuda_attention_tiles(fv_backend *backend, const attention &a);
fv_err fv_cuda_attention_groups(fv_backend *backend, const attention &a); /* on sm_90 alone */
fv_err fv_cuda_attention_small(fv_backend *backend, const attention &a);
fv_err fv_cuda_attention_wide(fv_backend *backend, const attention &a);

/* 16-byte loads of whole heads need this. */
static inline int heads_are_aligned(const fv_tensor *t)
{
    return (uintptr_t)t->data % 16 == 0 && t->stride % 8 == 0 && t->dim[2] % 8 == 0;
}

/* Heads as they must lie, copied to *room, which moves on; and back. */
fv_tensor fv_cuda_pad(fv_backend *backend, fv_tensor t, char **room);
void fv_cuda_unpad(fv_backend *backend, fv_tensor from, fv_tensor to);
size_t fv_cuda_padded_bytes(const fv_tensor *t);

fv_err fv_cuda_check_heads(const char *op, const fv_tensor *q, const fv_tensor *k);
fv_err fv_cuda_check_plan(const char *op, const fv_tensor *plan, list_shape shape);

/* A grid that fills the device: blocks take up items by turns. */
static inline unsigned grid_for(fv_backend *backend, int64_t items, int blocks_of_processor)
{
    int64_t most = (int64_t)fv_cuda_state_of(backend)->n_processors * blocks_of_processor;
    return (unsigned)(items < most ? items : most);
}

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
