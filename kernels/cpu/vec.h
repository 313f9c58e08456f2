/* Sixteen floats that give the same bits on every instruction set.
 *
 * A v16 is one register of AVX-512, two of AVX2, four of SSE. Arithmetic is IEEE lane by lane, hence equal.
 * Three rules keep it so: a fused multiply-add is written v_fma, never left to the compiler
 * (-ffp-contract=off); a sum over a row is kept as sixteen strided partial sums and folded by v_sum's one
 * tree; exp and log are the polynomials here, never libm. Tails are loaded with a neutral fill, not summed
 * apart.
 *
 * v_ functions take all sixteen lanes, s_ one float. What is elementwise is written with operators on one
 * register, vn, and spread by V_MAP. (A vector type of 64 bytes would do all at once, but GCC takes those
 * that are wider than a register through memory.) */
#ifndef FOVEA_KERNELS_CPU_VEC_H
#define FOVEA_KERNELS_CPU_VEC_H

#include <stdint.h>
#include <string.h>
#if defined(__AVX2__)
#    include <immintrin.h>
#endif

enum { V_LANES = 16 };

#define V_INLINE static inline __attribute__((always_inline, unused))

#if defined(__AVX512F__)
enum { V_NATIVE = 16 };
#    define V_JOIN(a, b, c, d) ((v16){{a}})
#elif defined(__AVX2__)
enum { V_NATIVE = 8 };
#    define V_JOIN(a, b, c, d) ((v16){{a, b}})
#else
enum { V_NATIVE = 4 };
#    define V_JOIN(a, b, c, d) ((v16){{a, b, c, d}})
#endif

typedef float vn __attribute__((vector_size(4 * V_NATIVE)));
typedef int32_t vni __attribute__((vector_size(4 * V_NATIVE)));
typedef uint32_t vnu __attribute__((vector_size(4 * V_NATIVE))); /* may wrap */

typedef struct v16 {
    vn part[V_LANES / V_NATIVE];
} v16;

/* f of each register. */
#define V_MAP1(f, x) V_JOIN(f(x.part[0]), f(x.part[1]), f(x.part[2]), f(x.part[3]))
#define V_MAP2(f, x, y) \
    V_JOIN(f(x.part[0], y.part[0]), f(x.part[1], y.part[1]), f(x.part[2], y.part[2]), f(x.part[3], y.part[3]))
#define V_MAP3(f, x, y, z)                                                         \
    V_JOIN(f(x.part[0], y.part[0], z.part[0]), f(x.part[1], y.part[1], z.part[1]), \
           f(x.part[2], y.part[2], z.part[2]), f(x.part[3], y.part[3], z.part[3]))

V_INLINE vn n_set(float x)
{
    return x - (vn){0};
}

V_INLINE vn n_load(const float *p)
{
    vn r;
    memcpy(&r, p, sizeof r);
    return r;
}

/* Numbers of bf16 are the upper halves of floats. */
typedef uint16_t vnh __attribute__((vector_size(2 * V_NATIVE)));
V_INLINE vn n_load_bf16(const uint16_t *p)
{
    vnh r;
    memcpy(&r, p, sizeof r);
    return (vn)(__builtin_convertvector(r, vnu) << 16);
}

/* From element at on of F32 or BF16; which is a constant where this is inlined. */
V_INLINE vn n_load_as(const void *p, int64_t at, int is_bf16)
{
    return is_bf16 ? n_load_bf16((const uint16_t *)p + at) : n_load((const float *)p + at);
}

