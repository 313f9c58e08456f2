/* A tile of ROWS rows of keys, and who reads them: for the gradient of keys and values. */
#ifndef FOVEA_KERNELS_CUDA_ATTENTION_GRAD_READERS_CUH
#define FOVEA_KERNELS_CUDA_ATTENTION_GRAD_READERS_CUH

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
template <int ROWS>
__device__ __forceinline__ void find_in_spans(readers *out, const segment_view &seg, int segment, int base,
                                              int *before, int64_t row0)
{
    int lane = threadIdx.x, i = base + lane, row = 0, length = 0;
    if (i < seg.n_spans) {
        row = seg.spans[seg.span_row * i];
        length = seg.spans[seg.span_row * i + 1];
    }
    int sum = warp_scan(length), logical = *before + sum - length;
    bool hit = length > 0 && row < row0 + ROWS && row + length > row0;
    unsigned hits = __ballot_sync(~0u, hit);
    if (hit)
        out->list[out->n + __popc(hits & ((1u << lane) - 1))] = {
            segment, logical + (int)(row0 - row), (short)max((int)(row - row0), 0),
            (short)min((int)(row + length - row0), ROWS)};
    *before += __shfl_sync(~0u, sum, 31);
    __syncwarp();
    if (lane == 0)
        out->n += __popc(hits);
    __syncwarp();
}

/* Whether a segment reads rows of the tile. */
template <int ROWS> __device__ __forceinline__ bool reads(const segment_view &seg, int64_t row0)
{
    bool hit = false;
    for (int i = 0; i < seg.n_spans; i++) {
        int row = seg.spans[seg.span_row * i], length = seg.spans[seg.span_row * i + 1];
        hit = hit || (length > 0 && row < row0 + ROWS && row + length > row0);
    }
    return hit;
}

/* Those of segments s to s + 31; returns the first that has not been looked at. A warp calls. */
template <int ROWS>
__device__ __forceinline__ int find_in_segments(readers *out, const attention &a, int s, int64_t row0)
{
    int own = s + threadIdx.x, n = a.lists.n_segments;
    unsigned hits = __ballot_sync(~0u, own < n && reads<ROWS>(segment_of(a, own), row0));
    while (hits && out->n <= LIST - ROWS) {
        int segment = s + __ffs(hits) - 1, before = 0;
        segment_view seg = segment_of(a, segment);
        for (int base = 0; base < seg.n_spans; base += 32)
            find_in_spans<ROWS>(out, seg, segment, base, &before, row0);
        hits &= hits - 1;
    }
    return hits ? s + __ffs(hits) - 1 : min(s + 32, n);
}

/* As __syncthreads, for groups of warps that come to it by branches of their own: it says how many threads
 * there are. */
__device__ __forceinline__ void block_sync()
{
    asm volatile("bar.sync 0, %0;" ::"r"(blockDim.x) : "memory");
}

/* The next readers in order of segments, as many as the list is sure to take: a segment reads a row once, so
 * that it has at most ROWS stretches of the tile. */
template <int ROWS = TILE>
__device__ __forceinline__ void find_readers(readers *out, const attention &a, int64_t row0)
{
    block_sync();
    if (threadIdx.x == 0)
        out->n = 0;
    __syncwarp();
    if (threadIdx.x < 32) {
        int s = out->next;
        while (s < a.lists.n_segments && out->n <= LIST - ROWS)
            s = find_in_segments<ROWS>(out, a, s, row0);
        __syncwarp();
        if (threadIdx.x == 0)
            out->next = s;
    }
    block_sync();
}

/* The queries of a reader that see some of its rows, in tiles from a multiple of TILE on. */
struct query_range {
    int from, n_tiles;
};

__device__ __forceinline__ query_range readers_queries(const attention &a, const segment_view &seg,
                                                       const reader &r)
{
    int last_key = r.key + r.end - 1;
    int from = a.causal ? max(0, r.key + r.first - seg.n_past) / TILE * TILE : 0;
    int to = a.window ? min(seg.n_q, last_key + a.window - seg.n_past) : seg.n_q;
    return {from, from < to ? (to - from + TILE - 1) / TILE : 0};
}

/* Scores s of keys by queries become weights, and the gradients dp of weights those of scores: so they are
 * for queries and keys behind the ends too, whose gradients are 0. i0: the first query; row0: of the tile,
 * TILE rows of which are keys. */
__device__ __forceinline__ void weigh_keys(float (&s)[EIGHTS][4], const attention &a, const segment_view &seg,
                                           const reader &r, int i0, const grad_stats *stats, int row0 = 0)
{
    int lane = threadIdx.x % 32, row = row0 + threadIdx.x % THREADS / 32 * 16 + lane / 4,
        first_pos = seg.n_past + i0;
    bool whole = r.first <= row0 && r.end >= row0 + TILE && !a.window &&
                 (!a.causal || r.key + row0 + TILE - 1 <= first_pos);
#pragma unroll
    for (int n = 0; n < EIGHTS; n++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            s[n][e] = weight(s[n][e], stats[n * 8 + lane % 4 * 2 + e % 2].lse, a.scale_log2);
    if (whole)
        return;
    int first[2], end[2]; /* queries that see the keys of this thread, from its own first on */
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int own = row + half * 8, pos = r.key + own - first_pos - lane % 4 * 2;
        bool is_read = own >= r.first && own < r.end;
        first[half] = a.causal ? pos : -TILE;
        end[half] = !is_read ? -TILE : a.window ? pos + a.window : TILE;
    }
#pragma unroll
    for (int n = 0; n < EIGHTS; n++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            int column = n * 8 + e % 2;
            s[n][e] = column >= first[e / 2] && column < end[e / 2] ? s[n][e] : 0;
        }
}

/* What nobody reads may hold anything. */
__device__ __forceinline__ void grad_keys(const float (&p)[EIGHTS][4], float (&dp)[EIGHTS][4],
                                          const grad_stats *stats)
{
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int n = 0; n < EIGHTS; n++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            dp[n][e] = p[n][e] == 0 ? 0 : p[n][e] * (dp[n][e] - stats[n * 8 + lane % 4 * 2 + e % 2].delta);
}

__device__ __forceinline__ void add2(float *to, float x, float y, int n)
{
    to[0] += x;
    if (n > 1)
        to[1] += y;
}

/* Gradients of the tile's rows are added, channels from column0 on. */
template <int OUT>
__device__ __forceinline__ void add_own(const attention_grad &g, const float (&dk)[OUT][4],
                                        const float (&dv)[OUT][4], int64_t row0, int column0 = 0)
{
    float scale = g.f.scale_log2 * LN_2;
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int64_t row = row0 + threadIdx.x % THREADS / 32 * 16 + lane / 4 + 8 * half,
                head = (int64_t)blockIdx.y * g.own_dim;
        if (row >= g.n_key_rows)
            continue;
        float *tk = g.dk + row * g.dk_row + head, *tv = g.dv + row * g.dv_row + head;
#pragma unroll
        for (int d = 0; d < OUT; d++) {
            int column = column0 + d * 8 + lane % 4 * 2, left = g.own_dim - column;
            if (left <= 0)
                continue;
            add2(tk + column, dk[d][2 * half] * scale, dk[d][2 * half + 1] * scale, left);
            add2(tv + column, dv[d][2 * half], dv[d][2 * half + 1], left);
        }
    }
}

#endif
