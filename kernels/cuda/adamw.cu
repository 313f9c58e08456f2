/* AdamW, what clips its gradient, and masters as pairs of a BF16 weight and its missing bits. A thread has an
 * element; moments that are rounded at random draw half a word each, named by where the element stands in the
 * whole tensor. */
#include "cuda.cuh"
#include "philox.cuh"

#include <math.h>

enum { THREADS = 256 };

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
    int has_half_moments;
    fv_cuda_draws draws;
    int64_t n, first;
    fv_part_place place;
};

__device__ __forceinline__ int64_t whole_of(const fv_part_place &p, int64_t i)
{
    int64_t row = i / p.cols, col = i % p.cols;
    row = p.first_row + row / p.block_rows * p.block_stride + row % p.block_rows;
    return row * p.whole_cols + p.first_col + col;
}

__device__ __forceinline__ float moment_at(const void *m, int64_t i, int is_half)
{
    return is_half ? widen(((const bf16 *)m)[i]) : ((const float *)m)[i];
}

__global__ void adamw_kernel(rule k, const adamw_args a)
{
    int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    float by = *a.scale;
    if (i >= a.n || by == 0.0f)
        return;
    float was = a.param ? a.param[i] : join(a.weight[i], a.low[i]);
    float g = a.grad[i] * by, m = k.b1 * moment_at(a.m, i, a.has_half_moments) + k.rest1 * g;
    float v = k.b2 * moment_at(a.v, i, a.has_half_moments) + k.rest2 * (g * g);
    float p = was - k.keep_decay * was;
    p = p - k.rate * m / (sqrtf(v * k.unbias2) + k.eps);
    if (a.weight) {
        pair it = split(p);
        p = it.master;
        a.weight[i] = it.weight;
        if (a.low)
            a.low[i] = it.low;
    }
    if (a.param)
        a.param[i] = p;
    if (a.has_half_moments) {
        int64_t whole = whole_of(a.place, a.first + i);
        uint32_t word = draw(a.draws, (uint32_t)(whole / 4)).word[whole % 4];
        ((uint16_t *)a.m)[i] = round_at_random(m, word);
        ((uint16_t *)a.v)[i] = round_at_random(v, word >> 16);
    } else {
        ((float *)a.m)[i] = m;
        ((float *)a.v)[i] = v;
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
                    draws_of(args->seed, (uint32_t)args->step, UINT32_MAX, args->tensor),
                    args->grad.dim[0],
                    args->first,
                    args->place};
    adamw_kernel<<<blocks_for(a.n, THREADS), THREADS, 0, fv_cuda_compute(backend)>>>(k, a);
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
