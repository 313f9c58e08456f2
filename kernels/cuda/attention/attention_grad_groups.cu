/* The gradient of attention by wgmma (sm_90a): groups of four warps as in the forward pass, one that gathers
 * and two that multiply. */
#include "attention_grad_readers.cuh"
#include "attention_groups.cuh"

/* ---- queries: each group has 64 of a tile, and goes through the chunks that they see ---- */

/* The gradients of scores as the operand of a product, from scores s and the gradients dp of weights. */
template <int N> __device__ __forceinline__ void pack_scores(uint32_t (&p)[N / 2][4], const float (&x)[N][4])
{
#pragma unroll
    for (int k = 0; k < N / 2; k++)
        pack_tiles(p[k], x[2 * k], x[2 * k + 1]);
}

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
    const char *q = room.q(0) + wg * 64 * 128, *dy = q + room.TILE;
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

/* ---- keys and values: a block has 64 rows of them; the tiles of queries that read them go to its two groups
 * by turns, and what the groups have is added at the end ---- */

enum { SLOTS = 4 /* of tiles of queries */ };

struct key_barriers {
    uint64_t full_own, full[SLOTS], empty[SLOTS];
};

template <int DP> struct key_room {
    enum { PART = group_tile<DP, TILE>::BYTES, BYTES = (2 + 2 * SLOTS) * PART + SLOTS * TILE * 8 };
    char *k; /* and values behind them */
    key_barriers *b;
    readers *found;
    __device__ __forceinline__ char *q(int slot) const
    {
        return k + (2 + 2 * slot) * PART;
    }
    __device__ __forceinline__ grad_stats *stats(int slot) const
    {
        return (grad_stats *)(k + (2 + 2 * SLOTS) * PART) + slot * TILE;
    }
};

__device__ __forceinline__ void key_barriers_init(key_barriers *b)
{
    if (threadIdx.x == 0) {
        barrier_init(&b->full_own, GROUP);
        for (int i = 0; i < SLOTS; i++) {
            barrier_init(&b->full[i], GROUP + TILE /* whose stores arrive by themselves */);
            barrier_init(&b->empty[i], 1);
        }
        asm volatile("fence.mbarrier_init.release.cluster;");
    }
    __syncthreads();
}

/* Tile t of the queries of a reader: heads of the group by turns, tiles of each in order. */
struct reader_tile {
    int i0, head;
};
__device__ __forceinline__ reader_tile reader_tile_of(const attention &a, query_range see, int t)
{
    return {see.from + t % see.n_tiles * TILE, (int)blockIdx.y * (a.n_heads / a.n_kv) + t / see.n_tiles};
}

template <int DP>
__device__ __forceinline__ void gather_reader(const attention_grad &g, const key_room<DP> &room,
                                              const reader &r, int *n)
{
    const attention &a = g.f;
    segment_view seg = segment_of(a, r.segment);
    query_range see = readers_queries(a, seg, r);
    for (int t = 0; t < see.n_tiles * (a.n_heads / a.n_kv); t++, ++*n) {
        int slot = *n % SLOTS;
        reader_tile at = reader_tile_of(a, see, t);
        int i = at.i0 + warp_row<TILE>() + (int)threadIdx.x % (TILE / 4),
            row = i < seg.n_q ? seg.q_row + i : -1;
        barrier_wait(&room.b->empty[slot], (*n / SLOTS & 1) ^ 1);
        gather<DP, TILE>(room.q(slot), a.q, a.q_row, row, at.head, a.dim);
        gather<DP, TILE>(room.q(slot) + room.PART, g.dout, g.dout_row, row, at.head, a.dim);
        if (threadIdx.x < TILE) {
            room.stats(slot)[threadIdx.x] = grad_stats_of(g, seg, at.i0 + (int)threadIdx.x, at.head);
            barrier_arrive(&room.b->full[slot]);
        }
        copies_tell(&room.b->full[slot]);
    }
}

template <int DP>
__device__ __forceinline__ void gather_readers(const attention_grad &g, const key_room<DP> &room,
                                               int64_t row0)
{
    const attention &a = g.f;
    int n = 0;
    int64_t own = row0 + warp_row<TILE>() + threadIdx.x % (TILE / 4);
    int row = own < g.n_key_rows ? (int)own : -1;
    gather<DP, TILE>(room.k, a.k, a.k_row, row, blockIdx.y, a.dim);
    gather<DP, TILE>(room.k + room.PART, a.v, a.v_row, row, blockIdx.y, a.dim);
    copies_tell(&room.b->full_own);
    do {
        find_readers(room.found, a, row0);
        for (int f = 0; f < room.found->n; f++)
            gather_reader(g, room, room.found->list[f], &n);
    } while (room.found->next < a.lists.n_segments);
    copies_end();
}

/* What a group has summed. */
template <int DP> struct key_sums {
    float dk[DP / 2], dv[DP / 2];
};

