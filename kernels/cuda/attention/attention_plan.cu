/* The lists of what the blocks of attention do, made from segments and spans by one block; and, by many,
 * what each unit of decoding needs. Not by fv_cuda_chain: attention_few reads lists before it joins. */
#include "attention.cuh"

enum { THREADS = 1024, WARPS = THREADS / 32 };

/* The sum of x over the threads before this one; *all: over all. */
__device__ int sum_before(int x, int *all)
{
    __shared__ int of_warp[WARPS];
    int upto = warp_scan(x);
    __syncthreads();
    if (threadIdx.x % 32 == 31)
        of_warp[threadIdx.x / 32] = upto;
    __syncthreads();
    int before = upto - x;
    *all = 0;
    for (unsigned w = 0; w < WARPS; w++) {
        before += w < threadIdx.x / 32 ? of_warp[w] : 0;
        *all += of_warp[w];
    }
    return before;
}

/* The largest x of the threads before this one; -1: there is none. */
__device__ int max_before(int x)
{
    __shared__ int of_warp[WARPS];
    int upto = x;
    for (int d = 1; d < 32; d *= 2) {
        int other = __shfl_up_sync(~0u, upto, d);
        upto = (int)threadIdx.x % 32 >= d ? max(upto, other) : upto;
    }
    __syncthreads();
    if (threadIdx.x % 32 == 31)
        of_warp[threadIdx.x / 32] = upto;
    __syncthreads();
    int before = __shfl_up_sync(~0u, upto, 1);
    before = threadIdx.x % 32 ? before : -1;
    for (unsigned w = 0; w < threadIdx.x / 32; w++)
        before = max(before, of_warp[w]);
    return before;
}

/* A thread's share of n items. */
struct stretch {
    int first, end;
};
__device__ __forceinline__ stretch own_stretch(int n)
{
    int each = (n + THREADS - 1) / THREADS, first = min(n, (int)threadIdx.x * each);
    return {first, min(first + each, n)};
}

__device__ __forceinline__ int n_chunks_of(const segment_view &seg)
{
    return (seg.n_keys + CHUNK - 1) / CHUNK;
}

__device__ void sum_keys(const attention &a)
{
    const attention_lists &l = a.lists;
    stretch own = own_stretch(l.n_spans);
    int sum = 0, all;
    for (int i = own.first; i < own.end; i++)
        sum += a.spans[a.span_row * i + 1];
    unsigned before = (unsigned)sum_before(sum, &all);
    for (int i = own.first; i < own.end; i++) {
        l.key_sum[i] = before;
        before += (unsigned)a.spans[a.span_row * i + 1];
    }
    if (threadIdx.x == 0)
        l.key_sum[l.n_spans] = (unsigned)all;
}

__device__ __forceinline__ int n_tiles_of(const segment_view &seg)
{
    return (seg.n_q + TILE_ROWS - 1) / TILE_ROWS;
}

/* By which tiles are sorted: the chunks that are seen where queries see no later keys. */
__device__ __forceinline__ int bin_of(const segment_view &seg, int tile)
{
    int keys = min(seg.n_keys, seg.n_past + (tile + 1) * TILE_ROWS);
    return min(max(keys, 0) / CHUNK, THREADS - 1);
}

__device__ __forceinline__ bool is_few(const segment_view &seg, int has_few)
{
    return has_few && seg.n_q == 1;
}

/* Tiles that see most go last: blocks take the last ones first. Each is computed by itself, so that the order
 * of those that see as much may be any. */
