/* Attention over segments: an exact online softmax in chunks of FV_ATTENTION_CHUNK keys, each reduced alone
 * and merged in order, so that one order of sums serves every way to compute it. Two kernels give the same
 * bits: attention_forward  a block has 128 queries of one head and goes through their chunks; attention_few
 * (attention_few.cu) segments with few queries, as in decoding: a block has the queries of all heads that
 * share a key head, and one chunk; chunks are merged afterwards. Weights are rounded to BF16 for the product
 * with values, and their sum is a product with ones of the same rounded weights. */
#include "attention_softmax.cuh"

enum { QUERIES = 128 /* of a tile */, WARPS = 8 };

/* The weights of a chunk, their sums l and its weighted values: part. m: the scaled maxima of the two rows.
 */
template <int DP>
__device__ __forceinline__ void reduce_chunk(const float (&s)[CHUNK / 8][4], const bf16 *v, const float m[2],
                                             float scale_log2, float l[4], float (&part)[DP / 8][4])
{
    float top[2] = {finite_or_zero(m[0]), finite_or_zero(m[1])};
#pragma unroll
    for (int t = 0; t < CHUNK / 8; t += 2) {
        float w[2][4];
        uint32_t p[4];
        weigh(w[0], s[t], top, scale_log2);
        weigh(w[1], s[t + 1], top, scale_log2);
        pack_tiles(p, w[0], w[1]);
        mma(l, p, BF16_ONES, BF16_ONES);
        add_weighted<DP>(part, p, v, t * 8);
    }
}

template <int OUT>
__device__ __forceinline__ void merge_rows(running run[2], const float m[2], const float l[4],
                                           float (&o)[OUT][4], const float (&part)[OUT][4])
{
    float keep0, add0, keep1, add1;
    merge(&run[0], m[0], l[0], &keep0, &add0);
    merge(&run[1], m[1], l[2], &keep1, &add1);
#pragma unroll
    for (int d = 0; d < OUT; d++) {
        o[d][0] = merged(o[d][0], part[d][0], keep0, add0);
        o[d][1] = merged(o[d][1], part[d][1], keep0, add0);
        o[d][2] = merged(o[d][2], part[d][2], keep1, add1);
        o[d][3] = merged(o[d][3], part[d][3], keep1, add1);
    }
}

template <int OUT>
__device__ __forceinline__ void store_rows(const attention &a, const query_tile &t, int first,
                                           const float (&o)[OUT][4], const running run[2])
{
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int i = first + lane / 4 + 8 * half;
        if (i >= t.seg.n_q)
            continue;
        int64_t row = t.seg.q_row + i;
        float inverse = 1.0f / run[half].l;
        bf16 *to = a.out + row * a.out_row + (int64_t)t.head * a.dim;
#pragma unroll
        for (int d = 0; d < OUT; d++) {
            int column = d * 8 + lane % 4 * 2;
            if (column < a.dim)
                *(uint32_t *)(to + column) =
                    pack2(__fmul_rn(o[d][2 * half], inverse), __fmul_rn(o[d][2 * half + 1], inverse));
        }
        if (a.lse && lane % 4 == 0)
            a.lse[row * a.lse_row + t.head] = lse_of(run[half]);
    }
}

template <int DP> __global__ __launch_bounds__(WARPS * 32, 1) void attention_forward(const attention a)
{
    extern __shared__ __align__(128) uint8_t shared[];
    constexpr int LINE = DP + PAD;
    bf16 *q = (bf16 *)shared, *k = q + QUERIES * LINE, *v = k + 2 * CHUNK * LINE;
    key_map *map = (key_map *)(v + 2 * CHUNK * LINE);
    if ((int)blockIdx.x >= a.counts[0])
        return;
    query_tile t = query_tile_of<QUERIES>(a);
    key_ring<DP, CHUNK, WARPS> ring = {k, v, map};
    int begin = t.seen.first / CHUNK, end = (t.seen.end + CHUNK - 1) / CHUNK, row = threadIdx.x / 32 * 16;
    key_map_fill(map, t.seg);
    load_rows<DP, QUERIES, WARPS>(q, a.q, a.q_row, t.seg.q_row + t.first, t.seg.q_row + t.seg.n_q, t.head,
                                  a.dim);
    ring.load(a, t, begin);
    copies_commit();
    float o[DP / 8][4] = {};
    running run[2] = {{NEG_INF, 0}, {NEG_INF, 0}};
    int pos = t.first_pos + row + threadIdx.x % 32 / 4;
    for (int c = begin; c < end; c++) {
        ring.advance(a, t, c, end);
        float s[CHUNK / 8][4] = {}, m[2], l[4] = {}, part[DP / 8][4] = {};
        add_scores<DP, CHUNK / 8>(s, q, row, ring.k_at(c), 0);
        int key = c * CHUNK;
        if (key + CHUNK > t.seg.n_keys || (a.causal && key + CHUNK > t.first_pos) || a.window)
            mask_scores<CHUNK / 8>(s, key, pos, pos + 8, t.seg.n_keys, a.causal, a.window);
        row_max<CHUNK / 8>(s, m);
        m[0] = scaled_max(m[0], a.scale_log2);
        m[1] = scaled_max(m[1], a.scale_log2);
        reduce_chunk<DP>(s, ring.v_at(c), m, a.scale_log2, l, part);
        merge_rows(run, m, l, o, part);
        __syncthreads();
    }
    store_rows(a, t, t.first + row, o, run);
}

