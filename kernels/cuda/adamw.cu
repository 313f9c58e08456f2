/* AdamW, what clips its gradient, and masters as pairs of a BF16 weight and its missing bits. A thread has
 * four elements, which it loads and stores at once where they are aligned; moments that are rounded at random
 * draw half a word each, named by where the element stands in the whole tensor. */
#include "cuda.cuh"
#include "philox.cuh"

#include <math.h>

enum { THREADS = 256, BLOCKS = 3 /* of a processor */ };

struct pair {
    float master;
    uint16_t weight, low;
};

/* The lower tie of an even weight has no pair: it is moved by its last bit. */
__device__ __forceinline__ pair split(float master)
{
    uint32_t bits = __float_as_uint(master);
    bits += (bits & 0x1ffffu) == 0x18000u;
    master = __uint_as_float(bits);
    return {master, __bfloat16_as_ushort(__float2bfloat16_rn(master)), (uint16_t)bits};
}

__device__ __forceinline__ float join(uint16_t weight, uint16_t low)
{
    return __uint_as_float((uint32_t)(uint16_t)(weight - (low > 0x8000u)) << 16 | low);
}

__device__ __forceinline__ uint16_t round_at_random(float x, uint32_t draw)
{
    uint32_t bits = __float_as_uint(x);
    return (uint16_t)(((bits & 0x7f800000u) != 0x7f800000u ? bits + (draw & 0xffffu) : bits) >> 16);
}

struct rule {
    float b1, rest1, b2, rest2, eps, keep_decay, rate, unbias2;
};

struct adamw_args {
    const float *grad, *scale;
    float *param;           /* or NULL: the pair is the master */
    uint16_t *weight, *low; /* or NULL */
    void *m, *v;
    int has_half_moments, is_aligned;
    fv_cuda_draws draws;
    int64_t n, first;
    fv_part_place place;
};

template <typename M> __device__ __forceinline__ M as_moment(uint16_t bits);
template <> __device__ __forceinline__ bf16 as_moment<bf16>(uint16_t bits)
{
    return __ushort_as_bfloat16(bits);
}
template <> __device__ __forceinline__ float as_moment<float>(uint16_t bits)
{
    return __uint_as_float((uint32_t)bits << 16);
}

/* Where element i of the part stands in the whole tensor. In a first block of whole rows nothing is divided.
 */
__device__ __forceinline__ int64_t whole_of(const fv_part_place &p, int64_t i)
{
    if (p.cols == p.whole_cols && i < p.block_rows * p.cols)
        return p.first_row * p.cols + i;
    int64_t row = i / p.cols, col = i % p.cols;
    row = p.first_row + row / p.block_rows * p.block_stride + row % p.block_rows;
    return row * p.whole_cols + p.first_col + col;
}

enum { QUAD = 4 };

template <typename T> struct alignas(QUAD * sizeof(T)) quad {
    T at[QUAD];
};

/* Elements [i, i + n) of an array, n at most QUAD; whole quads at once if they are aligned. */
template <typename T>
__device__ __forceinline__ quad<T> load_quad(const T *from, int64_t i, int n, int is_aligned)
{
    quad<T> q = {};
    if (is_aligned && n == QUAD)
        return *(const quad<T> *)(from + i);
#pragma unroll
    for (int e = 0; e < QUAD; e++)
        if (e < n)
            q.at[e] = from[i + e];
    return q;
}

template <typename T>
__device__ __forceinline__ void store_quad(T *to, int64_t i, int n, int is_aligned, const quad<T> &q)
{
    if (is_aligned && n == QUAD)
        *(quad<T> *)(to + i) = q;
    else {
#pragma unroll
        for (int e = 0; e < QUAD; e++)
            if (e < n)
                to[i + e] = q.at[e];
    }
}

/* The master after its step, and the moments. Nothing is contracted: every form of the state has the same
 * bits. */
__device__ __forceinline__ float moved(const rule &k, float g, float &m, float &v, float was)
{
    m = __fadd_rn(__fmul_rn(k.b1, m), __fmul_rn(k.rest1, g));
    v = __fadd_rn(__fmul_rn(k.b2, v), __fmul_rn(k.rest2, __fmul_rn(g, g)));
    float p = __fsub_rn(was, __fmul_rn(k.keep_decay, was));
    float root = __fadd_rn(__fsqrt_rn(__fmul_rn(v, k.unbias2)), k.eps);
    return __fsub_rn(p, __fdiv_rn(__fmul_rn(k.rate, m), root));
}