__device__ void list_tiles(const attention &a, int has_few)
{
    const attention_lists &l = a.lists;
    __shared__ int
        at[2][THREADS]; /* of all, and of those that are not few: how many, then where the next goes */
    int all, others, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    at[0][threadIdx.x] = at[1][threadIdx.x] = 0;
    __syncthreads();
    for (int s = warp; s < l.n_segments; s += WARPS) {
        segment_view seg = segment_of(a, s);
        for (int i = lane; i < n_tiles_of(seg); i += 32)
            atomicAdd(&at[!is_few(seg, has_few)][bin_of(seg, i)], 1);
    }
    __syncthreads();
    int few = at[0][threadIdx.x], n = at[1][threadIdx.x];
    at[0][threadIdx.x] = sum_before(n + few, &all);
    at[1][threadIdx.x] = sum_before(n, &others);
    __syncthreads();
    for (int s = warp; s < l.n_segments; s += WARPS) {
        segment_view seg = segment_of(a, s);
        for (int i = lane; i < n_tiles_of(seg); i += 32) {
            int2 tile = make_int2(s, i * TILE_ROWS);
            l.all_tiles[atomicAdd(&at[0][bin_of(seg, i)], 1)] = tile;
            if (!is_few(seg, has_few))
                l.tiles[atomicAdd(&at[1][bin_of(seg, i)], 1)] = tile;
        }
    }
    if (threadIdx.x == 0) {
        l.counts[TILES] = others;
        l.counts[ALL_TILES] = all;
    }
}

__device__ void list_few(const attention &a, int has_few)
{
    const attention_lists &l = a.lists;
    stretch own = own_stretch(l.n_segments);
    int few = 0, parts = 0, all;
    for (int s = own.first; s < own.end; s++) {
        segment_view seg = segment_of(a, s);
        few += is_few(seg, has_few);
        parts += is_few(seg, has_few) ? n_chunks_of(seg) : 0;
    }
    int at = sum_before(few, &all), part = sum_before(parts, &parts);
    for (int s = own.first; s < own.end; s++) {
        segment_view seg = segment_of(a, s);
        if (!is_few(seg, has_few))
            continue;
        int end = part + n_chunks_of(seg);
        l.queries[at] = {seg.q_row, seg.n_past, seg.n_keys, end <= l.max_parts ? part : -1};
        l.few[at++] = make_int2(s, end <= l.max_parts ? part : -1);
        part = end;
    }
    if (threadIdx.x == 0)
        l.counts[FEW] = all;
    __syncthreads();
}

/* How many of the first chunks of two segments are the same rows; a warp calls. */
__device__ int common_chunks(const attention &a, const segment_view &x, const segment_view &y)
{
    int n = min(x.n_spans, y.n_spans), same = 0;
    for (int base = 0; base < n; base += 32) {
        int i = base + threadIdx.x % 32;
        bool differ = i < n && (x.spans[x.span_row * i] != y.spans[y.span_row * i] ||
                                x.spans[x.span_row * i + 1] != y.spans[y.span_row * i + 1]);
        unsigned which = __ballot_sync(~0u, differ);
        if (which) {
            same = base + __ffs(which) - 1;
            break;
        }
        same = min(n, base + 32);
    }
    return (int)(a.lists.key_sum[x.first_span + same] - a.lists.key_sum[x.first_span]) / CHUNK;
}

__device__ void find_shares(const attention &a)
{
    const attention_lists &l = a.lists;
    for (int f = threadIdx.x / 32; f < l.counts[FEW]; f += WARPS) {
        int shared = 0;
        if (f > 0 && l.few[f].y >= 0 && l.few[f - 1].y >= 0)
            shared = common_chunks(a, segment_of(a, l.few[f].x), segment_of(a, l.few[f - 1].x));
        if (threadIdx.x % 32 == 0)
            l.shares[f] = shared;
    }
    __syncthreads();
}

/* Those that share go in families of as many as a unit has rows for. */
__device__ void cut_families(const attention &a)
{
    const attention_lists &l = a.lists;
    stretch own = own_stretch(l.counts[FEW]);
    int most = UNIT_ROWS / (a.n_heads / a.n_kv), start = -1;
    for (int f = own.first; f < own.end; f++)
        start = l.shares[f] ? start : f;
    int before = max_before(start);
    for (int f = own.first; f < own.end; f++) {
        before = l.shares[f] ? before : f;
        if (most < 2 || (f - before) % most == 0)
            l.shares[f] = 0;
    }
    __syncthreads();
}