template <int DP> static fv_err forward(fv_backend *backend, const attention &a, int few)
{
    int bytes = (QUERIES + 4 * CHUNK) * (DP + PAD) * (int)sizeof(bf16) + (int)sizeof(key_map);
    int room = fv_cuda_state_of(backend)->shared_bytes;
    FV_CHECK(bytes <= room, FV_ERR_UNSUPPORTED,
             "attention: heads of %d channels take %d bytes of shared memory, this device has %d for a block",
             a.dim, bytes, room);
    FV_CUDA(cudaFuncSetAttribute(attention_forward<DP>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    fv_cuda_attention_plan(backend, a, QUERIES, few);
    attention_forward<DP><<<dim3(a.max_tiles, a.n_heads), 32 * WARPS, bytes, fv_cuda_compute(backend)>>>(a);
    return few ? fv_cuda_attention_few(backend, a) : fv_cuda_launched("attention");
}

/* How the workspace of a call is cut. */
typedef struct rooms {
    size_t lists, parts, pads;
    int few, must_pad;
    int64_t max_parts;
} rooms;

static rooms rooms_of(const fv_attention_args *args)
{
    rooms r = {};
    int64_t n_segments = args->segments.dim[0], n_kv = args->k.dim[1];
    r.few = args->q.dim[1] / n_kv <= FEW_ROWS ? FEW_ROWS : 0;
    r.must_pad = !(heads_are_aligned(&args->q) && heads_are_aligned(&args->k) &&
                   heads_are_aligned(&args->v) && heads_are_aligned(&args->out));
    r.max_parts = args->spans.dim[0] + n_segments;
    r.lists = (fv_cuda_lists_bytes(args->q.dim[0], n_segments, QUERIES) + 255) / 256 * 256;
    r.parts = r.few ? ((size_t)(r.max_parts * n_kv) * FEW_ROWS * 130 * sizeof(float) + 255) / 256 * 256 : 0;
    r.pads = r.must_pad ? 2 * fv_cuda_padded_bytes(&args->q) + 2 * fv_cuda_padded_bytes(&args->k) : 0;
    return r;
}

size_t fv_cuda_attention_room(const fv_attention_args *args)
{
    rooms r = rooms_of(args);
    return r.lists + r.parts + r.pads;
}

extern "C" fv_err fv_cuda_attention(fv_backend *backend, const fv_attention_args *args)
{
    FV_TRY(fv_cuda_check_heads("attention", &args->q, &args->k));
    rooms r = rooms_of(args);
    void *work = nullptr;
    FV_TRY(fv_cuda_workspace(backend, fv_cuda_attention_room(args), &work));
    char *room = (char *)work;
    attention a = {};
    a.n_segments = (int)args->segments.dim[0];
    fv_cuda_lists(&a, args->q.dim[0], QUERIES, room);
    a.parts = (float *)(room + r.lists);
    a.max_parts = (int)r.max_parts;
    room += r.lists + r.parts;
    fv_tensor q = args->q, k = args->k, v = args->v, out = args->out;
    if (r.must_pad) {
        q = fv_cuda_pad(backend, q, &room);
        k = fv_cuda_pad(backend, k, &room);
        v = fv_cuda_pad(backend, v, &room);
        out = fv_tensor_3d(room, FV_BF16, out.dim[0], out.dim[1], q.dim[2]);
    }
    a.q = (const bf16 *)q.data, a.k = (const bf16 *)k.data, a.v = (const bf16 *)v.data,
    a.out = (bf16 *)out.data;
    a.lse = (float *)args->lse.data, a.lse_row = args->lse.stride;
    a.segments = (const int32_t *)args->segments.data, a.spans = (const int32_t *)args->spans.data;
    a.segment_row = args->segments.stride, a.span_row = args->spans.stride;
    a.q_row = q.stride, a.k_row = k.stride, a.v_row = v.stride, a.out_row = out.stride;
    a.n_heads = (int)q.dim[1], a.n_kv = (int)k.dim[1], a.dim = (int)q.dim[2];
    a.scale_log2 = args->scale * 1.4426950408889634f;
    a.causal = args->causal, a.window = args->window;
    WITH_DIM(a.dim, FV_TRY(forward<DP>(backend, a, r.few)));
    if (r.must_pad)
        fv_cuda_unpad(backend, out, args->out);
    return fv_cuda_launched("attention");
}
