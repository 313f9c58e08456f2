/* The gradient of attention, in kernels without atomics, so that every sum has one order:
 * attention_grad_queries goes through the keys of a tile of queries as the forward pass does;
 * attention_grad_keys (attention_grad_keys.cu) owns a tile of rows of keys and goes through the segments that
 * read them, whatever they call those rows. Weights are made again from lse. */
#include "attention_grad.cuh"

enum { DELTA_ROWS = 8 /* of a block: a warp has one */ };

template <int DP> __global__ __launch_bounds__(32 * DELTA_ROWS) void attention_delta(const attention_grad g)
{
    int64_t i = (int64_t)blockIdx.x * DELTA_ROWS + threadIdx.x / 32, n = g.n_queries * g.f.n_heads;
    int lane = threadIdx.x % 32;
    if (i >= n)
        return;
    int64_t row = i / g.f.n_heads, head = i % g.f.n_heads;
    const bf16 *o = g.f.out + row * g.f.out_row + head * g.f.dim,
               *d = g.dout + row * g.dout_row + head * g.f.dim;
    float sum = 0;
    for (int c = lane; c < g.f.dim; c += 32)
        sum = fmaf(__bfloat162float(o[c]), __bfloat162float(d[c]), sum);
    for (int w = 16; w; w /= 2)
        sum += __shfl_xor_sync(~0u, sum, w);
    if (lane == 0)
        g.delta[i] = sum;
}

/* Scores become their gradients, from those of weights: in dp. */
__device__ __forceinline__ void grad_scores(const float (&s)[TILES][4], float (&dp)[TILES][4],
                                            const grad_stats of[2], float scale_log2)
{
#pragma unroll
    for (int t = 0; t < TILES; t++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            dp[t][e] = weight(s[t][e], of[e / 2].lse, scale_log2) * (dp[t][e] - of[e / 2].delta);
}

template <int OUT>
__device__ __forceinline__ void store_queries(const attention_grad &g, const query_tile &t, int first,
                                              const float (&dq)[OUT][4])
{
    float scale = g.f.scale_log2 * LN_2;
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int i = first + lane / 4 + 8 * half;
        if (i >= t.seg.n_q)
            continue;
        float *to = g.dq + (t.seg.q_row + i) * g.dq_row + (int64_t)t.head * g.own_dim;
#pragma unroll
        for (int d = 0; d < OUT; d++) {
            int column = d * 8 + lane % 4 * 2;
#pragma unroll
            for (int e = 0; e < 2; e++)
                if (column + e < g.own_dim)
                    to[column + e] = dq[d][2 * half + e] * scale;
        }
    }
}

template <int DP> __global__ __launch_bounds__(THREADS, 1) void attention_grad_queries(const attention_grad g)
{
    extern __shared__ __align__(128) uint8_t shared[];
    constexpr int SIZE = TILE * (DP + PAD);
    const attention &a = g.f;
    bf16 *q = (bf16 *)shared, *dy = q + SIZE, *k = dy + SIZE, *v = k + 2 * SIZE;
    key_map *map = (key_map *)(v + 2 * SIZE);
    if ((int)blockIdx.x >= a.counts[0])
        return;
    query_tile t = query_tile_of<TILE>(a);
    key_ring<DP, TILE, WARPS> ring = {k, v, map};
    int begin = t.seen.first / TILE, end = (t.seen.end + TILE - 1) / TILE, row = threadIdx.x / 32 * 16;
    int first = t.seg.q_row + t.first, last = t.seg.q_row + t.seg.n_q, own = row + threadIdx.x % 32 / 4;
    key_map_fill(map, t.seg);
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
        float s[TILES][4] = {}, dp[TILES][4] = {};
        add_scores<DP, TILES>(s, q, row, ring.k_at(c), 0);
        add_scores<DP, TILES>(dp, dy, row, ring.v_at(c), 0);
        mask_scores<TILES>(s, c * TILE, pos, pos + 8, t.seg.n_keys, a.causal, a.window);
        grad_scores(s, dp, of, a.scale_log2);
#pragma unroll
        for (int n = 0; n < TILES; n += 2) {
            uint32_t p[4];
            pack_tiles(p, dp[n], dp[n + 1]);
            add_weighted<DP>(dq, p, ring.k_at(c), n * 8);
        }
        __syncthreads();
    }
    store_queries(g, t, t.first + row, dq);
}