/* An index that is not constant would take the words to memory. */
__device__ __forceinline__ uint32_t word_of(const fv_cuda_words &four, int64_t i)
{
    uint32_t low = i % 2 ? four.word[1] : four.word[0], high = i % 2 ? four.word[3] : four.word[2];
    return i < 2 ? low : high;
}

/* The random words of elements [i, i + QUAD): one draw has four, and they are most often those of a quad. */
__device__ __forceinline__ void draw_quad(const adamw_args &a, int64_t i, uint32_t words[QUAD])
{
    int64_t first = whole_of(a.place, a.first + i), last = whole_of(a.place, a.first + i + QUAD - 1);
    if (first % 4 == 0 && last == first + QUAD - 1) {
        fv_cuda_words four = draw(a.draws, (uint32_t)(first / 4));
#pragma unroll
        for (int e = 0; e < QUAD; e++)
            words[e] = four.word[e];
        return;
    }
#pragma unroll
    for (int e = 0; e < QUAD; e++) {
        int64_t whole = whole_of(a.place, a.first + i + e);
        words[e] = word_of(draw(a.draws, (uint32_t)(whole / 4)), whole % 4);
    }
}

/* A quad of every operand. M: of the moments, float or bf16. HAS_PARAM: the master is whole. */
template <typename M, int HAS_PARAM> struct adamw_quads {
    quad<float> grad, param;
    quad<M> m, v;
    quad<uint16_t> weight, low;
};

__device__ __forceinline__ int elements_at(const adamw_args &a, int64_t i)
{
    return a.n - i < QUAD ? (int)(a.n - i) : QUAD;
}

template <typename M, int HAS_PARAM>
__device__ __forceinline__ void load_quads(const adamw_args &a, int64_t i, adamw_quads<M, HAS_PARAM> &q)
{
    if (i >= a.n)
        return;
    int n = elements_at(a, i);
    q.grad = load_quad(a.grad, i, n, a.is_aligned);
    q.m = load_quad((const M *)a.m, i, n, a.is_aligned);
    q.v = load_quad((const M *)a.v, i, n, a.is_aligned);
    if (HAS_PARAM) {
        q.param = load_quad((const float *)a.param, i, n, a.is_aligned);
    } else {
        q.weight = load_quad((const uint16_t *)a.weight, i, n, a.is_aligned);
        q.low = load_quad((const uint16_t *)a.low, i, n, a.is_aligned);
    }
}

template <typename M, int HAS_PARAM>
__device__ __forceinline__ void move_quads(const rule &k, const adamw_args &a, float by, int64_t i,
                                           adamw_quads<M, HAS_PARAM> &q)
{
    uint32_t words[QUAD];
    if (sizeof(M) == sizeof(bf16))
        draw_quad(a, i, words);
#pragma unroll
    for (int e = 0; e < QUAD; e++) {
        float was = HAS_PARAM ? q.param.at[e] : join(q.weight.at[e], q.low.at[e]);
        float first = widen(q.m.at[e]), second = widen(q.v.at[e]);
        q.param.at[e] = moved(k, q.grad.at[e] * by, first, second, was);
        if (a.weight) {
            pair it = split(q.param.at[e]);
            q.param.at[e] = it.master;
            q.weight.at[e] = it.weight;
            q.low.at[e] = it.low;
        }
        if (sizeof(M) == sizeof(bf16)) {
            q.m.at[e] = as_moment<M>(round_at_random(first, words[e]));
            q.v.at[e] = as_moment<M>(round_at_random(second, words[e] >> 16));
        } else {
            q.m.at[e] = narrow<M>(first);
            q.v.at[e] = narrow<M>(second);
        }
    }
}

template <typename M, int HAS_PARAM>
__device__ __forceinline__ void store_quads(const adamw_args &a, int64_t i,
                                            const adamw_quads<M, HAS_PARAM> &q)
{
    int n = elements_at(a, i);
    store_quad((M *)a.m, i, n, a.is_aligned, q.m);
    store_quad((M *)a.v, i, n, a.is_aligned, q.v);
    if (HAS_PARAM)
        store_quad(a.param, i, n, a.is_aligned, q.param);
    if (a.weight)
        store_quad(a.weight, i, n, a.is_aligned, q.weight);
    if (!HAS_PARAM)
        store_quad(a.low, i, n, a.is_aligned, q.low);
}

