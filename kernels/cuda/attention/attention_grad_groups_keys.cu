/* The gradient of keys and values by wgmma (sm_90a): a block has 128 rows of them, 64 for each of two groups
 * of four warps, which go through the tiles of queries that read them; another group gathers those. Where a
 * tile of keys has much to do and tiles are few, the blocks of a cluster take its tiles of queries by turns,
 * and add up what they have at the end. No atomics: the order of all sums is fixed. */
#include "attention_grad_readers.cuh"
#include "attention_groups.cuh"

enum {
    SLOTS = 4 /* of tiles of queries */,
    MOST_SHARES = 4 /* blocks of a cluster */,
    TOGETHER = 16 /* sums */
};

struct key_barriers {
    uint64_t full_own, full[SLOTS], empty[SLOTS];
};

template <int DP> struct key_room {
    enum {
        OWN = group_tile<DP, TILE_ROWS>::BYTES,
        PART = group_tile<DP, TILE>::BYTES,
        BYTES = 2 * OWN + 2 * SLOTS * PART + SLOTS * TILE * 8
    };
    char *k; /* and values behind them */
    key_barriers *b;
    readers *found;
    __device__ __forceinline__ char *q(int slot) const
    {
        return k + 2 * OWN + 2 * slot * PART;
    }
    __device__ __forceinline__ grad_stats *stats(int slot) const
    {
        return (grad_stats *)(k + 2 * OWN + 2 * SLOTS * PART) + slot * TILE;
    }
};

