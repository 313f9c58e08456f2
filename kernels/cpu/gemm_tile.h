/* The register tile of the matrix product: MR rows by NR columns of c stay in registers while k runs.
 *
 * An operand describes op(a) and op(b) alike: lines (rows of op(a), columns of op(b)) and steps along k; one
 * of the two strides is 1. is_bf16 is a constant where functions that take it are inlined. */
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
    const void *at;     /* F32, or BF16 */
    int64_t line, step; /* element (i, k) is at[i * line + k * step] */
    int is_bf16;
} operand;

V_INLINE operand operand_from(operand x, int64_t i, int64_t k)
{
    x.at = (const char *)x.at + (i * x.line + k * x.step) * (x.is_bf16 ? 2 : 4);
    return x;
}

/* Numbers from one place on. Sums of it and multiples of a stride, which stay the same from step to step, are
 * addresses that cost nothing. */
V_INLINE const void *numbers_from(const void *p, int64_t at, int is_bf16)
{
    return (const char *)p + at * (is_bf16 ? 2 : 4);
}

#if defined(MM)
/* Four floats of every fourth line: each load puts them into their 128-bit lane, so that load_steps needs the
 * shuffle unit only for exchanges within lanes. */
V_INLINE vn load_lanes(const void *p, int64_t at, int64_t line, int is_bf16)
{
#    if defined(__AVX512F__)
    vn r = _mm512_castps128_ps512(q_load_as(p, at, is_bf16));
    r = _mm512_insertf32x4(r, q_load_as(p, at + 4 * line, is_bf16), 1);
    r = _mm512_insertf32x4(r, q_load_as(p, at + 8 * line, is_bf16), 2);
    return _mm512_insertf32x4(r, q_load_as(p, at + 12 * line, is_bf16), 3);
#    else
    return _mm256_insertf128_ps(_mm256_castps128_ps256(q_load_as(p, at, is_bf16)),
                                q_load_as(p, at + 4 * line, is_bf16), 1);
#    endif
}
#endif

/* Four steps, from element at on, of VN lines that are contiguous along k: out[s] holds step s of every line.
 */
V_INLINE void load_steps(const void *p, int64_t at, int64_t line, int is_bf16, vn out[4])
{
    p = numbers_from(p, at, is_bf16);
#if defined(MM)
    vn a = load_lanes(p, 0, line, is_bf16), b = load_lanes(p, line, line, is_bf16);
    vn c = load_lanes(p, 2 * line, line, is_bf16), d = load_lanes(p, 3 * line, line, is_bf16);
    vn ab = MM(unpacklo)(a, b), cd = MM(unpacklo)(c, d);
    out[0] = MM(shuffle)(ab, cd, 0x44);
    out[1] = MM(shuffle)(ab, cd, 0xee);
    ab = MM(unpackhi)(a, b), cd = MM(unpackhi)(c, d);
    out[2] = MM(shuffle)(ab, cd, 0x44);
    out[3] = MM(shuffle)(ab, cd, 0xee);
#else
    for (int s = 0; s < 4; s++)
        out[s] = (vn){s_load_as(p, s, is_bf16), s_load_as(p, line + s, is_bf16),
                      s_load_as(p, 2 * line + s, is_bf16), s_load_as(p, 3 * line + s, is_bf16)};
#endif
}

#if defined(__AVX512F__)
/* Sixteen steps of sixteen lines that are contiguous along k, a cache line of each in F32: within lanes
 * first, then the lanes. */
V_INLINE void load_line(const void *p, int64_t at, int64_t line, int is_bf16, vn out[16])
{
    vn x[16];
    p = numbers_from(p, at, is_bf16);
#    pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        vn a = n_load_as(p, i * line, is_bf16), b = n_load_as(p, (i + 1) * line, is_bf16);
        vn c = n_load_as(p, (i + 2) * line, is_bf16), d = n_load_as(p, (i + 3) * line, is_bf16);
        vn ab = MM(unpacklo)(a, b), cd = MM(unpacklo)(c, d);
        x[i] = MM(shuffle)(ab, cd, 0x44);
        x[i + 1] = MM(shuffle)(ab, cd, 0xee);
        ab = MM(unpackhi)(a, b), cd = MM(unpackhi)(c, d);
        x[i + 2] = MM(shuffle)(ab, cd, 0x44);
        x[i + 3] = MM(shuffle)(ab, cd, 0xee);
    }
