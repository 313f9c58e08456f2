/* The gradient of queries by wgmma (sm_90a), in groups of four warps as in the forward pass: one gathers, and
 * two multiply. Each of them has 64 queries of a tile, and goes through the chunks that they see. */
#include "attention_grad_readers.cuh"
#include "attention_groups.cuh"

/* The queries of a group, and what has been summed of their gradients. */
template <int DP> struct own_queries {
    group_rows rows;
    grad_stats of[2];
    float dq[DP / 2];
};

/* Weights s become the gradients of scores, from those of weights: in dp. */
template <int N>
__device__ __forceinline__ void grad_weights(const float (&s)[N][4], float (&dp)[N][4],
                                             const grad_stats of[2])
{
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            dp[n][e] = s[n][e] * (dp[n][e] - of[e / 2].delta);
}

/* Values, and behind the last chunk queries, are done with. */
template <int DP>
__device__ __forceinline__ void leave_values(const group_room<DP, 2, 1> &room, staged at, int is_last)
{
    group_leaves(&room.b->empty_v[at.stage]);
    if (is_last)
        group_leaves(&room.b->empty_q[0]);
}

/* The first KEYS of chunk c. */
template <int KEYS, int DP>
__device__ __forceinline__ void take_keys(own_queries<DP> &own, const attention &a,
                                          const group_room<DP, 2, 1> &room, const query_tile &t, int c,
                                          staged at)
{
    const char *q = own_half(room.q(0)), *dy = q + room.TILE;
    float scores[KEYS / 2], dps[KEYS / 2];
    float(&s)[KEYS / 8][4] = tiles_of(scores);
    uint32_t ds[KEYS / 16][4];
    products_begin();
    queue_scores<DP, TILE_ROWS, CHUNK>(scores, q, room.k(at.stage));
    products_commit();
    queue_scores<DP, TILE_ROWS, CHUNK>(dps, dy, room.v(at.stage));
    products_commit();
    products_wait<1>();
    mask_chunk<KEYS>(s, a, own.rows, t.seg.n_keys, c);
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            s[n][e] = weight(s[n][e], own.of[e / 2].lse, a.scale_log2);
    products_wait<0>();
    leave_values(room, at, c + 1 == end_chunk(t));
    grad_weights(s, tiles_of(dps), own.of);
    pack_scores(ds, tiles_of(dps));
    products_begin();
    queue_weighted<DP, CHUNK>(own.dq, ds, room.k(at.stage), 1);
    products_commit();
    products_wait<0>();
    group_leaves(&room.b->empty_k[at.stage]);
}

/* A chunk of which none of the group's queries sees a key. No product keeps its warps together. */
template <int DP>
__device__ __forceinline__ void leave_keys(const group_room<DP, 2, 1> &room, const query_tile &t, int c,
                                           staged at)
{
    group_sync();
    leave_values(room, at, c + 1 == end_chunk(t));
    group_leaves(&room.b->empty_k[at.stage]);
}

template <int DP>
__device__ __forceinline__ void multiply_queries(const attention_grad &g, const group_room<DP, 2, 1> &room)
{
    const attention &a = g.f;
    int n = a.lists.counts[ALL_TILES] * a.n_heads, chunks = 0, row = (int)threadIdx.x / 32 * 16 - GROUP / 2;
    for (int i = 0; item_of(i) < n; i++) {
        tile_wait(&room.b->full_q[0], i & 1);
        const query_tile t = room.b->tiles[0];
        int end = end_chunk(t), first = t.first + row + (int)threadIdx.x % 32 / 4;
        own_queries<DP> own = {
            group_rows_of(a, t),
            {grad_stats_of(g, t.seg, first, t.head), grad_stats_of(g, t.seg, first + 8, t.head)},
            {}};
        for (int c = t.seen.first / CHUNK; c < end; c++, chunks++) {
            staged at = staged_at(chunks);
            int left = own.rows.n_seen - c * CHUNK;
            tile_wait(&room.b->full_k[at.stage], at.parity);
            tile_wait(&room.b->full_v[at.stage], at.parity);
            if (left > CHUNK / 2)
                take_keys<CHUNK>(own, a, room, t, c, at);
            else if (left > 0)
                take_keys<CHUNK / 2>(own, a, room, t, c, at);
            else
                leave_keys(room, t, c, at);
        }
#pragma unroll
        for (int d = 0; d < DP / 2; d++)
            asm volatile("" : "+f"(own.dq[d])); /* no sum of products that are under way: they would wait */
        store_queries(g, t, t.first + row, tiles_of(own.dq));
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