__device__ __forceinline__ void key_barriers_init(key_barriers *b)
{
    if (threadIdx.x == 0) {
        barrier_init(&b->full_own, GROUP);
        for (int i = 0; i < SLOTS; i++) {
            barrier_init(&b->full[i], GROUP + TILE /* whose stores arrive by themselves */);
            barrier_init(&b->empty[i], 2 * PER_GROUP);
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

/* The first of a reader's tiles that is the block's, when `all` came before: every gridDim.x-th is. */
__device__ __forceinline__ int first_share(int all)
{
    return (int)((blockIdx.x + gridDim.x - all % gridDim.x) % gridDim.x);
}

/* n: of the block's tiles before; all: of those of the cluster. */
template <int DP>
__device__ __forceinline__ void gather_reader(const attention_grad &g, const key_room<DP> &room,
                                              const reader &r, int *n, int *all)
{
    const attention &a = g.f;
    segment_view seg = segment_of(a, r.segment);
    query_range see = readers_queries(a, seg, r);
    int n_tiles = see.n_tiles * (a.n_heads / a.n_kv);
    for (int t = first_share(*all); t < n_tiles; t += gridDim.x, ++*n) {
        int slot = *n % SLOTS;
        reader_tile at = reader_tile_of(a, see, t);
        int i = at.i0 + warp_row<TILE>() + (int)threadIdx.x % (TILE / 4),
            row = i < seg.n_q ? seg.q_row + i : -1;
        grad_stats stats = {};
        if (threadIdx.x < TILE) /* on its way while the others wait and copy */
            stats = grad_stats_of(g, seg, at.i0 + (int)threadIdx.x, at.head);
        barrier_wait(&room.b->empty[slot], (*n / SLOTS & 1) ^ 1);
        gather<DP, TILE>(room.q(slot), a.q, a.q_row, row, at.head, a.dim);
        gather<DP, TILE>(room.q(slot) + room.PART, g.dout, g.dout_row, row, at.head, a.dim);
        if (threadIdx.x < TILE) {
            room.stats(slot)[threadIdx.x] = stats;
            barrier_arrive(&room.b->full[slot]);
        }
        copies_tell(&room.b->full[slot]);
    }
    *all += n_tiles;
}

template <int DP>
__device__ __forceinline__ void gather_readers(const attention_grad &g, const key_room<DP> &room,
                                               int64_t row0)
{
    const attention &a = g.f;
    int n = 0, all = 0;
    int64_t own = row0 + warp_row<TILE_ROWS>() + threadIdx.x % 32;
    int row = own < g.n_key_rows ? (int)own : -1;
    gather<DP, TILE_ROWS>(room.k, a.k, a.k_row, row, blockIdx.y, a.dim);
    gather<DP, TILE_ROWS>(room.k + room.OWN, a.v, a.v_row, row, blockIdx.y, a.dim);
    copies_tell(&room.b->full_own);
    do {
        find_readers<TILE_ROWS>(room.found, a, row0);
        for (int f = 0; f < room.found->n; f++)
            gather_reader(g, room, room.found->list[f], &n, &all);
    } while (room.found->next < a.lists.n_segments);
    copies_end();
}

/* What a group has summed. */
template <int DP> struct key_sums {
    float x[2][DP / 2]; /* of keys, of values */
};

/* Whether queries from i0 on see some of the group's rows, from `own` on. */
__device__ __forceinline__ bool sees_rows(const attention &a, const segment_view &seg, const reader &r,
                                          int i0, int own)
{
    int first = max((int)r.first, own);
    return first < min((int)r.end, own + TILE) && (!a.causal || r.key + first < seg.n_past + i0 + TILE);
}

template <int DP>
__device__ __forceinline__ void take_queries(key_sums<DP> &sums, const attention &a, const key_room<DP> &room,
                                             const segment_view &seg, const reader &r, int i0, int slot)
{
    int own = (threadIdx.x / GROUP - 1) * TILE;
    const char *q = room.q(slot), *dy = q + room.PART, *k = own_half(room.k), *v = k + room.OWN;
    const grad_stats *stats = room.stats(slot);
    float s[TILE / 2], dp[TILE / 2];
    uint32_t p[TILE / 16][4], ds[TILE / 16][4];
    products_begin();
    queue_scores<DP, TILE_ROWS, TILE>(s, k, q);
    products_commit();
    queue_scores<DP, TILE_ROWS, TILE>(dp, v, dy);
    products_commit();
    products_wait<1>();
    weigh_keys(tiles_of(s), a, seg, r, i0, stats, own);
    pack_scores(p, tiles_of(s));
    products_wait<0>();
    products_begin();
    queue_weighted<DP, TILE>(sums.x[1], p, dy, 1);
    products_commit();
    grad_keys(tiles_of(s), tiles_of(dp), stats);
    pack_scores(ds, tiles_of(dp));
    products_begin();
    queue_weighted<DP, TILE>(sums.x[0], ds, q, 1);
    products_commit();
    products_wait<0>();
}

template <int DP>
__device__ __forceinline__ void multiply_readers(const attention_grad &g, const key_room<DP> &room,
                                                 int64_t row0, key_sums<DP> &sums)
{
    const attention &a = g.f;
    int n = 0, all = 0, own = (threadIdx.x / GROUP - 1) * TILE;
    do {
        find_readers<TILE_ROWS>(room.found, a, row0);
        tile_wait(&room.b->full_own, 0);
        for (int f = 0; f < room.found->n; f++) {
            const reader r = room.found->list[f];
            segment_view seg = segment_of(a, r.segment);
            query_range see = readers_queries(a, seg, r);
            int n_tiles = see.n_tiles * (a.n_heads / a.n_kv);
            for (int t = first_share(all); t < n_tiles; t += gridDim.x, n++) {
                int slot = n % SLOTS, i0 = reader_tile_of(a, see, t).i0;
                tile_wait(&room.b->full[slot], n / SLOTS & 1);
                if (sees_rows(a, seg, r, i0, own))
                    take_queries(sums, a, room, seg, r, i0, slot);
                group_sync(); /* all warps have read the slot; both groups say so before it is filled again */
                group_leaves(&room.b->empty[slot]);
            }
            all += n_tiles;
        }
    } while (room.found->next < a.lists.n_segments);
}

/* ---- sums of the blocks of a cluster: each adds up a part of them, in order of the blocks ---- */

__device__ __forceinline__ void cluster_sync()
{
    asm volatile("barrier.cluster.arrive.release.aligned;\n\tbarrier.cluster.wait.acquire.aligned;" ::
                     : "memory");
}

/* After cluster_sync. */
__device__ __forceinline__ float float_of_block(uint32_t address, int rank)
{
    uint32_t there;
    float x;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(address), "r"(rank));
    asm volatile("ld.shared::cluster.f32 %0, [%1];" : "=f"(x) : "r"(there));
    return x;
}

/* Where sum i of a thread of a group lies, in memory that nothing is loaded into any more. */
template <int DP> __device__ __forceinline__ float *sum_at(const key_room<DP> &room, int i)
{
    return (float *)room.q(0) + (threadIdx.x / GROUP - 1) * DP * GROUP + i * GROUP + threadIdx.x % GROUP;
}

/* The number that sum i of a thread is added to; NULL: there is none. */
template <int DP> __device__ __forceinline__ float *place_of(const attention_grad &g, int64_t row0, int i)
{
    int lane = threadIdx.x % 32, at = i % (DP / 2), column = at / 4 * 8 + lane % 4 * 2 + at % 2;
    int64_t row =
        row0 + (threadIdx.x / GROUP - 1) * TILE + threadIdx.x % GROUP / 32 * 16 + lane / 4 + at % 4 / 2 * 8;
    if (row >= g.n_key_rows || column >= g.own_dim)
        return nullptr;
    return (i < DP / 2 ? g.dk + row * g.dk_row : g.dv + row * g.dv_row) + blockIdx.y * g.own_dim + column;
}

/* Sums [first, first + N), as far as they are before `end`. */
template <int DP, int N>
__device__ __forceinline__ void add_sums(const attention_grad &g, const key_room<DP> &room, int64_t row0,
                                         int first, int end)
{
    float *to[N], was[N], sum[N];
#pragma unroll
    for (int i = 0; i < N; i++) {
        to[i] = first + i < end ? place_of<DP>(g, row0, first + i) : nullptr;
        was[i] = to[i] ? *to[i] : 0;
        sum[i] = 0;
    }
    for (int rank = 0; rank < (int)gridDim.x; rank++)
#pragma unroll
        for (int i = 0; i < N; i++)
            if (to[i])
                sum[i] += float_of_block(shared_address(sum_at(room, first + i)), rank);
#pragma unroll
    for (int i = 0; i < N; i++)
        if (to[i])
            *to[i] = was[i] + (first + i < DP / 2 ? sum[i] * (g.f.scale_log2 * LN_2) : sum[i]);
}

template <int DP>
__device__ __forceinline__ void share_sums(const attention_grad &g, const key_room<DP> &room,
                                           const key_sums<DP> &sums, int64_t row0)
{
    int each = DP / gridDim.x, end = (blockIdx.x + 1) * each;
    block_sync(); /* both groups have read their last tiles */
#pragma unroll
    for (int i = 0; i < DP; i++)
        *sum_at(room, i) = sums.x[i / (DP / 2)][i % (DP / 2)];
    cluster_sync();
    for (int i = blockIdx.x * each; i < end; i += TOGETHER)
        add_sums<DP, TOGETHER>(g, room, row0, i, end);
    cluster_sync(); /* none ends before the others have read its sums */
}

/* blockIdx.x: of the cluster; y: the head of keys; z: the tile. The first tiles have most to do. */
template <int DP>
__global__ __launch_bounds__(3 * GROUP, 1) void attention_grad_groups_keys(const attention_grad g)
{
#if __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ __align__(1024) uint8_t raw[];
    __shared__ key_barriers b;
    __shared__ readers found;
    key_room<DP> room = {(char *)raw, &b, &found};
    int64_t row0 = (int64_t)blockIdx.z * TILE_ROWS;
    if (threadIdx.x == 0)
        found.next = 0;
    key_barriers_init(&b);
    if (threadIdx.x < GROUP) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        gather_readers<DP>(g, room, row0);
        block_sync(); /* as in share_sums */
        cluster_sync();
        cluster_sync();
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
        key_sums<DP> sums = {};
        multiply_readers<DP>(g, room, row0, sums);
        share_sums(g, room, sums, row0);
    }
#endif
}

/* Blocks that share a tile of keys: several where few tiles have much to do. */
static unsigned n_shares(fv_backend *backend, const attention_grad &g)
{
    int64_t tiles = (int64_t)blocks_for(g.n_key_rows, TILE_ROWS) * g.f.n_kv;
    int is_shared = g.f.n_heads > g.f.n_kv && tiles < 8 * fv_cuda_state_of(backend)->n_processors;
    return is_shared ? MOST_SHARES : 1;
}

template <int DP> static fv_err launch_keys(fv_backend *backend, const attention_grad &g)
{
    cudaLaunchAttribute cluster = {};
    cudaLaunchConfig_t config = {};
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim = {n_shares(backend, g), 1, 1};
    config.gridDim = dim3(cluster.val.clusterDim.x, g.f.n_kv, blocks_for(g.n_key_rows, TILE_ROWS));
    config.blockDim = dim3(3 * GROUP);
    config.dynamicSmemBytes = key_room<DP>::BYTES;
    config.stream = fv_cuda_compute(backend);
    config.attrs = &cluster;
    config.numAttrs = 1;
    FV_CUDA(cudaFuncSetAttribute(attention_grad_groups_keys<DP>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 key_room<DP>::BYTES));
    FV_CUDA(cudaLaunchKernelEx(&config, attention_grad_groups_keys<DP>, g));
    return fv_cuda_launched("attention_grad");
}

fv_err fv_cuda_attention_grad_groups_keys(fv_backend *backend, const attention_grad &g)
{
    if (g.f.dim <= 64)
        return launch_keys<64>(backend, g);
    return g.f.dim <= 80 ? launch_keys<80>(backend, g) : launch_keys<128>(backend, g);
}