template <int DP> static fv_err backward(fv_backend *backend, const attention_grad &g)
{
    cudaStream_t stream = fv_cuda_compute(backend);
    int bytes = 6 * TILE * (DP + PAD) * (int)sizeof(bf16) + (int)sizeof(key_map);
    FV_CUDA(
        cudaFuncSetAttribute(attention_grad_queries<DP>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    fv_cuda_attention_plan(backend, g.f, TILE, 0);
    attention_delta<DP><<<blocks_for(g.n_queries * g.f.n_heads, DELTA_ROWS), 32 * DELTA_ROWS, 0, stream>>>(g);
    attention_grad_queries<DP><<<dim3(g.f.max_tiles, g.f.n_heads), THREADS, bytes, stream>>>(g);
    return fv_cuda_attention_grad_keys(backend, g);
}

/* Tensors of a gradient, in the order of their copies. */
enum { DOUT, OUT, Q, K, V, N_HEADS };

/* How the workspace of a call is cut; copies are made of all or none. */
typedef struct rooms {
    size_t lists, delta, pads;
    int must_pad;
} rooms;

static rooms rooms_of(const fv_attention_grad_args *args, const fv_tensor t[N_HEADS])
{
    rooms r = {};
    r.lists = (fv_cuda_lists_bytes(args->q.dim[0], args->segments.dim[0], TILE) + 255) / 256 * 256;
    r.delta = ((size_t)(args->q.dim[0] * args->q.dim[1]) * sizeof(float) + 255) / 256 * 256;
    for (int i = 0; i < N_HEADS; i++) {
        r.must_pad |= !heads_are_aligned(&t[i]);
        r.pads += fv_cuda_padded_bytes(&t[i]);
    }
    r.pads = r.must_pad ? r.pads : 0;
    return r;
}

static void list_heads(const fv_attention_grad_args *args, fv_tensor t[N_HEADS])
{
    t[DOUT] = args->dout, t[OUT] = args->out, t[Q] = args->q, t[K] = args->k, t[V] = args->v;
}

size_t fv_cuda_attention_grad_room(const fv_attention_grad_args *args)
{
    fv_tensor t[N_HEADS];
    list_heads(args, t);
    rooms r = rooms_of(args, t);
    return r.lists + r.delta + r.pads;
}

extern "C" fv_err fv_cuda_attention_grad(fv_backend *backend, const fv_attention_grad_args *args)
{
    FV_TRY(fv_cuda_check_heads("attention_grad", &args->q, &args->k));
    fv_tensor t[N_HEADS];
    list_heads(args, t);
    rooms r = rooms_of(args, t);
    int64_t n_queries = args->q.dim[0];
    void *work = nullptr;
    FV_TRY(fv_cuda_workspace(backend, fv_cuda_attention_grad_room(args), &work));
    attention_grad g = {};
    g.f.n_segments = (int)args->segments.dim[0];
    g.delta = (float *)work;
    char *room = (char *)work + r.delta;
    fv_cuda_lists(&g.f, n_queries, TILE, room);
    room += r.lists;
    for (int i = 0; r.must_pad && i < N_HEADS; i++)
        t[i] = fv_cuda_pad(backend, t[i], &room);
    g.f.q = (const bf16 *)t[Q].data, g.f.k = (const bf16 *)t[K].data, g.f.v = (const bf16 *)t[V].data;
    g.f.out = (bf16 *)t[OUT].data, g.f.lse = (float *)args->lse.data, g.f.lse_row = args->lse.stride;
    g.f.segments = (const int32_t *)args->segments.data, g.f.spans = (const int32_t *)args->spans.data;
    g.f.segment_row = args->segments.stride, g.f.span_row = args->spans.stride;
    g.f.q_row = t[Q].stride, g.f.k_row = t[K].stride, g.f.v_row = t[V].stride, g.f.out_row = t[OUT].stride;
    g.f.n_heads = (int)args->q.dim[1], g.f.n_kv = (int)args->k.dim[1], g.f.dim = (int)t[Q].dim[2];
    g.f.scale_log2 = args->scale * 1.4426950408889634f;
    g.f.causal = args->causal, g.f.window = args->window;
    g.dout = (const bf16 *)t[DOUT].data, g.dout_row = t[DOUT].stride;
    g.dq = (float *)args->dq.data, g.dk = (float *)args->dk.data, g.dv = (float *)args->dv.data;
    g.dq_row = args->dq.stride, g.dk_row = args->dk.stride, g.dv_row = args->dv.stride,
    g.own_dim = (int)args->k.dim[2];
    g.n_key_rows = args->k.dim[0], g.n_queries = n_queries;
    WITH_DIM(g.f.dim, FV_TRY(backward<DP>(backend, g)));
    return fv_cuda_launched("attention_grad");
}
