/* Draws by the Gumbel maximum: a block has a piece of a row, a thread every THREADS-th counter of it, and the
 * best of the pieces are compared afterwards. The largest value wins, the lower id of equals, so that how the
 * ids are shared out does not show. */
#include "cuda.cuh"
#include "philox.cuh"

enum {
    THREADS = 256,
    PIECE = 4096, /* ids */
    GROUP = 64,   /* ids of sixteen counters: word w of counter 16 g + lane is id 64 g + 16 w + lane's */
    LANES = 16,
    WORDS = GROUP / LANES
};

struct best {
    float value;
    int32_t id; /* -1: none */
};

/* Of a piece of a row. */
struct found {
    best it;
    int is_wrong;
};

__device__ __forceinline__ best better(best a, best b)
{
    int b_wins = b.id >= 0 && (a.id < 0 || b.value > a.value || (b.value == a.value && b.id < a.id));
    return b_wins ? b : a;
}

/* A word as w in (0, 1], and its Gumbel number, as the CPU back end has them but for the last bits of
 * logarithms. */
__device__ __forceinline__ float gumbel(uint32_t word)
{
    float w = fminf(fmaf((float)(word >> 1), 0x1p-31f, 0x1p-32f), 0x1.fffffep-1f);
    float y = 1.0f - w, lost = (1.0f - y) - w;
    return -logf(-(logf(y) + lost));
}

struct sample_args {
    const float *logits, *inv_temperature;
    const int32_t *draws, *excluded;
    int64_t stride, n, draw_stride;
    int n_excluded, accumulate;
    int32_t first;
    float *value, *z;
    int32_t *ids;
    found *pieces; /* (T, n_pieces) */
    int n_pieces;
};

__device__ __forceinline__ int is_excluded(const sample_args &a, int64_t id)
{
    int is = 0;
    for (int e = 0; e < a.n_excluded; e++)
        is |= a.excluded[e] == id;
    return is;
}

__device__ __forceinline__ best best_of_warp(best x)
{
    for (int d = 16; d; d /= 2)
        x = better(x, {__shfl_xor_sync(~0u, x.value, d), __shfl_xor_sync(~0u, x.id, d)});
    return x;
}

__global__ void sample_pieces(const sample_args a)
{
    __shared__ best of_warp[THREADS / 32];
    int64_t t = blockIdx.y, from = a.first + (int64_t)blockIdx.x * PIECE,
            end = min(from + PIECE, a.first + a.n), counters = (end + GROUP - 1) / GROUP * LANES;
    const int32_t *key = a.draws + t * a.draw_stride;
    const float *row = a.logits + t * a.stride - a.first;
    float scale = a.inv_temperature[t];
    best own = {-INFINITY, -1};
    int is_wrong = 0, is_drawn = key[4];
    for (int64_t c = from / GROUP * LANES + threadIdx.x; c < counters; c += THREADS) {
        fv_cuda_words words = {};
        if (is_drawn)
            words = philox({{(uint32_t)c, 0, (uint32_t)key[2], (uint32_t)key[3]}}, (uint32_t)key[0],
                           (uint32_t)key[1]);
#pragma unroll
        for (int w = 0; w < WORDS; w++) {
            int64_t id = c / LANES * GROUP + w * LANES + c % LANES;
            if (id < from || id >= end || is_excluded(a, id))
                continue;
            float z = row[id] * scale;
            is_wrong |= !(z < INFINITY);
            if (is_drawn)
                z += gumbel(words.word[w]);
            if (z > -INFINITY)
                own = better(own, {z, (int32_t)id});
        }
    }
    own = best_of_warp(own);
    if (threadIdx.x % 32 == 0)
        of_warp[threadIdx.x / 32] = own;
    is_wrong = __syncthreads_or(is_wrong);
    if (threadIdx.x > 0)
        return;
    for (int w = 1; w < THREADS / 32; w++)
        own = better(own, of_warp[w]);
    a.pieces[t * a.n_pieces + blockIdx.x] = {own, is_wrong};
}

/* A warp has a row. */
__global__ void sample_best(const sample_args a)
{
    int64_t t = blockIdx.x;
    best own = {-INFINITY, -1};
    int is_wrong = 0;
    for (int p = threadIdx.x; p < a.n_pieces; p += 32) {
        found piece = a.pieces[t * a.n_pieces + p];
        own = better(own, piece.it);
        is_wrong |= piece.is_wrong;
    }
    own = best_of_warp(own);
    is_wrong = __any_sync(~0u, is_wrong);
    if (threadIdx.x > 0)
        return;
    best before = a.accumulate ? best{a.value[t], a.ids[t]} : best{-INFINITY, -1};
    if (!a.accumulate)
        a.z[t] = -INFINITY;
    if (is_wrong)
        own = {INFINITY, -1};
    else if (own.id < 0 || own.value <= before.value) /* of equals the lower id, which came before */
        own = before;
    else
        a.z[t] = a.logits[t * a.stride + own.id - a.first] * a.inv_temperature[t];
    a.value[t] = own.value;
    a.ids[t] = own.id;
}

static int n_pieces(const fv_sample_args *args)
{
    return args->logits.dim[1] > 0 ? (int)blocks_for(args->logits.dim[1], PIECE) : 1;
}

size_t fv_cuda_sample_room(const fv_sample_args *args)
{
    return (size_t)args->logits.dim[0] * (size_t)n_pieces(args) * sizeof(found);
}

extern "C" fv_err fv_cuda_sample(fv_backend *backend, const fv_sample_args *args)
{
    void *pieces = nullptr;
    FV_TRY(fv_cuda_workspace(backend, fv_cuda_sample_room(args), &pieces));
    sample_args a = {(const float *)args->logits.data,
                     (const float *)args->inv_temperature.data,
                     (const int32_t *)args->draws.data,
                     (const int32_t *)args->excluded.data,
                     args->logits.stride,
                     args->logits.dim[1],
                     args->draws.stride,
                     args->excluded.data ? (int)args->excluded.dim[0] : 0,
                     args->accumulate,
                     args->first,
                     (float *)args->value.data,
                     (float *)args->z.data,
                     (int32_t *)args->ids.data,
                     (found *)pieces,
                     n_pieces(args)};
    unsigned rows = (unsigned)args->logits.dim[0];
    sample_pieces<<<dim3(a.n_pieces, rows), THREADS, 0, fv_cuda_compute(backend)>>>(a);
    FV_TRY(fv_cuda_launched("sample_pieces"));
    sample_best<<<rows, 32, 0, fv_cuda_compute(backend)>>>(a);
    return fv_cuda_launched("sample_best");
}