#    pragma GCC unroll 4
    for (int s = 0; s < 4; s++) { /* lane l of x[4 q + s]: step 4 l + s of lines 4 q to 4 q + 3 */
        vn even = _mm512_shuffle_f32x4(x[s], x[4 + s], 0x88),
           odd = _mm512_shuffle_f32x4(x[s], x[4 + s], 0xdd);
        vn even2 = _mm512_shuffle_f32x4(x[8 + s], x[12 + s], 0x88);
        vn odd2 = _mm512_shuffle_f32x4(x[8 + s], x[12 + s], 0xdd);
        out[s] = _mm512_shuffle_f32x4(even, even2, 0x88);
        out[4 + s] = _mm512_shuffle_f32x4(odd, odd2, 0x88);
        out[8 + s] = _mm512_shuffle_f32x4(even, even2, 0xdd);
        out[12 + s] = _mm512_shuffle_f32x4(odd, odd2, 0xdd);
    }
}
#endif

/* One step of VN lines. */
V_INLINE vn load_step(const void *p, int64_t at, int64_t line, int is_bf16)
{
    float x[VN];
    p = numbers_from(p, at, is_bf16);
    for (int i = 0; i < VN; i++)
        x[i] = s_load_as(p, i * line, is_bf16);
    return n_load(x);
}

/* What a tile does with k steps. Each chunk of them is a chain, that of first begun from +0 if fresh, else
 * from c; where a chunk ends, the sums that wait for it are added and the result waits in turn (as a binary
 * counter counts: chunk i ends as many sums as there are zeros below the lowest one of i + 1), but for the
 * last chunk, whose result goes to c, then with bias, if any. A chain that does not end waits in c. a is
 * packed MR to a step, b NR.
 *
 * A strip is VN columns of a tile. It reads them as they lie, contiguous along k, and packs them into b for
 * the tiles below, unless that is NULL, while it multiplies. */
typedef struct tile {
    const float *a;
    const void *bias;
    operand columns;
    float *b, *c, *wait;
    int64_t c_row, wait_level, k; /* wait is NR to a row, wait_level to the next sum */
    const int64_t *end;           /* of chunks, in steps from here */
    int first, last, n_chunks, fresh, bias_is_bf16;
} tile;

/* m rows by nv vectors; both are constants where these are inlined. */
V_INLINE void tile_zero(int m, int nv, vn acc[][NRV])
{
#pragma GCC unroll 16
    for (int i = 0; i < m; i++)
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++)
            acc[i][j] = n_set(0.0f);
}

V_INLINE void tile_start(const tile *t, int m, int nv, vn acc[][NRV])
{
    if (t->fresh)
        tile_zero(m, nv, acc);
    else
#pragma GCC unroll 16
        for (int i = 0; i < m; i++)
#pragma GCC unroll 4
            for (int j = 0; j < nv; j++)
                acc[i][j] = n_load(t->c + i * t->c_row + j * VN);
}

/* Step of the tile at which its part of a chunk ends. */
V_INLINE int64_t tile_end(const tile *t, int chunk)
{
    return t->end[chunk] < t->k ? t->end[chunk] : t->k;
}

V_INLINE void tile_store(float *to, int64_t row, int m, int nv, vn acc[][NRV])
{
#pragma GCC unroll 16
    for (int i = 0; i < m; i++)
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++)
            n_store(to + i * row + j * VN, acc[i][j]);
}

V_INLINE void tile_add_waiting(const float *wait, int m, int nv, vn acc[][NRV])
{
#pragma GCC unroll 16
    for (int i = 0; i < m; i++)
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++)
            acc[i][j] = n_load(wait + i * NR + j * VN) + acc[i][j];
}

/* A chunk ends: the sums that wait for it are added. Where the result waits, unless it is the last. */
V_INLINE float *tile_join(const tile *t, int chunk, int m, int nv, vn acc[][NRV])
{
    float *wait = t->wait;
    for (int left = __builtin_ctz((unsigned)chunk + 1); left > 0; left--, wait += t->wait_level)
        tile_add_waiting(wait, m, nv, acc);
    return wait;
}

/* From a chunk to the next. */
V_INLINE void tile_turn(const tile *t, int chunk, int m, int nv, vn acc[][NRV])
{
    tile_store(tile_join(t, chunk, m, nv, acc), NR, m, nv, acc);
    tile_zero(m, nv, acc);
}

V_INLINE void tile_add_bias(const tile *t, int m, int nv, vn acc[][NRV])
{
#pragma GCC unroll 4
    for (int j = 0; j < nv; j++) {
        vn bias = n_load_as(t->bias, j * VN, t->bias_is_bf16);
#pragma GCC unroll 16
        for (int i = 0; i < m; i++)
            acc[i][j] = acc[i][j] + bias;
    }
}