template <int DP>
__device__ __forceinline__ void take_queries(key_sums<DP> &own, const attention &a, const key_room<DP> &room,
                                             const segment_view &seg, const reader &r, int i0, int slot)
{
    const char *q = room.q(slot), *dy = q + room.PART;
    const grad_stats *stats = room.stats(slot);
    float s[TILE / 2], dp[TILE / 2];
    uint32_t p[TILE / 16][4], ds[TILE / 16][4];
    products_begin();
    queue_scores<DP, TILE, TILE>(s, room.k, q);
    products_commit();
    queue_scores<DP, TILE, TILE>(dp, room.k + room.PART, dy);
    products_commit();
    products_wait<1>();
    weigh_keys(tiles_of(s), a, seg, r, i0, stats);
    pack_scores(p, tiles_of(s));
    products_wait<0>();
    products_begin();
    queue_weighted<DP, TILE>(own.dv, p, dy, 1);
    products_commit();
    grad_keys(tiles_of(s), tiles_of(dp), stats);
    pack_scores(ds, tiles_of(dp));
    products_begin();
    queue_weighted<DP, TILE>(own.dk, ds, q, 1);
    products_commit();
    products_wait<0>();
}

/* Group 1 leaves its sums in memory that nothing is loaded into any more; group 0 adds them to its own. */
template <int DP>
__device__ __forceinline__ void store_sums(const attention_grad &g, const key_room<DP> &room,
                                           key_sums<DP> &own, int wg, int64_t row0)
{
    float *sums = (float *)room.q(0) + threadIdx.x % GROUP;
#pragma unroll
    for (int i = 0; i < DP / 2 && wg == 1; i++) {
        sums[i * GROUP] = own.dk[i];
        sums[(DP / 2 + i) * GROUP] = own.dv[i];
    }
    __syncthreads();
    if (wg == 1)
        return;
#pragma unroll
    for (int i = 0; i < DP / 2; i++) {
        own.dk[i] += sums[i * GROUP];
        own.dv[i] += sums[(DP / 2 + i) * GROUP];
    }
    add_own(g, tiles_of(own.dk), tiles_of(own.dv), row0);
}

template <int DP>
__device__ __forceinline__ void multiply_readers(const attention_grad &g, const key_room<DP> &room,
                                                 int64_t row0)
{
    const attention &a = g.f;
    int wg = threadIdx.x / GROUP - 1, group = a.n_heads / a.n_kv, n = 0;
    key_sums<DP> own = {};
    do {
        find_readers(room.found, a, row0);
        tile_wait(&room.b->full_own, 0);
        for (int f = 0; f < room.found->n; f++) {
            const reader r = room.found->list[f];
            segment_view seg = segment_of(a, r.segment);
            query_range see = readers_queries(a, seg, r);
            for (int t = 0; t < see.n_tiles * group; t++, n++) {
                if (n % 2 != wg)
                    continue;
                tile_wait(&room.b->full[n % SLOTS], n / SLOTS & 1);
                take_queries(own, a, room, seg, r, reader_tile_of(a, see, t).i0, n % SLOTS);
                if (threadIdx.x % GROUP == 0)
                    barrier_arrive(&room.b->empty[n % SLOTS]);
            }
        }
    } while (room.found->next < a.lists.n_segments);
    __syncthreads();
    store_sums(g, room, own, wg, row0);
}

template <int DP>
__global__ __launch_bounds__(3 * GROUP, 1) void attention_grad_groups_keys(const attention_grad g)
{
#if __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ __align__(1024) uint8_t raw[];
    __shared__ key_barriers b;
    __shared__ readers found;
    key_room<DP> room = {(char *)raw, &b, &found};
    int64_t row0 = (int64_t)blockIdx.x * TILE;
    if (threadIdx.x == 0)
        found.next = 0;
    key_barriers_init(&b);
    if (threadIdx.x < GROUP) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        gather_readers<DP>(g, room, row0);
        __syncthreads(); /* as the others do, before and after the sums of one are there */
        __syncthreads();
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
        multiply_readers<DP>(g, room, row0);
    }
#endif
}

template <int DP> static fv_err launch(fv_backend *backend, const attention_grad &g)
{
    cudaStream_t stream = fv_cuda_compute(backend);
    int for_queries = group_room<DP, 2, 1>::BYTES, for_keys = key_room<DP>::BYTES;
    int64_t items = (int64_t)g.f.lists.max_tiles * g.f.n_heads;
    FV_CUDA(cudaFuncSetAttribute(attention_grad_groups_queries<DP>,
                                 cudaFuncAttributeMaxDynamicSharedMemorySize, for_queries));
    FV_CUDA(cudaFuncSetAttribute(attention_grad_groups_keys<DP>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 for_keys));
    attention_grad_groups_queries<DP><<<grid_for(backend, items, 1), 3 * GROUP, for_queries, stream>>>(g);
    attention_grad_groups_keys<DP>
        <<<dim3(blocks_for(g.n_key_rows, TILE), g.f.n_kv), 3 * GROUP, for_keys, stream>>>(g);
    return fv_cuda_launched("attention_grad");
}

fv_err fv_cuda_attention_grad_groups(fv_backend *backend, const attention_grad &g)
{
    if (g.f.dim <= 64)
        return launch<64>(backend, g);
    return g.f.dim <= 80 ? launch<80>(backend, g) : launch<128>(backend, g);
}
