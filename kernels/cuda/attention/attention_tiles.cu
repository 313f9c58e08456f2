/* Attention of tiles of queries by mma.sync: of 64 queries of one head that go through their chunks of keys;
 * of segments that are one tile; and of heads that are wider than a tile. */
#include "attention_softmax.cuh"

enum { ROWS = 64, WARPS = 4, THREADS = 32 * WARPS, SLICE = 128 /* channels of a wide head at a time */ };

/* STAGES: tiles of keys and values, one or two. */
template <int DP, int STAGES> struct tile_room {
    bf16 q[ROWS * (DP + PAD)], k[STAGES * CHUNK * (DP + PAD)], v[STAGES * CHUNK * (DP + PAD)];
};

/* This thread's rows of a tile, and what has been merged of them. */
template <int DP> struct merged_rows {
    float o[DP / 8][4];
    running run[2];
};

/* Chunk c, whose keys are there, is merged. */
template <int DP>
__device__ __forceinline__ void take_chunk(merged_rows<DP> &own, const attention &a, const query_tile &t,
                                           float (&s)[CHUNK / 8][4], int c, const bf16 *v)
{
    float part[DP / 8][4] = {}, m[2], l[2];
    int pos = t.first_pos + threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4;
    if (!sees_all(a, t, c))
        mask_scores<CHUNK / 8>(s, c * CHUNK, pos, pos + 8, t.seg.n_keys, a.causal, a.window);
    scaled_maxima(s, a.scale_log2, m);
    weigh_chunk(s, m, a.scale_log2, l);
    add_values<DP, CHUNK / 8>(part, s, v);
    merge_rows(own.run, m, l, own.o, part);
}

template <int DP, int STAGES>
__device__ __forceinline__ void run_tile(tile_room<DP, STAGES> &room, const attention &a, const query_tile &t)
{
    key_ring<DP, CHUNK, WARPS> ring = {room.k, room.v};
    int begin = t.seen.first / CHUNK, end = (t.seen.end + CHUNK - 1) / CHUNK, row = threadIdx.x / 32 * 16;
    merged_rows<DP> own = {{}, {{NEG_INF, 0}, {NEG_INF, 0}}};
    load_rows<DP, ROWS, WARPS>(room.q, a.q, a.q_row, t.seg.q_row + t.first, t.seg.q_row + t.seg.n_q, t.head,
                               a.dim);
    if (STAGES > 1)
        ring.load(a, t, begin);
    copies_commit();
    for (int c = begin; c < end; c++) {
        if (STAGES > 1)
            ring.advance(a, t, c, end);
        else
            ring.load_alone(a, t, c);
        int at = STAGES > 1 ? c : 0;
        float s[CHUNK / 8][4] = {};
        add_scores<DP, CHUNK / 8>(s, room.q, row, ring.k_at(at), 0);
        take_chunk<DP>(own, a, t, s, c, ring.v_at(at));
        __syncthreads();
    }
    store_rows(a, t, t.first + row, own.o, own.run);
}

template <int DP, int STAGES> __global__ __launch_bounds__(THREADS) void attention_tiles(const attention a)
{
    extern __shared__ __align__(128) uint8_t shared[];
    int n_tiles = a.lists.counts[TILES], n = n_tiles * (TILE_ROWS / ROWS) * a.n_heads;
    for (int i = blockIdx.x; i < n; i += gridDim.x) {
        query_tile t;
        if (query_tile_of<ROWS>(t, a, a.lists.tiles, n_tiles, i))
            run_tile(*(tile_room<DP, STAGES> *)shared, a, t);
    }
}

template <int DP, int STAGES> static fv_err launch_tiles(fv_backend *backend, const attention &a)
{
    int bytes = (int)sizeof(tile_room<DP, STAGES>);
    int64_t items = (int64_t)a.lists.max_tiles * (TILE_ROWS / ROWS) * a.n_heads;
    FV_CUDA(cudaFuncSetAttribute(attention_tiles<DP, STAGES>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 bytes));
    attention_tiles<DP, STAGES><<<grid_for(backend, items, 2), THREADS, bytes, fv_cuda_compute(backend)>>>(a);
    return fv_cuda_launched("attention");
}

template <int DP> static fv_err launch_as_fits(fv_backend *backend, const attention &a)
{
    int room = fv_cuda_state_of(backend)->shared_bytes;
    return (int)sizeof(tile_room<DP, 2>) <= room ? launch_tiles<DP, 2>(backend, a)
                                                 : launch_tiles<DP, 1>(backend, a);
}

fv_err fv_cuda_attention_tiles(fv_backend *backend, const attention &a)
{
    WITH_DIM(a.dim, return launch_as_fits<DP>(backend, a));
}

/* ---- segments that are one tile ---- */

template <int DP> struct small_room {
    bf16 q[SMALL * (DP + PAD)], k[SMALL * (DP + PAD)], v[SMALL * (DP + PAD)];
};