/* The next quads of a thread are on their way while it works on one. */
template <typename M, int HAS_PARAM>
__global__ __launch_bounds__(THREADS, BLOCKS) void adamw_kernel(rule k, const adamw_args a)
{
    int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * QUAD,
            step = (int64_t)gridDim.x * THREADS * QUAD;
    adamw_quads<M, HAS_PARAM> next = {};
    load_quads(a, i, next);
    float by = *a.scale;
    if (by == 0.0f)
        return;
    for (; i < a.n; i += step) {
        adamw_quads<M, HAS_PARAM> q = next;
        load_quads(a, i + step, next);
        move_quads(k, a, by, i, q);
        store_quads(a, i, q);
    }
}

/* b^step as the CPU back end has it. */
static double power(double b, int step)
{
    double result = 1.0;
    for (; step > 0; step /= 2, b = b * b)
        if (step % 2)
            result = result * b;
    return result;
}

/* Whether all operands begin at a quad. */
static int are_aligned(const fv_adamw_args *args)
{
    const fv_tensor *t[] = {&args->grad, &args->param, &args->weight, &args->low, &args->m, &args->v};
    for (int i = 0; i < 6; i++)
        if ((uintptr_t)t[i]->data % (QUAD * fv_dtype_bytes(t[i]->dtype)) != 0)
            return 0;
    return 1;
}

extern "C" fv_err fv_cuda_adamw(fv_backend *backend, const fv_adamw_args *args)
{
    rule k = {args->beta1,
              1.0f - args->beta1,
              args->beta2,
              1.0f - args->beta2,
              args->eps,
              args->lr * args->weight_decay,
              (float)((double)args->lr / (1.0 - power(args->beta1, args->step))),
              (float)(1.0 / (1.0 - power(args->beta2, args->step)))};
    adamw_args a = {(const float *)args->grad.data,
                    (const float *)args->scale.data,
                    (float *)args->param.data,
                    (uint16_t *)args->weight.data,
                    (uint16_t *)args->low.data,
                    args->m.data,
                    args->v.data,
                    args->m.dtype == FV_BF16,
                    are_aligned(args),
                    draws_of(args->seed, (uint32_t)args->step, UINT32_MAX, args->tensor),
                    args->grad.dim[0],
                    args->first,
                    args->place};
    auto kernel = a.param              ? a.has_half_moments ? adamw_kernel<bf16, 1> : adamw_kernel<float, 1>
                               : a.has_half_moments ? adamw_kernel<bf16, 0>
                                       : adamw_kernel<float, 0>;
    unsigned blocks = blocks_for(a.n, QUAD * THREADS),
             most = (unsigned)(BLOCKS * fv_cuda_state_of(backend)->n_processors);
    blocks = blocks < most ? blocks : most;
    kernel<<<blocks, THREADS, 0, fv_cuda_compute(backend)>>>(k, a);
    return fv_cuda_launched("adamw");
}

__global__ void clip_kernel(const double *sum, float limit, float *scale)
{
    double norm = sqrt(*sum);
    *scale = !isfinite(norm) ? 0.0f : limit > 0.0f && norm > limit ? (float)(limit / norm) : 1.0f;
}

extern "C" fv_err fv_cuda_clip(fv_backend *backend, const fv_clip_args *args)
{
    clip_kernel<<<1, 1, 0, fv_cuda_compute(backend)>>>((const double *)args->sum.data, args->limit,
                                                       (float *)args->scale.data);
    return fv_cuda_launched("clip");
}

__global__ void pair_split_kernel(float *master, uint16_t *weight, uint16_t *low, int64_t n)
{
    int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= n)
        return;
    pair it = split(master[i]);
    master[i] = it.master;
    weight[i] = it.weight;
    if (low)
        low[i] = it.low;
}

extern "C" fv_err fv_cuda_pair_split(fv_backend *backend, const fv_pair_split_args *args)
{
    int64_t n = args->master.dim[0];
    pair_split_kernel<<<blocks_for(n, THREADS), THREADS, 0, fv_cuda_compute(backend)>>>(
        (float *)args->master.data, (uint16_t *)args->weight.data, (uint16_t *)args->low.data, n);
    return fv_cuda_launched("pair_split");
}

__global__ void pair_join_kernel(const uint16_t *weight, const uint16_t *low, float *master, int64_t n)
{
    int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < n)
        master[i] = join(weight[i], low[i]);
}

extern "C" fv_err fv_cuda_pair_join(fv_backend *backend, const fv_pair_join_args *args)
{
    int64_t n = args->master.dim[0];
    pair_join_kernel<<<blocks_for(n, THREADS), THREADS, 0, fv_cuda_compute(backend)>>>(
        (const uint16_t *)args->weight.data, (const uint16_t *)args->low.data, (float *)args->master.data, n);
    return fv_cuda_launched("pair_join");
}