/* Units that begin with one of few: of several, and of it alone. */
struct own_units {
    int shared, others;
};
__device__ __forceinline__ own_units units_of(const attention &a, int f)
{
    const attention_lists &l = a.lists;
    if (l.few[f].y < 0)
        return {0, 1};
    int shared = f + 1 < l.counts[FEW] ? max(0, l.shares[f + 1] - l.shares[f]) : 0;
    return {shared, n_chunks_of(segment_of(a, l.few[f].x)) - l.shares[f] - shared};
}

__device__ void place_units(const attention &a)
{
    const attention_lists &l = a.lists;
    stretch own = own_stretch(l.counts[FEW]);
    int shared = 0, others = 0, alone = 0, all_shared, all;
    for (int f = own.first; f < own.end; f++) {
        own_units n = units_of(a, f);
        shared += n.shared, others += n.others, alone += l.few[f].y < 0;
    }
    sum_before(alone, &all);
    if (threadIdx.x == 0)
        l.counts[ALONE] = all;
    int2 at = {sum_before(shared, &all_shared), sum_before(others, &all)};
    at.y += all_shared;
    for (int f = own.first; f < own.end; f++) {
        own_units n = units_of(a, f);
        l.first_unit[f] = at;
        at.x += n.shared, at.y += n.others;
    }
    if (threadIdx.x == 0)
        l.counts[UNITS] = all_shared + all;
    __syncthreads();
}

/* A warp lists the units that begin with one of few. */
__device__ void list_units(const attention &a)
{
    const attention_lists &l = a.lists;
    int n_few = l.counts[FEW];
    for (int f = threadIdx.x / 32; f < n_few; f += WARPS) {
        int first = l.shares[f], end = n_chunks_of(segment_of(a, l.few[f].x)), shared = units_of(a, f).shared;
        int2 to = l.first_unit[f];
        if (l.few[f].y < 0) {
            if (threadIdx.x % 32 == 0)
                l.units[to.y] = make_int4(f, 1, -1, 0);
            continue;
        }
        for (int i = threadIdx.x % 32; i < end - first; i += 32) {
            int n = 1;
            while (f + n < n_few && l.shares[f + n] > first + i)
                n++;
            l.units[i < shared ? to.x + i : to.y + i - shared] = make_int4(f, n, first + i, 0);
        }
    }
}

__global__ __launch_bounds__(THREADS) void attention_plan(const attention a, int has_few)
{
    sum_keys(a);
    list_tiles(a, has_few);
    list_few(a, has_few);
    find_shares(a);
    cut_families(a);
    place_units(a);
    list_units(a);
}

/* What a block of attention needs of a unit, beside each other: loads that wait for loads take longer than
 * the unit, for all that is read between two layers leaves nothing of the lists in the cache. */
__global__ __launch_bounds__(CHUNK) void attention_plan_units(const attention a)
{
    const attention_lists &l = a.lists;
    for (int u = blockIdx.x; u < l.counts[UNITS]; u += gridDim.x) {
        int4 unit = l.units[u];
        segment_view seg = segment_of(a, l.few[unit.x].x);
        int key = unit.z * CHUNK + threadIdx.x;
        if (threadIdx.x == 0)
            l.firsts[u] = l.queries[unit.x];
        l.rows[u * CHUNK + threadIdx.x] = unit.z >= 0 && key < seg.n_keys ? key_row(a, seg, key) : -1;
    }
    __threadfence(); /* attention_few may be there as soon as this has ended */
}

fv_err fv_cuda_attention_plan_kernel(fv_backend *backend, const attention &a, int has_few)
{
    attention_plan<<<1, THREADS, 0, fv_cuda_compute(backend)>>>(a, has_few);
    if (has_few)
        attention_plan_units<<<grid_for(backend, a.lists.max_units, 8), CHUNK, 0, fv_cuda_compute(backend)>>>(
            a);
    return fv_cuda_launched("attention_plan");
}

