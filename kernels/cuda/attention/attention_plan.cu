/* What attention queues before its kernels: lists of what blocks do, and copies of heads with zeros behind
 * their channels, for tensors that cannot be loaded sixteen bytes at a time. */
#include "attention.cuh"

enum { THREADS = 256 };

/* The sum of x over the threads before this one. */
__device__ int sum_before(int x)
{
    __shared__ int of_warp[THREADS / 32];
    int upto = warp_scan(x);
    __syncthreads();
    if (threadIdx.x % 32 == 31)
        of_warp[threadIdx.x / 32] = upto;
    __syncthreads();
    int before = upto - x;
    for (unsigned w = 0; w < threadIdx.x / 32; w++)
        before += of_warp[w];
    return before;
}

__device__ int n_chunks_of(const segment_view &seg)
{
    return (seg.n_keys + CHUNK - 1) / CHUNK;
}

/* Segments with few queries get parts one behind the other; those that find no room are tiled as the others
 * are. */
struct planner {
    const attention &a;
    int few, part; /* part: where the parts of the next one begin */

    __device__ int takes_parts(const segment_view &seg, int *at)
    {
        if (seg.n_q * (a.n_heads / a.n_kv) > few)
            return 0;
        *at = part;
        part += n_chunks_of(seg);
        return part <= a.max_parts;
    }
};

/* One block; a thread has a stretch of segments, so that the lists keep their order. */
__global__ void attention_plan(const attention a, int tile_rows, int few)
{
    int each = (a.n_segments + THREADS - 1) / THREADS, first = threadIdx.x * each,
        end = min(first + each, a.n_segments);
    int n_tiles = 0, n_few = 0, at = 0;
    planner plan = {a, few, 0};
    for (int s = first; s < end; s++)
        plan.takes_parts(segment_of(a, s), &at);
    int part = plan.part = sum_before(plan.part);
    for (int s = first; s < end; s++) {
        segment_view seg = segment_of(a, s);
        if (plan.takes_parts(seg, &at))
            n_few++;
        else
            n_tiles += (seg.n_q + tile_rows - 1) / tile_rows;
    }
    int tile = sum_before(n_tiles), item = sum_before(n_few);
    plan.part = part;
    for (int s = first; s < end; s++) {
        segment_view seg = segment_of(a, s);
        if (plan.takes_parts(seg, &at))
            a.few[item++] = make_int2(s, at);
        else
            for (int query = 0; query < seg.n_q; query += tile_rows)
                a.tiles[tile++] = make_int2(s, query);
    }
    if (threadIdx.x == THREADS - 1) {
        a.counts[0] = tile;
        a.counts[1] = item;
    }
}

void fv_cuda_attention_plan(fv_backend *backend, const attention &a, int tile_rows, int few)
{
    attention_plan<<<1, THREADS, 0, fv_cuda_compute(backend)>>>(a, tile_rows, few);
}

size_t fv_cuda_lists_bytes(int64_t n_queries, int64_t n_segments, int tile_rows)
{
    return (size_t)(n_queries / tile_rows + 2 * n_segments + 2) * sizeof(int2) + 512;
}

void fv_cuda_lists(attention *a, int64_t n_queries, int tile_rows, char *room)
{
    a->max_tiles = (int)(n_queries / tile_rows + a->n_segments);
    a->counts = (int *)room;
    a->tiles = (int2 *)(room + 256);
    a->few = a->tiles + a->max_tiles;
}

__global__ void pad_heads(const bf16 *from, int64_t row, int64_t heads, int64_t dim, bf16 *to, int64_t padded,
                          int64_t n)
{
    int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= n)
        return;
    int64_t c = i % padded, h = i / padded % heads, r = i / padded / heads;
    to[i] = c < dim ? from[r * row + h * dim + c] : __float2bfloat16(0.0f);
}

__global__ void unpad_heads(const bf16 *from, int64_t padded, bf16 *to, int64_t row, int64_t heads,
                            int64_t dim, int64_t n)
{
    int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= n)
        return;
    int64_t c = i % dim, h = i / dim % heads, r = i / dim / heads;
    to[r * row + h * dim + c] = from[(r * heads + h) * padded + c];
}

fv_tensor fv_cuda_pad(fv_backend *backend, fv_tensor t, char **room)
{
    int64_t padded = (t.dim[2] + 7) / 8 * 8, n = t.dim[0] * t.dim[1] * padded;
    fv_tensor to = fv_tensor_3d(*room, FV_BF16, t.dim[0], t.dim[1], padded);
    *room += fv_cuda_padded_bytes(&t);
    if (n)
        pad_heads<<<blocks_for(n, THREADS), THREADS, 0, fv_cuda_compute(backend)>>>(
            (const bf16 *)t.data, t.stride, t.dim[1], t.dim[2], (bf16 *)to.data, padded, n);
    return to;
}

void fv_cuda_unpad(fv_backend *backend, fv_tensor from, fv_tensor to)
{
    int64_t n = fv_tensor_count(to);
    if (n)
        unpad_heads<<<blocks_for(n, THREADS), THREADS, 0, fv_cuda_compute(backend)>>>(
            (const bf16 *)from.data, from.dim[2], (bf16 *)to.data, to.stride, to.dim[1], to.dim[2], n);
}

size_t fv_cuda_padded_bytes(const fv_tensor *t)
{
    return ((size_t)(t->dim[0] * t->dim[1] * ((t->dim[2] + 7) / 8 * 8)) * sizeof(bf16) + 255) / 256 * 256;
}

fv_err fv_cuda_check_heads(const char *op, const fv_tensor *q, const fv_tensor *k)
{
    FV_CHECK(q->dtype == FV_BF16 && k->dtype == FV_BF16, FV_ERR_UNSUPPORTED,
             "%s: CUDA computes in BF16, not %s: set precision to bf16", op, fv_dtype_name(q->dtype));
    FV_CHECK(q->dim[2] <= 128, FV_ERR_UNSUPPORTED, "%s: heads of %lld channels, at most 128 are supported",
             op, (long long)q->dim[2]);
    return FV_OK;
}
