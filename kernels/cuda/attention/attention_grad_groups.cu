/* The gradient of queries by wgmma (sm_90a), in groups of four warps as in the forward pass: one gathers, and
 * two multiply. Each of them has 64 queries of a tile, and goes through the chunks that they see. */
#include "attention_grad_readers.cuh"
#include "attention_groups.cuh"

template <int DP>
__device__ __forceinline__ void take_chunk(float (&dq)[DP / 2], const attention &a, const query_tile &t,
                                           const grad_stats of[2], int c, int pos, float (&scores)[CHUNK / 2],
                                           float (&dps)[CHUNK / 2], uint32_t (&ds)[CHUNK / 16][4])
{
    float(&s)[CHUNK / 8][4] = tiles_of(scores), (&dp)[CHUNK / 8][4] = tiles_of(dps);
    if (!sees_all(a, t, c))
        mask_scores<CHUNK / 8>(s, c * CHUNK, pos, pos + 8, t.seg.n_keys, a.causal, a.window);
#pragma unroll
    for (int n = 0; n < CHUNK / 8; n++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            s[n][e] = weight(s[n][e], of[e / 2].lse, a.scale_log2);
    products_wait<0>();
#pragma unroll
    for (int n = 0; n < CHUNK / 8; n++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            dp[n][e] = s[n][e] * (dp[n][e] - of[e / 2].delta);
    pack_scores(ds, dp);
}

template <int DP>
__device__ __forceinline__ void multiply_queries(const attention_grad &g, const group_room<DP, 2, 1> &room)
{
    const attention &a = g.f;
    int wg = threadIdx.x / GROUP - 1, n_tiles = a.lists.counts[ALL_TILES], n = n_tiles * a.n_heads,
        chunks = 0;
    int row = wg * 64 + threadIdx.x % GROUP / 32 * 16, own = row + threadIdx.x % 32 / 4,
        leads = threadIdx.x % GROUP == 0;
    const char *q = own_half(room.q(0)), *dy = q + room.TILE;
    for (int i = 0; item_of(i) < n; i++) {
        query_tile t;
        query_tile_of<TILE_ROWS>(t, a, a.lists.all_tiles, n_tiles, item_of(i));
        int end = (t.seen.end + CHUNK - 1) / CHUNK;
        const grad_stats of[2] = {grad_stats_of(g, t.seg, t.first + own, t.head),
                                  grad_stats_of(g, t.seg, t.first + own + 8, t.head)};
        float dq[DP / 2] = {};
        tile_wait(&room.b->full_q[0], i & 1);
        for (int c = t.seen.first / CHUNK; c < end; c++, chunks++) {
            int stage = chunks % STAGES, parity = chunks / STAGES & 1;
            float s[CHUNK / 2], dp[CHUNK / 2];
            uint32_t ds[CHUNK / 16][4];
            tile_wait(&room.b->full_k[stage], parity);
            products_begin();
            queue_scores<DP, TILE_ROWS, CHUNK>(s, q, room.k(stage));
            products_commit();
            tile_wait(&room.b->full_v[stage], parity);
            products_begin();
            queue_scores<DP, TILE_ROWS, CHUNK>(dp, dy, room.v(stage));
            products_commit();
            products_wait<1>();
            take_chunk<DP>(dq, a, t, of, c, t.first_pos + own, s, dp, ds);
            if (leads)
                barrier_arrive(&room.b->empty_v[stage]);
            if (leads && c + 1 == end)
                barrier_arrive(&room.b->empty_q[0]);
            products_begin();
            queue_weighted<DP, CHUNK>(dq, ds, room.k(stage), 1);
            products_commit();
            products_wait<0>();
            if (leads)
                barrier_arrive(&room.b->empty_k[stage]);
        }
        store_queries(g, t, t.first + row, tiles_of(dq));
    }
}

template <int DP>
__global__ __launch_bounds__(3 * GROUP, 1) void attention_grad_groups_queries(const attention_grad g)
{
#if __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ __align__(1024) uint8_t raw[];
    __shared__ barriers b;
    group_room<DP, 2, 1> room = {(char *)raw, &b};
    barriers_init(&b);
    if (threadIdx.x < GROUP) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        gather_tiles<DP>(g.f, room, g.f.lists.all_tiles, g.f.lists.counts[ALL_TILES], g.dout, g.dout_row);
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
        multiply_queries<DP>(g, room);
    }
#endif
}

template <int DP> static fv_err launch(fv_backend *backend, const attention_grad &g)
{
    int bytes = group_room<DP, 2, 1>::BYTES;
    int64_t items = (int64_t)g.f.lists.max_tiles * g.f.n_heads;
    FV_CUDA(cudaFuncSetAttribute(attention_grad_groups_queries<DP>,
                                 cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    attention_grad_groups_queries<DP>
        <<<grid_for(backend, items, 1), 3 * GROUP, bytes, fv_cuda_compute(backend)>>>(g);
    return fv_cuda_attention_grad_groups_keys(backend, g);
}

fv_err fv_cuda_attention_grad_groups(fv_backend *backend, const attention_grad &g)
{
    if (g.f.dim <= 64)
        return launch<64>(backend, g);
    return g.f.dim <= 80 ? launch<80>(backend, g) : launch<128>(backend, g);
}