int fv_cuda_has_few(int64_t n_heads, int64_t n_kv, int64_t dim)
{
    return n_heads / n_kv <= FEW_ROWS && dim <= 128;
}

/* The next piece of memory; with memory NULL only *at moves on. */
static char *cut(void *memory, size_t *at, size_t bytes)
{
    char *piece = (char *)memory + *at;
    *at += (bytes + 255) / 256 * 256;
    return piece;
}

static attention_lists cut_lists(list_shape shape, void *memory, size_t *bytes)
{
    attention_lists l = {};
    size_t s = (size_t)shape.n_segments;
    l.n_segments = (int)shape.n_segments;
    l.n_spans = (int)shape.n_spans;
    l.max_tiles = (int)(shape.n_queries / TILE_ROWS + shape.n_segments);
    l.max_parts = (int)(shape.n_spans / 2 + shape.n_segments); /* enough for spans of half a chunk */
    l.max_units = (int)(l.max_parts + shape.n_segments);
    *bytes = 0;
    l.counts = (int *)cut(memory, bytes, (ALONE + 1) * sizeof(int));
    l.key_sum = (unsigned *)cut(memory, bytes, ((size_t)shape.n_spans + 1) * sizeof(unsigned));
    l.tiles = (int2 *)cut(memory, bytes, (size_t)l.max_tiles * sizeof(int2));
    l.all_tiles = (int2 *)cut(memory, bytes, (size_t)l.max_tiles * sizeof(int2));
    l.few = (int2 *)cut(memory, bytes, s * sizeof(int2));
    l.queries = (few_query *)cut(memory, bytes, s * sizeof(few_query));
    l.shares = (int *)cut(memory, bytes, s * sizeof(int));
    l.first_unit = (int2 *)cut(memory, bytes, s * sizeof(int2));
    l.units = (int4 *)cut(memory, bytes, (size_t)l.max_units * sizeof(int4));
    l.firsts = (few_query *)cut(memory, bytes, (size_t)l.max_units * sizeof(few_query));
    l.rows = (int *)cut(memory, bytes, (size_t)l.max_units * CHUNK * sizeof(int));
    return l;
}

size_t fv_cuda_lists_bytes(list_shape shape)
{
    size_t bytes;
    cut_lists(shape, nullptr, &bytes);
    return bytes;
}

attention_lists fv_cuda_lists(list_shape shape, void *memory)
{
    size_t bytes;
    return cut_lists(shape, memory, &bytes);
}

static list_shape shape_of(const fv_attention_plan_args *args)
{
    return {args->n_queries, args->segments.dim[0], args->spans.dim[0]};
}

size_t fv_cuda_attention_plan_bytes(fv_backend *backend, const fv_attention_plan_args *args)
{
    (void)backend;
    return fv_cuda_lists_bytes(shape_of(args));
}

fv_err fv_cuda_check_plan(const char *op, const fv_tensor *plan, list_shape shape)
{
    size_t bytes = fv_cuda_lists_bytes(shape);
    FV_CHECK((size_t)plan->dim[0] == bytes && (uintptr_t)plan->data % 16 == 0, FV_ERR_SHAPE,
             "%s: tensor plan has %lld bytes, expected %zu for these segments and spans, on a multiple of 16",
             op, (long long)plan->dim[0], bytes);
    return FV_OK;
}

extern "C" fv_err fv_cuda_attention_plan(fv_backend *backend, const fv_attention_plan_args *args)
{
    FV_TRY(fv_cuda_check_plan("attention_plan", &args->plan, shape_of(args)));
    attention a = {};
    a.segments = (const int32_t *)args->segments.data, a.spans = (const int32_t *)args->spans.data;
    a.segment_row = args->segments.stride, a.span_row = args->spans.stride;
    a.n_heads = args->n_heads, a.n_kv = args->n_kv_heads;
    a.lists = fv_cuda_lists(shape_of(args), args->plan.data);
    return fv_cuda_attention_plan_kernel(backend, a, fv_cuda_has_few(a.n_heads, a.n_kv, args->head_dim));
}
