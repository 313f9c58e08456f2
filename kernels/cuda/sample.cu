/* Draws by the Gumbel maximum: a block has a row, a thread every THREADS-th id; the largest value wins, the
 * lower id of equals, so that how threads share the ids does not show. */
#include "cuda.cuh"
#include "philox.cuh"

enum {
    THREADS = 512,
    GROUP = 64 /* ids of sixteen counters: word w of counter 16 g + lane is id 64 g + 16 w + lane's */
};

struct best {
    float value;
    int32_t id; /* -1: none */
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
};

__device__ __forceinline__ int is_excluded(const sample_args &a, int64_t id)
{
    int is = 0;
    for (int e = 0; e < a.n_excluded; e++)
        is |= a.excluded[e] == id;
    return is;
}

__device__ __forceinline__ best best_of_block(best x, best *scratch)
{
    for (int d = 16; d; d /= 2)
        x = better(x, {__shfl_xor_sync(~0u, x.value, d), __shfl_xor_sync(~0u, x.id, d)});
    if (threadIdx.x % 32 == 0)
        scratch[threadIdx.x / 32] = x;
    __syncthreads();
    for (unsigned w = 0; w < THREADS / 32; w++)
        x = better(x, scratch[w]);
    return x;
}

__global__ void sample_kernel(const sample_args a)
{
    __shared__ best scratch[THREADS / 32];
    int64_t t = blockIdx.x;
    const int32_t *key = a.draws + t * a.draw_stride;
    const float *row = a.logits + t * a.stride;
    float scale = a.inv_temperature[t];
    best own = {-INFINITY, -1};
    int is_wrong = 0;
    for (int64_t i = threadIdx.x; i < a.n; i += THREADS) {
        int64_t id = a.first + i;
        float z = row[i] * scale;
        if (is_excluded(a, id))
            continue;
        is_wrong |= !(z < INFINITY);
        if (key[4]) {
            int in = (int)(id % GROUP);
            fv_cuda_words counter = {
                {(uint32_t)(id / GROUP * 16 + in % 16), 0, (uint32_t)key[2], (uint32_t)key[3]}};
            z += gumbel(philox(counter, (uint32_t)key[0], (uint32_t)key[1]).word[in / 16]);
        }
        if (z > -INFINITY)
            own = better(own, {z, (int32_t)id});
    }
    own = best_of_block(own, scratch);
    is_wrong = __syncthreads_or(is_wrong);
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
        a.z[t] = row[own.id - a.first] * scale;
    a.value[t] = own.value;
    a.ids[t] = own.id;
}

extern "C" fv_err fv_cuda_sample(fv_backend *backend, const fv_sample_args *args)
{
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
                     (int32_t *)args->ids.data};
    sample_kernel<<<(unsigned)args->logits.dim[0], THREADS, 0, fv_cuda_compute(backend)>>>(a);
    return fv_cuda_launched("sample");
}
