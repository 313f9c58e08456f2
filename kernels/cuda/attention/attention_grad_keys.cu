/* Gradient of keys and values: a block owns a tile of rows and goes through the segments that read them, in
 * order, the heads of its group, and their queries. No atomics: the order is fixed. */
#include "attention_grad.cuh"

enum { LIST = 512 };

/* A stretch of the tile's rows as one segment reads them. */
struct reader {
    int segment, key; /* key: the logical number of row 0 of the tile, were it of the stretch */
    short first, end; /* rows of the tile */
};

struct readers {
    int n, next; /* next: the first segment that has not been looked at */
    reader list[LIST];
};

/* Spans [base, base + 32) of a segment, which begin at logical key *before; a warp calls. */
__device__ __forceinline__ void find_in_spans(readers *out, const segment_view &seg, int segment, int base,
                                              int *before, int64_t row0)
{
    int lane = threadIdx.x, i = base + lane, row = 0, length = 0;
    if (i < seg.n_spans) {
        row = seg.spans[seg.span_row * i];
        length = seg.spans[seg.span_row * i + 1];
    }
    int sum = warp_scan(length), logical = *before + sum - length;
    bool hit = length > 0 && row < row0 + TILE && row + length > row0;
    unsigned hits = __ballot_sync(~0u, hit);
    if (hit)
        out->list[out->n + __popc(hits & ((1u << lane) - 1))] = {
            segment, logical + (int)(row0 - row), (short)max((int)(row - row0), 0),
            (short)min((int)(row + length - row0), (int)TILE)};
    *before += __shfl_sync(~0u, sum, 31);
    __syncwarp();
    if (lane == 0)
        out->n += __popc(hits);
    __syncwarp();
}

/* The next readers in order of segments, as many as the list is sure to take: a segment reads a row once, so
 * that it has at most TILE stretches of the tile. */
__device__ __forceinline__ void find_readers(readers *out, const attention &a, int64_t row0)
{
    __syncthreads();
    if (threadIdx.x == 0)
        out->n = 0;
    __syncwarp();
    if (threadIdx.x < 32) {
        int s = out->next;
        for (; s < a.n_segments && out->n <= LIST - TILE; s++) {
            segment_view seg = segment_of(a, s);
            int before = 0;
            for (int base = 0; base < seg.n_spans; base += 32)
                find_in_spans(out, seg, s, base, &before, row0);
        }
        __syncwarp();
        if (threadIdx.x == 0)
            out->next = s;
    }
    __syncthreads();
}

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

/* Scores s of keys by queries become weights, and the gradients dp of weights those of scores. i0: the first
 * query. */
__device__ __forceinline__ void grad_scores(float (&s)[TILES][4], float (&dp)[TILES][4], const attention &a,
                                            const segment_view &seg, const reader &r, int i0,
                                            const grad_stats *stats)
{
    int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16 + lane / 4;
#pragma unroll
    for (int n = 0; n < TILES; n++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            int column = n * 8 + lane % 4 * 2 + e % 2, own = row + e / 2 * 8;
            int i = i0 + column, key = r.key + own, pos = seg.n_past + i;
            bool seen = i < seg.n_q && own >= r.first && own < r.end && (!a.causal || key <= pos) &&
                        (!a.window || key > pos - a.window);
            grad_stats of = stats[column];
            float p = seen ? weight(s[n][e], of.lse, a.scale_log2) : 0;
            s[n][e] = p;
            dp[n][e] = seen ? p * (dp[n][e] - of.delta) : 0;
        }
}

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
    float s[TILES][4] = {}, dp[TILES][4] = {};
    add_scores<DP, TILES>(s, own.k, row, tile.q, 0);
    add_scores<DP, TILES>(dp, own.v, row, tile.dy, 0);
    grad_scores(s, dp, a, seg, r, i0, tile.stats);
#pragma unroll
    for (int n = 0; n < TILES; n += 2) {
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
    int group = a.n_heads / a.n_kv, head = blockIdx.y * group, last_key = r.key + r.end - 1;
    int from = a.causal ? max(0, r.key + r.first - seg.n_past) / TILE * TILE : 0;
    int to = a.window ? min(seg.n_q, last_key + a.window - seg.n_past) : seg.n_q;
    if (from >= to)
        return;
    int n_tiles = (to - from + TILE - 1) / TILE, n_all = n_tiles * group;
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

__device__ __forceinline__ void add2(float *to, float x, float y, int n)
{
    to[0] += x;
    if (n > 1)
        to[1] += y;
}

template <int DP>
__device__ __forceinline__ void store_own(const attention_grad &g, const own_tiles<DP> &own, int64_t row0)
{
    float scale = g.f.scale_log2 * LN_2;
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int64_t row = row0 + threadIdx.x / 32 * 16 + lane / 4 + 8 * half,
                head = (int64_t)blockIdx.y * g.own_dim;
        if (row >= g.n_key_rows)
            continue;
        float *tk = g.dk + row * g.dk_row + head, *tv = g.dv + row * g.dv_row + head;
#pragma unroll
        for (int d = 0; d < DP / 8; d++) {
            int column = d * 8 + lane % 4 * 2, left = g.own_dim - column;
            if (left <= 0)
                continue;
            add2(tk + column, own.dk[d][2 * half] * scale, own.dk[d][2 * half + 1] * scale, left);
            add2(tv + column, own.dv[d][2 * half], own.dv[d][2 * half + 1], left);
        }
    }
}

template <int DP> __global__ __launch_bounds__(THREADS, 1) void attention_grad_keys(const attention_grad g)
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
    } while (found.next < a.n_segments);
    store_own<DP>(g, own, row0);
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
