/* The register tile of the matrix product: MR rows by NR columns of c stay in registers while k runs.
 *
 * An operand describes op(a) and op(b) alike: lines (rows of op(a), columns of op(b)) and steps along k; one
 * of the two strides is 1. */
#ifndef FOVEA_KERNELS_CPU_GEMM_TILE_H
#define FOVEA_KERNELS_CPU_GEMM_TILE_H

#include "vec.h"

#if defined(__AVX512F__)
enum { MR = 14, NRV = 2 };
#    define MM(operation) _mm512_##operation##_ps
#elif defined(__AVX2__)
enum { MR = 6, NRV = 2 };
#    define MM(operation) _mm256_##operation##_ps
#else
enum { MR = 4, NRV = 4 };
#endif
enum { VN = V_NATIVE, NR = VN * NRV };

typedef struct operand {
    const float *at;
    int64_t line, step; /* element (i, k) is at[i * line + k * step] */
} operand;

V_INLINE operand operand_from(operand x, int64_t i, int64_t k)
{
    x.at += i * x.line + k * x.step;
    return x;
}

#if defined(MM)
/* Four floats of every fourth line: each load puts them into their 128-bit lane, so that load_steps needs the
 * shuffle unit only for exchanges within lanes. */
V_INLINE vn load_lanes(const float *p, int64_t line)
{
#    if defined(__AVX512F__)
    vn r = _mm512_castps128_ps512(_mm_loadu_ps(p));
    r = _mm512_insertf32x4(r, _mm_loadu_ps(p + 4 * line), 1);
    r = _mm512_insertf32x4(r, _mm_loadu_ps(p + 8 * line), 2);
    return _mm512_insertf32x4(r, _mm_loadu_ps(p + 12 * line), 3);
#    else
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(p + 4 * line), 1);
#    endif
}
#endif

/* Four steps of VN lines that are contiguous along k: out[s] holds step s of every line. */
V_INLINE void load_steps(const float *p, int64_t line, vn out[4])
{
#if defined(MM)
    vn a = load_lanes(p, line), b = load_lanes(p + line, line);
    vn c = load_lanes(p + 2 * line, line), d = load_lanes(p + 3 * line, line);
    vn ab = MM(unpacklo)(a, b), cd = MM(unpacklo)(c, d);
    out[0] = MM(shuffle)(ab, cd, 0x44);
    out[1] = MM(shuffle)(ab, cd, 0xee);
    ab = MM(unpackhi)(a, b), cd = MM(unpackhi)(c, d);
    out[2] = MM(shuffle)(ab, cd, 0x44);
    out[3] = MM(shuffle)(ab, cd, 0xee);
#else
    for (int s = 0; s < 4; s++)
        out[s] = (vn){p[s], p[line + s], p[2 * line + s], p[3 * line + s]};
#endif
}

/* One tile: c = chain over k steps from c, or from +0 if fresh; then bias, if any. a is packed MR to a step.
 */
typedef struct tile {
    const float *a, *b, *bias;
    float *c;
    int64_t b_step, c_row, k;
    int fresh;
} tile;

V_INLINE void tile_start(const tile *t, int m, vn acc[][NRV])
{
#pragma GCC unroll 16
    for (int i = 0; i < m; i++)
#pragma GCC unroll 2
        for (int j = 0; j < NRV; j++)
            acc[i][j] = t->fresh ? n_set(0.0f) : n_load(t->c + i * t->c_row + j * VN);
}

V_INLINE void tile_finish(const tile *t, int m, vn acc[][NRV])
{
#pragma GCC unroll 16
    for (int i = 0; i < m; i++)
#pragma GCC unroll 2
        for (int j = 0; j < NRV; j++) {
            if (t->bias)
                acc[i][j] = acc[i][j] + n_load(t->bias + j * VN);
            n_store(t->c + i * t->c_row + j * VN, acc[i][j]);
        }
}

/* m is a constant where this is inlined. */
V_INLINE void tile_run(const tile *t, int m)
{
    vn acc[MR][NRV];
    const float *a = t->a, *b = t->b;
    tile_start(t, m, acc);
    for (int64_t k = 0; k < t->k; k++, a += MR, b += t->b_step) {
        vn x[NRV];
#pragma GCC unroll 2
        for (int j = 0; j < NRV; j++)
            x[j] = n_load(b + j * VN);
#pragma GCC unroll 16
        for (int i = 0; i < m; i++) {
            vn y = n_set(a[i]);
#pragma GCC unroll 2
            for (int j = 0; j < NRV; j++)
                acc[i][j] = n_fma(y, x[j], acc[i][j]);
        }
    }
    tile_finish(t, m, acc);
}

#endif
