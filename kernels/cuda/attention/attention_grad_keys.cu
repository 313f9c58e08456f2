/* Gradient of keys and values: a block owns a tile of rows and goes through the segments that read them, in
 * order, the heads of its group, and their queries. No atomics: the order is fixed. */
#include "attention_grad_readers.cuh"

/* Tiles of queries and of their gradients: one is worked on while the next is on its way. */
template <int DP> struct query_ring {
    bf16 *q, *dy;
    grad_stats *stats;

    __device__ __forceinline__ void load(const attention_grad &g, const segment_view &seg, int i, int head,
                                         int at) const
    {
        constexpr int SIZE = TILE * (DP + PAD);
        const attention &a = g.f;
        int first = seg.q_row + i, end = seg.q_row + seg.n_q;
        load_rows<DP, TILE, WARPS>(q + at * SIZE, a.q, a.q_row, first, end, head, a.dim);
        load_rows<DP, TILE, WARPS>(dy + at * SIZE, g.dout, g.dout_row, first, end, head, a.dim);
        if (threadIdx.x < TILE)
            stats[at * TILE + threadIdx.x] = grad_stats_of(g, seg, i + (int)threadIdx.x, head);
    }
};

/* Tiles of the tile's rows, one line for each block of keys and values. */
template <int DP> struct own_tiles {
    bf16 *k, *v;
    float dk[DP / 8][4], dv[DP / 8][4];
};

template <int DP>
__device__ __forceinline__ void add_tile(own_tiles<DP> &own, const attention &a, const segment_view &seg,
                                         const reader &r, int i0, const query_ring<DP> &tile)
{
    int row = threadIdx.x / 32 * 16;
    float s[EIGHTS][4] = {}, dp[EIGHTS][4] = {};
    add_scores<DP, EIGHTS>(s, own.k, row, tile.q, 0);
    add_scores<DP, EIGHTS>(dp, own.v, row, tile.dy, 0);
    weigh_keys(s, a, seg, r, i0, tile.stats);
    grad_keys(s, dp, tile.stats);
#pragma unroll
    for (int n = 0; n < EIGHTS; n += 2) {
        uint32_t p[4], ds[4];
        pack_tiles(p, s[n], s[n + 1]);
        pack_tiles(ds, dp[n], dp[n + 1]);
        add_weighted<DP>(own.dv, p, tile.dy, n * 8);
        add_weighted<DP>(own.dk, ds, tile.q, n * 8);
    }
}

/* All queries of a reader that see some of its rows, in all heads of the group. */
template <int DP>
__device__ __forceinline__ void add_reader(own_tiles<DP> &own, const attention_grad &g, const reader &r,
                                           const query_ring<DP> &ring)
{
    constexpr int SIZE = TILE * (DP + PAD);
    const attention &a = g.f;
    segment_view seg = segment_of(a, r.segment);
    int group = a.n_heads / a.n_kv, head = blockIdx.y * group;
    query_range see = readers_queries(a, seg, r);
    int from = see.from, n_tiles = see.n_tiles, n_all = n_tiles * group;
    if (n_all == 0)
        return;
    ring.load(g, seg, from, head, 0);
    copies_commit();
    for (int t = 0; t < n_all; t++) {
        int at = t % 2, next = t + 1;
        if (next < n_all)
            ring.load(g, seg, from + next % n_tiles * TILE, head + next / n_tiles, at ^ 1);
        copies_commit();
        copies_wait<1>();
        __syncthreads();
        query_ring<DP> tile = {ring.q + at * SIZE, ring.dy + at * SIZE, ring.stats + at * TILE};
        add_tile<DP>(own, a, seg, r, from + t % n_tiles * TILE, tile);
        __syncthreads();
    }
}

template <int DP> __global__ __launch_bounds__(THREADS) void attention_grad_keys(const attention_grad g)
{
    extern __shared__ __align__(128) uint8_t shared[];
    __shared__ readers found;
    constexpr int SIZE = TILE * (DP + PAD);
    const attention &a = g.f;
    bf16 *room = (bf16 *)shared;
    own_tiles<DP> own = {room, room + SIZE};
    query_ring<DP> ring = {room + 2 * SIZE, room + 4 * SIZE, (grad_stats *)(room + 6 * SIZE)};
    int64_t row0 = (int64_t)blockIdx.x * TILE;
    load_rows<DP, TILE, WARPS>(own.k, a.k, a.k_row, row0, g.n_key_rows, blockIdx.y, a.dim);
    load_rows<DP, TILE, WARPS>(own.v, a.v, a.v_row, row0, g.n_key_rows, blockIdx.y, a.dim);
    copies_commit();
    if (threadIdx.x == 0)
        found.next = 0;
    do {
        find_readers(&found, a, row0);
        for (int f = 0; f < found.n; f++)
            add_reader<DP>(own, g, found.list[f], ring);
    } while (found.next < a.lists.n_segments);
    add_own(g, own.dk, own.dv, row0);
}

template <int DP> static fv_err launch(fv_backend *backend, const attention_grad &g)
{
    int bytes = 6 * TILE * (DP + PAD) * (int)sizeof(bf16) + 2 * TILE * (int)sizeof(grad_stats);
    FV_CUDA(
        cudaFuncSetAttribute(attention_grad_keys<DP>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    attention_grad_keys<DP>
        <<<dim3(blocks_for(g.n_key_rows, TILE), g.f.n_kv), THREADS, bytes, fv_cuda_compute(backend)>>>(g);
    return fv_cuda_launched("attention_grad");
}

fv_err fv_cuda_attention_grad_keys(fv_backend *backend, const attention_grad &g)
{
    WITH_DIM(g.f.dim, return launch<DP>(backend, g));
}