/* The keys behind a chunk's half are not there: their weights would be 0. */
template <int DP> __global__ __launch_bounds__(THREADS) void attention_small(const attention a)
{
    extern __shared__ __align__(128) uint8_t shared[];
    small_room<DP> &room = *(small_room<DP> *)shared;
    query_tile t;
    t.seg = segment_of(a, blockIdx.x);
    t.first = 0, t.first_pos = t.seg.n_past, t.head = blockIdx.y;
    t.kv_head = t.head / (a.n_heads / a.n_kv);
    t.seen = keys_seen(a, t.seg.n_keys, t.first_pos, t.first_pos + t.seg.n_q - 1);
    if (t.seg.n_q == 0)
        return;
    load_rows<DP, SMALL, WARPS>(room.q, a.q, a.q_row, t.seg.q_row, t.seg.q_row + t.seg.n_q, t.head, a.dim);
    load_keys<DP, SMALL, WARPS>(room.k, room.v, a, t.seg, 0, t.seen, t.kv_head);
    copies_commit();
    copies_wait<0>();
    __syncthreads();
    float s[SMALL / 8][4] = {}, part[DP / 8][4] = {}, o[DP / 8][4] = {}, m[2], l[2];
    running run[2] = {{NEG_INF, 0}, {NEG_INF, 0}};
    int row = threadIdx.x / 32 * 16, pos = t.first_pos + row + threadIdx.x % 32 / 4;
    if (row >= t.seg.n_q)
        return;
    add_scores<DP, SMALL / 8>(s, room.q, row, room.k, 0);
    mask_scores<SMALL / 8>(s, 0, pos, pos + 8, t.seg.n_keys, a.causal, a.window);
    scaled_maxima(s, a.scale_log2, m);
    weigh_chunk(s, m, a.scale_log2, l);
    add_values<DP, SMALL / 8>(part, s, room.v);
    merge_rows(run, m, l, o, part);
    store_rows(a, t, row, o, run);
}

template <int DP> static fv_err launch_small(fv_backend *backend, const attention &a)
{
    int bytes = (int)sizeof(small_room<DP>);
    FV_CUDA(cudaFuncSetAttribute(attention_small<DP>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    attention_small<DP><<<dim3(a.lists.n_segments, a.n_heads), THREADS, bytes, fv_cuda_compute(backend)>>>(a);
    return fv_cuda_launched("attention");
}

fv_err fv_cuda_attention_small(fv_backend *backend, const attention &a)
{
    WITH_DIM(a.dim, return launch_small<DP>(backend, a));
}

/* ---- wide heads: scores go through the channels in slices, and a block makes one slice of the result ----
 */

struct wide_room {
    bf16 q[ROWS * (SLICE + PAD)], k[CHUNK * (SLICE + PAD)];
};

__device__ __forceinline__ void slice_arrives()
{
    copies_commit();
    copies_wait<0>();
    __syncthreads();
}

__device__ __forceinline__ void run_wide(wide_room &room, const attention &a, const query_tile &t, int slice)
{
    int begin = t.seen.first / CHUNK, end = (t.seen.end + CHUNK - 1) / CHUNK, row = threadIdx.x / 32 * 16;
    int64_t first = t.seg.q_row + t.first, last = t.seg.q_row + t.seg.n_q;
    merged_rows<SLICE> own = {{}, {{NEG_INF, 0}, {NEG_INF, 0}}};
    for (int c = begin; c < end; c++) {
        float s[CHUNK / 8][4] = {};
        for (int column = 0; column < a.dim; column += SLICE) {
            load_rows<SLICE, ROWS, WARPS>(room.q, a.q, a.q_row, first, last, t.head, a.dim, column);
            load_keys<SLICE, CHUNK, WARPS>(room.k, nullptr, a, t.seg, c * CHUNK, t.seen, t.kv_head, column);
            slice_arrives();
            add_scores<SLICE, CHUNK / 8>(s, room.q, row, room.k, 0);
            __syncthreads();
        }
        load_keys<SLICE, CHUNK, WARPS>(nullptr, room.k, a, t.seg, c * CHUNK, t.seen, t.kv_head, 0, slice);
        slice_arrives();
        take_chunk<SLICE>(own, a, t, s, c, room.k);
        __syncthreads();
    }
    store_rows(a, t, t.first + row, own.o, own.run, slice);
}

__global__ __launch_bounds__(THREADS) void attention_wide(const attention a)
{
    extern __shared__ __align__(128) uint8_t shared[];
    int n_tiles = a.lists.counts[TILES], n = n_tiles * (TILE_ROWS / ROWS) * a.n_heads;
    for (int i = blockIdx.x; i < n; i += gridDim.x) {
        query_tile t;
        if (query_tile_of<ROWS>(t, a, a.lists.tiles, n_tiles, i))
            run_wide(*(wide_room *)shared, a, t, blockIdx.y * SLICE);
    }
}

fv_err fv_cuda_attention_wide(fv_backend *backend, const attention &a)
{
    int bytes = (int)sizeof(wide_room);
    int64_t items = (int64_t)a.lists.max_tiles * (TILE_ROWS / ROWS) * a.n_heads;
    FV_CUDA(cudaFuncSetAttribute(attention_wide, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    attention_wide<<<dim3(grid_for(backend, items, 2), blocks_for(a.dim, SLICE)), THREADS, bytes,
                     fv_cuda_compute(backend)>>>(a);
    return fv_cuda_launched("attention");
}