V_INLINE void tile_finish(const tile *t, int m, int nv, vn acc[][NRV])
{
    int ends = t->end[t->last] <= t->k, is_last = t->last + 1 == t->n_chunks;
    float *wait = ends ? tile_join(t, t->last, m, nv, acc) : NULL;
    if (ends && !is_last) {
        tile_store(wait, NR, m, nv, acc);
        return;
    }
    if (ends && t->bias)
        tile_add_bias(t, m, nv, acc);
    tile_store(t->c, t->c_row, m, nv, acc);
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
    for (int64_t k = 0, chunk = t->first;; chunk++) {
        const int64_t end = tile_end(t, (int)chunk);
        for (; k < end; k++) {
#pragma GCC unroll 4
            for (int j = 0; j < NRV; j++)
                x[j] = n_load(t->b + k * NR + j * VN);
            tile_step(t->a + k * MR, m, NRV, x, acc);
        }
        if (chunk == t->last)
            break;
        tile_turn(t, (int)chunk, m, NRV, acc);
    }
    tile_finish(t, m, NRV, acc);
}

/* Where step k of a strip is fetched from so early: far steps later, or in the next strip at its beginning.
 */
V_INLINE const void *strip_ahead(const tile *t, int64_t k, int far, int is_bf16)
{
    int64_t at = k + far < t->k ? k + far : k + far - t->k + VN * t->columns.line;
    return numbers_from(t->columns.at, at, is_bf16);
}

/* Before steps [k, k + 4): fetches what is read of the columns FAR steps later; a quarter of the columns each
 * time, since four times use up a cache line of each. Rows so long and so far apart are more than the
 * processor's own prefetching can follow; fetched earlier, those that are a power of two apart would drive
 * each other out of the first-level cache. */
V_INLINE void strip_prefetch(const tile *t, int64_t k, int is_bf16)
{
    enum { FAR = 8 * VN };
    const void *ahead = strip_ahead(t, k, FAR, is_bf16);
    for (int i = 0; i < VN / 4; i++)
        __builtin_prefetch(numbers_from(ahead, (k / 4 % 4 * (VN / 4) + i) * t->columns.line, is_bf16));
}

V_INLINE void strip_step(const tile *t, int m, int64_t k, vn x, vn acc[][NRV])
{
    if (t->b)
        n_store(t->b + k * NR, x);
    tile_step(t->a + k * MR, m, 1, &x, acc);
}

#if defined(__AVX512F__)
/* All but the last steps of a chunk from k on; returns where it stopped. Where columns lie a power of two
 * apart, their sixteen lines fall into one set of a first-level cache with fewer ways (12 on Zen 5): what is
 * read of a line in four parts is fetched four times. So two lines of every column are taken at once, which
 * are fetched together too. */
enum { LINE = 16, PAIR = 2 * LINE };

V_INLINE void strip_prefetch_pair(const tile *t, int64_t k, int is_bf16)
{
    const void *ahead = strip_ahead(t, k, 2 * PAIR, is_bf16);
#    pragma GCC unroll 16
    for (int i = 0; i < VN; i++) {
        __builtin_prefetch(numbers_from(ahead, i * t->columns.line, is_bf16));
        if (!is_bf16) /* else it is the same line */
            __builtin_prefetch(numbers_from(ahead, i * t->columns.line + LINE, is_bf16));
    }
}

V_INLINE int64_t strip_pairs(const tile *t, int m, int64_t k, int64_t end, int is_bf16, vn acc[][NRV])
{
    vn x[LINE];
    for (; k + PAIR <= end; k += PAIR) {
        strip_prefetch_pair(t, k, is_bf16);
        for (int64_t line = k; line < k + PAIR; line += LINE) {
            load_line(t->columns.at, line, t->columns.line, is_bf16, x);
#    pragma GCC unroll 2
            for (int s = 0; s < LINE; s++)
                strip_step(t, m, line + s, x[s], acc);
        }
    }
    return k;
}
#else
V_INLINE int64_t strip_pairs(const tile *t, int m, int64_t k, int64_t end, int is_bf16, vn acc[][NRV])
{
    (void)t, (void)m, (void)end, (void)is_bf16, (void)acc;
    return k;
}
#endif

V_INLINE void strip_run(const tile *t, int m, int is_bf16)
{
    vn acc[MR][NRV], x[4];
    tile_start(t, m, 1, acc);
    for (int64_t k = 0, chunk = t->first;; chunk++) {
        const int64_t end = tile_end(t, (int)chunk);
        k = strip_pairs(t, m, k, end, is_bf16, acc);
        for (; k + 4 <= end; k += 4) {
            strip_prefetch(t, k, is_bf16);
            load_steps(t->columns.at, k, t->columns.line, is_bf16, x);
#pragma GCC unroll 4
            for (int s = 0; s < 4; s++)
                strip_step(t, m, k + s, x[s], acc);
        }
        for (; k < end; k++)
            strip_step(t, m, k, load_step(t->columns.at, k, t->columns.line, is_bf16), acc);
        if (chunk == t->last)
            break;
        tile_turn(t, (int)chunk, m, 1, acc);
    }
    tile_finish(t, m, 1, acc);
}

#endif
