/* Gradient of queries: a block has a tile of them and goes through the tiles of keys that they see. */
#include "attention_grad.cuh"

template <int DP>
__device__ __forceinline__ void run_tile(const attention_grad &g, const query_tile &t, bf16 *room)
{
    constexpr int SIZE = TILE * (DP + PAD);
    const attention &a = g.f;
    bf16 *q = room, *dy = q + SIZE, *k = dy + SIZE, *v = k + 2 * SIZE;
    key_ring<DP, TILE, WARPS> ring = {k, v};
    int begin = t.seen.first / TILE, end = (t.seen.end + TILE - 1) / TILE, row = threadIdx.x / 32 * 16;
    int first = t.seg.q_row + t.first, last = t.seg.q_row + t.seg.n_q, own = row + threadIdx.x % 32 / 4;
    load_rows<DP, TILE, WARPS>(q, a.q, a.q_row, first, last, t.head, a.dim);
    load_rows<DP, TILE, WARPS>(dy, g.dout, g.dout_row, first, last, t.head, a.dim);
    ring.load(a, t, begin);
    copies_commit();
    float dq[DP / 8][4] = {};
    const grad_stats of[2] = {grad_stats_of(g, t.seg, t.first + own, t.head),
                              grad_stats_of(g, t.seg, t.first + own + 8, t.head)};
    int pos = t.first_pos + own;
    for (int c = begin; c < end; c++) {
        ring.advance(a, t, c, end);
        float s[EIGHTS][4] = {}, dp[EIGHTS][4] = {};
        add_scores<DP, EIGHTS>(s, q, row, ring.k_at(c), 0);
        add_scores<DP, EIGHTS>(dp, dy, row, ring.v_at(c), 0);
        mask_scores<EIGHTS>(s, c * TILE, pos, pos + 8, t.seg.n_keys, a.causal, a.window);
        grad_scores(s, dp, of, a.scale_log2);
        add_keys<DP>(dq, dp, ring.k_at(c));
        __syncthreads();
    }
    store_queries(g, t, t.first + row, dq);
}

template <int DP> __global__ __launch_bounds__(THREADS) void attention_grad_queries(const attention_grad g)
{
    extern __shared__ __align__(128) uint8_t shared[];
    int n_tiles = g.f.lists.counts[ALL_TILES], n = n_tiles * (TILE_ROWS / TILE) * g.f.n_heads;
    for (int i = blockIdx.x; i < n; i += gridDim.x) {
        query_tile t;
        if (query_tile_of<TILE>(t, g.f, g.f.lists.all_tiles, n_tiles, i))
            run_tile<DP>(g, t, (bf16 *)shared);
    }
}

template <int DP> static fv_err launch(fv_backend *backend, const attention_grad &g)
{
    int bytes = 6 * TILE * (DP + PAD) * (int)sizeof(bf16);
    int64_t items = (int64_t)g.f.lists.max_tiles * (TILE_ROWS / TILE) * g.f.n_heads;
    FV_CUDA(
        cudaFuncSetAttribute(attention_grad_queries<DP>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    attention_grad_queries<DP><<<grid_for(backend, items, 2), THREADS, bytes, fv_cuda_compute(backend)>>>(g);
    return fv_cuda_launched("attention_grad");
}

fv_err fv_cuda_attention_grad_queries(fv_backend *backend, const attention_grad &g)
{
    WITH_DIM(g.f.dim, return launch<DP>(backend, g));
}
