/* The gradient of attention of wide heads: scores go through the channels in slices, and a block makes one
 * slice of what comes of them. */
#include "attention_grad_readers.cuh"

enum { SLICE = 128, SIZE = TILE * (SLICE + PAD) };

__device__ __forceinline__ void slice_arrives()
{
    copies_commit();
    copies_wait<0>();
    __syncthreads();
}

/* Four tiles: of queries, their gradients, keys, values. */
struct wide_room {
    bf16 q[SIZE], dy[SIZE], k[SIZE], v[SIZE];
    grad_stats stats[TILE];
};

__device__ __forceinline__ void load_slice(wide_room &room, const attention_grad &g, const query_tile &t,
                                           int c, int column)
{
    const attention &a = g.f;
    int64_t first = t.seg.q_row + t.first, last = t.seg.q_row + t.seg.n_q;
    load_rows<SLICE, TILE, WARPS>(room.q, a.q, a.q_row, first, last, t.head, a.dim, column);
    load_rows<SLICE, TILE, WARPS>(room.dy, g.dout, g.dout_row, first, last, t.head, a.dim, column);
    load_keys<SLICE, TILE, WARPS>(room.k, room.v, a, t.seg, c * TILE, t.seen, t.kv_head, column, column);
    slice_arrives();
}

__device__ __forceinline__ void run_queries(wide_room &room, const attention_grad &g, const query_tile &t,
                                            int slice)
{
    const attention &a = g.f;
    int begin = t.seen.first / TILE, end = (t.seen.end + TILE - 1) / TILE, row = threadIdx.x / 32 * 16,
        own = row + threadIdx.x % 32 / 4, pos = t.first_pos + own;
    float dq[SLICE / 8][4] = {};
    const grad_stats of[2] = {grad_stats_of(g, t.seg, t.first + own, t.head),
                              grad_stats_of(g, t.seg, t.first + own + 8, t.head)};
    for (int c = begin; c < end; c++) {
        float s[EIGHTS][4] = {}, dp[EIGHTS][4] = {};
        for (int column = 0; column < a.dim; column += SLICE) {
            load_slice(room, g, t, c, column);
            add_scores<SLICE, EIGHTS>(s, room.q, row, room.k, 0);
            add_scores<SLICE, EIGHTS>(dp, room.dy, row, room.v, 0);
            __syncthreads();
        }
        mask_scores<EIGHTS>(s, c * TILE, pos, pos + 8, t.seg.n_keys, a.causal, a.window);
        grad_scores(s, dp, of, a.scale_log2);
        load_slice(room, g, t, c, slice);
        add_keys<SLICE>(dq, dp, room.k);
        __syncthreads();
    }
    store_queries(g, t, t.first + row, dq, slice);
}

__global__ __launch_bounds__(THREADS) void grad_queries_wide(const attention_grad g)
{
    extern __shared__ __align__(128) uint8_t shared[];
    int n_tiles = g.f.lists.counts[ALL_TILES], n = n_tiles * (TILE_ROWS / TILE) * g.f.n_heads;
    for (int i = blockIdx.x; i < n; i += gridDim.x) {
        query_tile t;
        if (query_tile_of<TILE>(t, g.f, g.f.lists.all_tiles, n_tiles, i))
            run_queries(*(wide_room *)shared, g, t, blockIdx.y * SLICE);
    }
}

/* A tile of rows of keys, and a slice of their gradients. */
struct wide_keys {
    int64_t row0;
    int kv_head, slice;
    float dk[SLICE / 8][4], dv[SLICE / 8][4];
};