V_INLINE float s_load_as(const void *p, int64_t at, int is_bf16)
{
    float x;
    if (!is_bf16)
        return ((const float *)p)[at];
    uint32_t bits = (uint32_t)((const uint16_t *)p)[at] << 16;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#if defined(__AVX2__)
typedef uint16_t h4 __attribute__((vector_size(8)));
typedef uint32_t u4 __attribute__((vector_size(16)));
/* Four floats. */
V_INLINE __m128 q_load_as(const void *p, int64_t at, int is_bf16)
{
    h4 r;
    if (!is_bf16)
        return _mm_loadu_ps((const float *)p + at);
    memcpy(&r, (const uint16_t *)p + at, sizeof r);
    return (__m128)(__builtin_convertvector(r, u4) << 16);
}
#endif

V_INLINE void n_store(float *p, vn x)
{
    memcpy(p, &x, sizeof x);
}

V_INLINE vn n_fma(vn a, vn b, vn c)
{
#if defined(__AVX512F__)
    return (vn)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__)
    return (vn)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    for (int i = 0; i < V_NATIVE; i++)
        c[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return c;
#endif
}

/* Lanes of ones in mask, as comparisons give, choose a, lanes of zeros b. */
V_INLINE vn n_select(vni mask, vn a, vn b)
{
#if defined(__AVX2__) && !defined(__AVX512F__)
    return (vn)_mm256_blendv_ps((__m256)b, (__m256)a, (__m256)mask);
#else
    return (vn)((mask & (vni)a) | (~mask & (vni)b));
#endif
}

V_INLINE vn n_max(vn a, vn b)
{
#if defined(__AVX512F__)
    return (vn)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (vn)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return n_select(a > b, a, b);
#endif
}

V_INLINE v16 v_set(float x)
{
    return V_JOIN(n_set(x), n_set(x), n_set(x), n_set(x));
}

V_INLINE v16 v_load(const float *p)
{
    return V_JOIN(n_load(p), n_load(p + V_NATIVE), n_load(p + 2 * V_NATIVE), n_load(p + 3 * V_NATIVE));
}

V_INLINE void v_store(float *p, v16 x)
{
    memcpy(p, &x, sizeof x);
}

/* The first n < 16 lanes from memory, the others fill. */
V_INLINE v16 v_load_part(const float *p, int64_t n, float fill)
{
    float t[V_LANES];
    v_store(t, v_set(fill));
    memcpy(t, p, (size_t)n * sizeof(float));
    return v_load(t);
}

V_INLINE void v_store_part(float *p, v16 x, int64_t n)
{
    float t[V_LANES];
    v_store(t, x);
    memcpy(p, t, (size_t)n * sizeof(float));
}

V_INLINE vn n_add(vn a, vn b)
{
    return a + b;
}

V_INLINE v16 v_add(v16 a, v16 b)
{
    return V_MAP2(n_add, a, b);
}

V_INLINE vn n_sub(vn a, vn b)
{
    return a - b;
}

V_INLINE v16 v_sub(v16 a, v16 b)
{
    return V_MAP2(n_sub, a, b);
}

V_INLINE vn n_mul(vn a, vn b)
{
    return a * b;
}

V_INLINE v16 v_mul(v16 a, v16 b)
{
    return V_MAP2(n_mul, a, b);
}

/* a * b + c, rounded once. */
V_INLINE v16 v_fma(v16 a, v16 b, v16 c)
{
    return V_MAP3(n_fma, a, b, c);
}

V_INLINE float s_fma(float a, float b, float c)
{
    return __builtin_fmaf(a, b, c);
}

/* a where a > b, else b: the second also when either is NaN. */
V_INLINE v16 v_max(v16 a, v16 b)
{
    return V_MAP2(n_max, a, b);
}

/* Fold by halves: lanes i and i + 8, then + 4, + 2, + 1. */
V_INLINE float v_sum(v16 x)
{
    float t[V_LANES];
    v_store(t, x);
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            t[i] = t[i] + t[i + half];
    return t[0];
}

V_INLINE float v_max_lane(v16 x)
{
    float t[V_LANES];
    v_store(t, x);
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            t[i] = t[i] > t[i + half] ? t[i] : t[i + half];
    return t[0];
}

/* exp(x), within 1.0 ulp for x in [-87.3, 88.3]; 0 below (and for -inf), inf above. Cody-Waite reduction by
 * ln 2 and a minimax polynomial of degree 6 on [-ln2/2, ln2/2], off by 3.2e-9 (Muller et al., Handbook of
 * Floating-Point Arithmetic, 11). NaN stays. */
V_INLINE vn n_exp(vn x)
{
    const vn shift = n_set(0x1.8p23f); /* adding it rounds to an integer held in the low bits */
    vn n = n_fma(x, n_set(0x1.715476p+0f), shift);
    vnu bits = (vnu)n;
    n = n - shift;
    vn r = n_fma(n, n_set(-0x1.62e400p-1f), x);
    r = n_fma(n, n_set(-0x1.7f7d1cp-20f), r);
    vn p = n_set(0x1.6a4f1ep-10f);
    p = n_fma(p, r, n_set(0x1.123980p-7f));
    p = n_fma(p, r, n_set(0x1.5558aep-5f));
    p = n_fma(p, r, n_set(0x1.555492p-3f));
    p = n_fma(p, r, n_set(0x1.fffffcp-2f));
    p = n_fma(p, r, n_set(1.0f));
    p = n_fma(p, r, n_set(1.0f));
    vn y = p * (vn)((bits << 23) + 0x3f800000); /* a product, so that NaN stays */
    y = n_select(x < n_set(-87.3f), n_set(0.0f), y);
    return n_select(x > n_set(88.3f), n_set(__builtin_inff()), y);
}

/* log(x 2^-less) of a normal x > 0, within 1.0 ulp. With x = 2^e (1 + f), f in [sqrt(1/2) - 1, sqrt(2) - 1):
 * e ln 2 + f - f^2 / 2 + f^3 P(f), P minimax of degree 8, off by 7.8e-10 of the logarithm. */
V_INLINE vn n_log_scaled(vn x, vni less)
{
    vnu bits = (vnu)x;
    vni e = (vni)(bits - 0x3f3504f3) >> 23;
    vn f = (vn)(bits - ((vnu)e << 23)) - n_set(1.0f);
    vn n = __builtin_convertvector(e - less, vn);
    vn p = n_set(0x1.147cbep-4f);
    p = n_fma(p, f, n_set(-0x1.de0e4cp-4f));
    p = n_fma(p, f, n_set(0x1.e6c298p-4f));
    p = n_fma(p, f, n_set(-0x1.fc2740p-4f));
    p = n_fma(p, f, n_set(0x1.233b68p-3f));
    p = n_fma(p, f, n_set(-0x1.555c4ap-3f));
    p = n_fma(p, f, n_set(0x1.99a478p-3f));
    p = n_fma(p, f, n_set(-0x1.000006p-2f));
    p = n_fma(p, f, n_set(0x1.555548p-2f));
    vn f2 = f * f, y = p * (f * f2);
    y = n_fma(n, n_set(0x1.7f7d1cp-20f), y);
    y = n_fma(n_set(-0.5f), f2, y);
    return n_fma(n, n_set(0x1.62e400p-1f), f + y);
}

V_INLINE vn n_log_normal(vn x)
{
    return n_log_scaled(x, (vni){0});
}

/* log(x), within 1.0 ulp for every x > 0, subnormal too; -inf for 0, inf for inf, NaN below 0. NaN stays. */
V_INLINE vn n_log(vn x)
{
    vni tiny = x < n_set(0x1p-126f);
    vn y = n_log_scaled(n_select(tiny, x * n_set(0x1p23f), x), tiny & 23);
    y = n_select(x == n_set(0.0f), n_set(-__builtin_inff()), y);
    y = n_select(x < n_set(0.0f), n_set(__builtin_nanf("")), y);
    return n_select((x == n_set(__builtin_inff())) | (x != x), x, y);
}

V_INLINE v16 v_exp(v16 x)
{
    return V_MAP1(n_exp, x);
}

V_INLINE v16 v_log(v16 x)
{
    return V_MAP1(n_log, x);
}

V_INLINE float s_exp(float x)
{
    return n_exp(n_set(x))[0];
}

V_INLINE float s_log(float x)
{
    return n_log(n_set(x))[0];
}

#endif
