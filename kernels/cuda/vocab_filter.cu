/* What top-k and top-p leave of each row of logits, without a sort: a radix search over the bits of the
 * scaled logits finds the value where the largest ones reach their number or their probability. A block has a
 * row. Probabilities are summed as whole numbers, so that the order in which threads come does not show. */
#include "cuda.cuh"

enum {
    THREADS = 512,
    DIGIT_BITS = 8,
    N_DIGITS = 1 << DIGIT_BITS,
    UNIT_BITS = 44 /* of probability 1 over the largest */
};

struct filter_args {
    float *logits;
    const float *inv_temperature, *top_p;
    const int32_t *top_k, *excluded;
    int64_t stride, n;
    int n_excluded;
};

/* Bits that order as floats do. */
__device__ __forceinline__ uint32_t key_of(float z)
{
    uint32_t bits = __float_as_uint(z + 0.0f);
    return bits ^ ((uint32_t)((int32_t)bits >> 31) | 0x80000000u);
}

__device__ __forceinline__ uint64_t weight_of(float z, float top, int by_count)
{
    if (z == -INFINITY)
        return 0;
    return by_count ? 1 : (uint64_t)((double)expf(z - top) * (double)(1ull << UNIT_BITS));
}

struct search {
    uint64_t mass[N_DIGITS];
    uint64_t above; /* weight of keys above those with the prefix */
    uint32_t prefix;
    unsigned first_tie;
};

__device__ __forceinline__ float scaled(const filter_args &a, const float *row, int64_t i, float scale)
{
    return row[i] == -INFINITY ? -INFINITY : row[i] * scale;
}

/* The key where the weight of the largest reaches target: in s->prefix; and the weight above it. */
__device__ void find_cut(const filter_args &a, const float *row, float scale, float top, int by_count,
                         uint64_t target, search *s)
{
    if (threadIdx.x == 0)
        s->above = s->prefix = 0;
    for (int shift = 32 - DIGIT_BITS; shift >= 0; shift -= DIGIT_BITS) {
        for (int d = threadIdx.x; d < N_DIGITS; d += THREADS)
            s->mass[d] = 0;
        __syncthreads();
        for (int64_t i = threadIdx.x; i < a.n; i += THREADS) {
            float z = scaled(a, row, i, scale);
            uint32_t key = key_of(z);
            if (z > -INFINITY && ((uint64_t)key >> (shift + DIGIT_BITS)) == s->prefix)
                atomicAdd((unsigned long long *)&s->mass[key >> shift & (N_DIGITS - 1)],
                          (unsigned long long)weight_of(z, top, by_count));
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            int found = -1;
            for (int d = N_DIGITS - 1; d >= 0; d--) {
                if (s->mass[d] == 0)
                    continue;
                if (found >= 0)
                    s->above += s->mass[found];
                found = d;
                if (s->above + s->mass[d] >= target)
                    break;
            }
            s->prefix = s->prefix << DIGIT_BITS | (uint32_t)(found < 0 ? 0 : found);
        }
        __syncthreads();
    }
}

/* Ids below the cut are out, and of those at it the higher ones that are not needed. */
__device__ void keep_largest(const filter_args &a, float *row, float scale, float top, int by_count,
                             uint64_t target, search *s)
{
    find_cut(a, row, scale, top, by_count, target, s);
    uint32_t cut = s->prefix;
    __shared__ uint64_t left; /* ties that stay */
    if (threadIdx.x == 0) {
        float z = __uint_as_float(cut >> 31 ? cut ^ 0x80000000u : ~cut);
        uint64_t each = weight_of(z, top, by_count), missing = target > s->above ? target - s->above : 0;
        left = each ? (missing + each - 1) / each : 1;
        left = left ? left : s->above == 0;
    }
    __syncthreads();
    for (int64_t base = 0; base < a.n; base += THREADS) {
        int64_t i = base + threadIdx.x;
        float z = i < a.n ? scaled(a, row, i, scale) : -INFINITY;
        uint32_t key = key_of(z);
        int is_tie = z > -INFINITY && key == cut;
        unsigned ties = __ballot_sync(~0u, is_tie);
        __shared__ unsigned counts[THREADS / 32];
        if (threadIdx.x % 32 == 0)
            counts[threadIdx.x / 32] = __popc(ties);
        __syncthreads();
        uint64_t before = __popc(ties & ((1u << threadIdx.x % 32) - 1)), all = 0;
        for (unsigned w = 0; w < THREADS / 32; w++) {
            before += w < threadIdx.x / 32 ? counts[w] : 0;
            all += counts[w];
        }
        if (i < a.n && ((z > -INFINITY && key < cut) || (is_tie && before >= left)))
            row[i] = -INFINITY;
        __syncthreads();
        if (threadIdx.x == 0)
            left -= all < left ? all : left;
        __syncthreads();
    }
}

__global__ void vocab_filter_kernel(const filter_args a)
{
    __shared__ search s;
    __shared__ float scratch[32];
    __shared__ unsigned long long total;
    float *row = a.logits + blockIdx.x * a.stride, scale = a.inv_temperature[blockIdx.x], top = -INFINITY;
    int is_wrong = 0;
    for (int64_t i = threadIdx.x; i < a.n; i += THREADS) {
        int is_out = 0;
        for (int e = 0; e < a.n_excluded; e++)
            is_out |= a.excluded[e] == i;
        if (is_out)
            row[i] = -INFINITY;
        float z = scaled(a, row, i, scale);
        is_wrong |= !(z < INFINITY);
        top = fmaxf(top, z);
    }
    is_wrong = __syncthreads_or(is_wrong);
    top = block_max(top, scratch);
    if (is_wrong || top == -INFINITY)
        return;
    int32_t top_k = a.top_k[blockIdx.x];
    float top_p = a.top_p[blockIdx.x];
    if (top_k > 0 && top_k < a.n)
        keep_largest(a, row, scale, top, 1, (uint64_t)top_k, &s);
    if (top_p >= 1.0f)
        return;
    if (threadIdx.x == 0)
        total = 0;
    __syncthreads();
    unsigned long long own = 0;
    for (int64_t i = threadIdx.x; i < a.n; i += THREADS)
        own += weight_of(scaled(a, row, i, scale), top, 0);
    atomicAdd(&total, own);
    __syncthreads();
    keep_largest(a, row, scale, top, 0, (uint64_t)((double)top_p * (double)total), &s);
}

extern "C" fv_err fv_cuda_vocab_filter(fv_backend *backend, const fv_vocab_filter_args *args)
{
    filter_args a = {(float *)args->logits.data,
                     (const float *)args->inv_temperature.data,
                     (const float *)args->top_p.data,
                     (const int32_t *)args->top_k.data,
                     (const int32_t *)args->excluded.data,
                     args->logits.stride,
                     args->logits.dim[1],
                     args->excluded.data ? (int)args->excluded.dim[0] : 0};
    vocab_filter_kernel<<<(unsigned)args->logits.dim[0], THREADS, 0, fv_cuda_compute(backend)>>>(a);
    return fv_cuda_launched("vocab_filter");
}
