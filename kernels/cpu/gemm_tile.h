/* The register tile of the matrix product: MR rows by NR columns of c stay in registers while k runs.
 *
 * An operand describes op(a) and op(b) alike: lines (rows of op(a), columns of op(b)) and steps along k; one
 * of the two strides is 1. */
#ifndef FOVEA_KERNELS_CPU_GEMM_TILE_H
#define FOVEA_KERNELS_CPU_GEMM_TILE_H

#include "vec.h"

#if defined(__AVX512F__)
enum { MR = 14, NRV = 2, ROWS = 532 };
#    define MM(operation) _mm512_##operation##_ps
#elif defined(__AVX2__)
enum { MR = 6, NRV = 2, ROWS = 384 };
#    define MM(operation) _mm256_##operation##_ps
#else
enum { MR = 4, NRV = 4, ROWS = 264 };
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

/* One step of VN lines. */
V_INLINE vn load_step(const float *p, int64_t line)
{
    float x[VN];
    for (int i = 0; i < VN; i++)
        x[i] = p[i * line];
    return n_load(x);
}

/* c = chain over k steps from c, or from +0 if fresh; then bias, if any. a is packed MR to a step, b NR.
 *
 * A strip is VN columns of a tile. It reads them as they lie, contiguous along k, and packs them into b for
 * the tiles below, unless that is NULL, while it multiplies. */
typedef struct tile {
    const float *a, *bias;
    operand columns;
    float *b, *c;
    int64_t c_row, k;
    int fresh;
} tile;

/* m rows by nv vectors; both are constants where these are inlined. */
V_INLINE void tile_start(const tile *t, int m, int nv, vn acc[][NRV])
{
#pragma GCC unroll 16
    for (int i = 0; i < m; i++)
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++)
            acc[i][j] = t->fresh ? n_set(0.0f) : n_load(t->c + i * t->c_row + j * VN);
}

V_INLINE void tile_finish(const tile *t, int m, int nv, vn acc[][NRV])
{
#pragma GCC unroll 16
    for (int i = 0; i < m; i++)
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++) {
            if (t->bias)
                acc[i][j] = acc[i][j] + n_load(t->bias + j * VN);
            n_store(t->c + i * t->c_row + j * VN, acc[i][j]);
        }
}

V_INLINE void tile_step(const float *a, int m, int nv, const vn *x, vn acc[][NRV])
{
#pragma GCC unroll 16
    for (int i = 0; i < m; i++) {
        vn y = n_set(a[i]);
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++)
            acc[i][j] = n_fma(y, x[j], acc[i][j]);
    }
}

V_INLINE void tile_run(const tile *t, int m)
{
    vn acc[MR][NRV], x[NRV];
    tile_start(t, m, NRV, acc);
    for (int64_t k = 0; k < t->k; k++) {
#pragma GCC unroll 4
        for (int j = 0; j < NRV; j++)
            x[j] = n_load(t->b + k * NR + j * VN);
        tile_step(t->a + k * MR, m, NRV, x, acc);
    }
    tile_finish(t, m, NRV, acc);
}

/* Before steps [k, k + 4): fetches what is read of the columns FAR steps later, or of the next strip at its
 * beginning; a quarter of the columns each time, since four times use up a cache line of each. Rows so long
 * and so far apart are more than the processor's own prefetching can follow; fetched earlier, those that are
 * a power of two apart would drive each other out of the first-level cache. */
V_INLINE void strip_prefetch(const tile *t, int64_t k)
{
    enum { FAR = 8 * VN };
    operand x = t->columns;
    const float *ahead = x.at + (k + FAR < t->k ? k + FAR : k + FAR - t->k + VN * x.line);
    for (int i = 0; i < VN / 4; i++)
        __builtin_prefetch(ahead + (k / 4 % 4 * (VN / 4) + i) * x.line);
}

V_INLINE void strip_step(const tile *t, int m, int64_t k, vn x, vn acc[][NRV])
{
    if (t->b)
        n_store(t->b + k * NR, x);
    tile_step(t->a + k * MR, m, 1, &x, acc);
}

V_INLINE void strip_run(const tile *t, int m)
{
    vn acc[MR][NRV], x[4];
    int64_t k = 0;
    tile_start(t, m, 1, acc);
    for (; k + 4 <= t->k; k += 4) {
        strip_prefetch(t, k);
        load_steps(t->columns.at + k, t->columns.line, x);
#pragma GCC unroll 4
        for (int s = 0; s < 4; s++)
            strip_step(t, m, k + s, x[s], acc);
    }
    for (; k < t->k; k++)
        strip_step(t, m, k, load_step(t->columns.at + k, t->columns.line), acc);
    tile_finish(t, m, 1, acc);
}

#endif