__device__ __forceinline__ void load_reader(wide_room &room, const attention_grad &g, const wide_keys &own,
                                            const segment_view &seg, int i0, int head, int column)
{
    const attention &a = g.f;
    int64_t first = seg.q_row + i0, last = seg.q_row + seg.n_q;
    load_rows<SLICE, TILE, WARPS>(room.q, a.q, a.q_row, first, last, head, a.dim, column);
    load_rows<SLICE, TILE, WARPS>(room.dy, g.dout, g.dout_row, first, last, head, a.dim, column);
    load_rows<SLICE, TILE, WARPS>(room.k, a.k, a.k_row, own.row0, g.n_key_rows, own.kv_head, a.dim, column);
    load_rows<SLICE, TILE, WARPS>(room.v, a.v, a.v_row, own.row0, g.n_key_rows, own.kv_head, a.dim, column);
    slice_arrives();
}

/* Queries [i0, i0 + TILE) of a reader, of one head. */
__device__ __forceinline__ void add_queries(wide_room &room, const attention_grad &g, wide_keys &own,
                                            const reader &r, int i0, int head)
{
    const attention &a = g.f;
    segment_view seg = segment_of(a, r.segment);
    int row = threadIdx.x / 32 * 16;
    float s[EIGHTS][4] = {}, dp[EIGHTS][4] = {};
    if (threadIdx.x < TILE)
        room.stats[threadIdx.x] = grad_stats_of(g, seg, i0 + (int)threadIdx.x, head);
    for (int column = 0; column < a.dim; column += SLICE) {
        load_reader(room, g, own, seg, i0, head, column);
        add_scores<SLICE, EIGHTS>(s, room.k, row, room.q, 0);
        add_scores<SLICE, EIGHTS>(dp, room.v, row, room.dy, 0);
        __syncthreads();
    }
    weigh_keys(s, a, seg, r, i0, room.stats);
    grad_keys(s, dp, room.stats);
    load_reader(room, g, own, seg, i0, head, own.slice);
#pragma unroll
    for (int n = 0; n < EIGHTS; n += 2) {
        uint32_t p[4], ds[4];
        pack_tiles(p, s[n], s[n + 1]);
        pack_tiles(ds, dp[n], dp[n + 1]);
        add_weighted<SLICE>(own.dv, p, room.dy, n * 8);
        add_weighted<SLICE>(own.dk, ds, room.q, n * 8);
    }
    __syncthreads();
}

__global__ __launch_bounds__(THREADS) void grad_keys_wide(const attention_grad g)
{
    extern __shared__ __align__(128) uint8_t shared[];
    __shared__ readers found;
    const attention &a = g.f;
    int group = a.n_heads / a.n_kv;
    wide_keys own = {(int64_t)blockIdx.x * TILE, (int)blockIdx.y, (int)blockIdx.z * SLICE};
    if (threadIdx.x == 0)
        found.next = 0;
    do {
        find_readers(&found, a, own.row0);
        for (int f = 0; f < found.n; f++) {
            query_range see = readers_queries(a, segment_of(a, found.list[f].segment), found.list[f]);
            for (int t = 0; t < see.n_tiles * group; t++)
                add_queries(*(wide_room *)shared, g, own, found.list[f], see.from + t % see.n_tiles * TILE,
                            own.kv_head * group + t / see.n_tiles);
        }
    } while (found.next < a.lists.n_segments);
    add_own(g, own.dk, own.dv, own.row0, own.slice);
}

fv_err fv_cuda_attention_grad_wide(fv_backend *backend, const attention_grad &g)
{
    cudaStream_t stream = fv_cuda_compute(backend);
    int bytes = (int)sizeof(wide_room), slices = (int)blocks_for(g.f.dim, SLICE);
    int64_t items = (int64_t)g.f.lists.max_tiles * (TILE_ROWS / TILE) * g.f.n_heads;
    FV_CUDA(cudaFuncSetAttribute(grad_queries_wide, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    FV_CUDA(cudaFuncSetAttribute(grad_keys_wide, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    grad_queries_wide<<<dim3(grid_for(backend, items, 2), slices), THREADS, bytes, stream>>>(g);
    grad_keys_wide<<<dim3(blocks_for(g.n_key_rows, TILE), g.f.n_kv, slices), THREADS, bytes, stream>>>(g);
    return fv_cuda_launched("attention_grad");
}
