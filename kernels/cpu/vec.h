/* Sixteen floats that give the same bits on every instruction set.
 *
 * GCC's vector types compile to one zmm, two ymm or plain code; +, -, *, / and comparisons are IEEE
 * operations lane by lane, hence equal. Three rules keep them so: a fused multiply-add is written v_fma,
 * never left to the compiler
 * (-ffp-contract=off); a sum over a row is kept as sixteen strided partial sums and folded by v_sum's one
 * tree; exp and log are the polynomials here, never libm. Tails are loaded with a neutral fill, not summed
 * apart. */
#ifndef FOVEA_KERNELS_CPU_VEC_H
#define FOVEA_KERNELS_CPU_VEC_H

#include <stdint.h>
#include <string.h>
#if defined(__AVX2__)
#    include <immintrin.h>
#endif

enum { V_LANES = 16 };

typedef float v16 __attribute__((vector_size(64)));
typedef int32_t v16i __attribute__((vector_size(64)));
typedef uint32_t v16u __attribute__((vector_size(64))); /* may wrap */

#define V_INLINE static inline __attribute__((always_inline, unused))

V_INLINE v16 v_set(float x)
{
    return (v16){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
}

V_INLINE v16 v_load(const float *p)
{
    v16 r;
    memcpy(&r, p, sizeof r);
    return r;
}

V_INLINE void v_store(float *p, v16 x)
{
    memcpy(p, &x, sizeof x);
}

/* The first n < 16 lanes from memory, the others fill. */
V_INLINE v16 v_load_part(const float *p, int64_t n, float fill)
{
    v16 r = v_set(fill);
    memcpy(&r, p, (size_t)n * sizeof(float));
    return r;
}

V_INLINE void v_store_part(float *p, v16 x, int64_t n)
{
    memcpy(p, &x, (size_t)n * sizeof(float));
}

/* a * b + c, rounded once. */
V_INLINE v16 v_fma(v16 a, v16 b, v16 c)
{
#if defined(__AVX512F__)
    return (v16)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
    union {
        v16 all;
        __m256 half[2];
    } x = {a}, y = {b}, z = {c};
    z.half[0] = _mm256_fmadd_ps(x.half[0], y.half[0], z.half[0]);
    z.half[1] = _mm256_fmadd_ps(x.half[1], y.half[1], z.half[1]);
    return z.all;
#else
    for (int i = 0; i < V_LANES; i++)
        c[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return c;
#endif
}

V_INLINE float s_fma(float a, float b, float c)
{
    return __builtin_fmaf(a, b, c);
}

/* mask lanes (all ones or zero, as comparisons give) choose a, the others b. */
V_INLINE v16 v_select(v16i mask, v16 a, v16 b)
{
    return (v16)((mask & (v16i)a) | (~mask & (v16i)b));
}

/* a where a > b, else b: the second also when either is NaN. */
V_INLINE v16 v_max(v16 a, v16 b)
{
#if defined(__AVX512F__)
    return (v16)_mm512_max_ps((__m512)a, (__m512)b);
#else
    return v_select(a > b, a, b);
#endif
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
V_INLINE v16 v_exp(v16 x)
{
    const v16 shift = v_set(0x1.8p23f); /* adding it rounds to an integer held in the low bits */
    v16 n = v_fma(x, v_set(0x1.715476p+0f), shift);
    v16u bits = (v16u)n;
    n = n - shift;
    v16 r = v_fma(n, v_set(-0x1.62e400p-1f), x);
    r = v_fma(n, v_set(-0x1.7f7d1cp-20f), r);
    v16 p = v_set(0x1.6a4f1ep-10f);
    p = v_fma(p, r, v_set(0x1.123980p-7f));
    p = v_fma(p, r, v_set(0x1.5558aep-5f));
    p = v_fma(p, r, v_set(0x1.555492p-3f));
    p = v_fma(p, r, v_set(0x1.fffffcp-2f));
    p = v_fma(p, r, v_set(1.0f));
    p = v_fma(p, r, v_set(1.0f));
    v16 y = (v16)((v16u)p + (bits << 23));
    y = v_select(x < v_set(-87.3f), v_set(0.0f), y);
    y = v_select(x > v_set(88.3f), v_set(__builtin_inff()), y);
    return v_select(x != x, x, y);
}

/* log(x), within 1.0 ulp for every x > 0, subnormal too; -inf for 0, inf for inf, NaN below 0. With x = 2^e
 * (1
 * + f), f in [sqrt(1/2) - 1, sqrt(2) - 1): e ln 2 + f - f^2 / 2 + f^3 P(f), P minimax of degree 8, off by
 * 7.8e-10 of the logarithm. NaN stays. */
V_INLINE v16 v_log(v16 x)
{
    v16i tiny = x < v_set(0x1p-126f);
    v16u bits = (v16u)v_select(tiny, x * v_set(0x1p23f), x);
    v16i e = (v16i)(bits - 0x3f3504f3) >> 23;
    v16 f = (v16)(bits - ((v16u)e << 23)) - v_set(1.0f);
    v16 n = __builtin_convertvector(e - (tiny & 23), v16);
    v16 p = v_set(0x1.147cbep-4f);
    p = v_fma(p, f, v_set(-0x1.de0e4cp-4f));
    p = v_fma(p, f, v_set(0x1.e6c298p-4f));
    p = v_fma(p, f, v_set(-0x1.fc2740p-4f));
    p = v_fma(p, f, v_set(0x1.233b68p-3f));
    p = v_fma(p, f, v_set(-0x1.555c4ap-3f));
    p = v_fma(p, f, v_set(0x1.99a478p-3f));
    p = v_fma(p, f, v_set(-0x1.000006p-2f));
    p = v_fma(p, f, v_set(0x1.555548p-2f));
    v16 f2 = f * f, y = p * (f * f2);
    y = v_fma(n, v_set(0x1.7f7d1cp-20f), y);
    y = v_fma(v_set(-0.5f), f2, y);
    y = v_fma(n, v_set(0x1.62e400p-1f), f + y);
    y = v_select(x == v_set(0.0f), v_set(-__builtin_inff()), y);
    y = v_select(x < v_set(0.0f), v_set(__builtin_nanf("")), y);
    return v_select((x == v_set(__builtin_inff())) | (x != x), x, y);
}

V_INLINE float s_exp(float x)
{
    return v_exp(v_set(x))[0];
}

V_INLINE float s_log(float x)
{
    return v_log(v_set(x))[0];
}

#endif
