/* What attention and its gradient share: which keys a block of queries sees, packing, and products of small
 * matrices on register tiles.
 *
 * A block has rows: the queries of a run times the query heads that read one key head, query by query. Its
 * matrices are row-major with CHUNK or D columns. The right-hand matrix of a product lies in panels of NR
 * columns: element (k, n) of a matrix with at most R rows is at [n / NR * R * NR + k * NR + n % NR]. */
#ifndef FOVEA_KERNELS_CPU_ATTENTION_TILE_H
#define FOVEA_KERNELS_CPU_ATTENTION_TILE_H

#include "gemm_tile.h"
#include "rows.h"

enum { CHUNK = FV_ATTENTION_CHUNK, MOST_ROWS = 192, MOST_D = 512 };

/* What the arguments of both directions say. */
typedef struct problem {
    fv_tensor q, k, v, segments, spans;
    float scale;
    int causal, window;
    int64_t d, width;  /* D, and D in whole panels */
    int64_t group;     /* H / K */
    int64_t n_heads;   /* of a block: the group or a part of it */
    int64_t n_queries; /* of a block, at most */
} problem;

V_INLINE problem problem_sized(problem p)
{
    p.d = p.q.dim[2];
    p.width = (p.d + NR - 1) / NR * NR;
    p.group = p.q.dim[1] / p.k.dim[1];
    p.n_heads = p.group < MOST_ROWS ? p.group : MOST_ROWS;
    p.n_queries = MOST_ROWS / p.n_heads;
    return p;
}

typedef struct segment {
    int64_t q_row, n_q, n_past, first_span, n_spans, n_keys;
} segment;

V_INLINE segment segment_at(const problem *p, int64_t i)
{
    const int32_t *f = fv_i32(p->segments) + i * p->segments.stride;
    return (segment){f[0], f[1], f[2], f[3], f[4], f[5]};
}

/* The keys that a query at this position sees. */
V_INLINE fv_cpu_range visible(const problem *p, const segment *s, int64_t position)
{
    fv_cpu_range r = {0, s->n_keys};
    if (p->causal && position + 1 < r.end)
        r.end = position + 1;
    if (p->window > 0 && position - p->window + 1 > 0)
        r.first = position - p->window + 1;
    return r;
}

/* Rows (query, head) of one segment and one key head. */
typedef struct block {
    segment from;
    int64_t query, n_queries; /* of the segment */
    int64_t head, n_heads;    /* query heads */
    int64_t kv_head, n;       /* n rows */
} block;

/* Blocks of a segment: every run of queries, every key head, every part of a group of heads. */
V_INLINE int64_t n_blocks(const problem *p, const segment *s)
{
    int64_t runs = (s->n_q + p->n_queries - 1) / p->n_queries;
    return runs * p->k.dim[1] * ((p->group + p->n_heads - 1) / p->n_heads);
}

/* Block number i of a segment. Later queries come first: they may see more keys. */
V_INLINE block block_at(const problem *p, const segment *s, int64_t i)
{
    int64_t parts = (p->group + p->n_heads - 1) / p->n_heads, heads = p->k.dim[1] * parts;
    int64_t run = (s->n_q + p->n_queries - 1) / p->n_queries - 1 - i / heads;
    block b = {.from = *s, .query = run * p->n_queries, .kv_head = i % heads / parts};
    int64_t part = i % parts * p->n_heads;
    b.head = b.kv_head * p->group + part;
    b.n_heads = p->group - part < p->n_heads ? p->group - part : p->n_heads;
    b.n_queries = s->n_q - b.query < p->n_queries ? s->n_q - b.query : p->n_queries;
    b.n = b.n_queries * b.n_heads;
    return b;
}

/* How many blocks of a segment read one key head, and number i of them. */
V_INLINE int64_t n_blocks_of_head(const problem *p, const segment *s)
{
    return n_blocks(p, s) / p->k.dim[1];
}

V_INLINE block block_of_head(const problem *p, const segment *s, int64_t kv_head, int64_t i)
{
    int64_t parts = (p->group + p->n_heads - 1) / p->n_heads;
    return block_at(p, s, (i / parts * p->k.dim[1] + kv_head) * parts + i % parts);
}

/* Block number i of all segments. */
V_INLINE block block_of_all(const problem *p, int64_t i)
{
    segment s = segment_at(p, 0);
    for (int64_t at = 0; i >= n_blocks(p, &s); s = segment_at(p, ++at))
        i -= n_blocks(p, &s);
    return block_at(p, &s, i);
}

V_INLINE int64_t n_blocks_of_all(const problem *p)
{
    int64_t n = 0;
    for (int64_t i = 0; i < p->segments.dim[0]; i++) {
        segment s = segment_at(p, i);
        n += n_blocks(p, &s);
    }
    return n;
}

/* The keys that any query of the block sees. */
V_INLINE fv_cpu_range block_visible(const problem *p, const block *b)
{
    int64_t position = b->from.n_past + b->query;
    return (fv_cpu_range){visible(p, &b->from, position).first,
                          visible(p, &b->from, position + b->n_queries - 1).end};
}

/* Where row i of the block begins in q and tensors like it. */
V_INLINE int64_t row_in(fv_tensor t, const block *b, int64_t i)
{
    return (b->from.q_row + b->query + i / b->n_heads) * t.stride + (b->head + i % b->n_heads) * t.dim[2];
}

/* Some keys of one chunk, in order. */
typedef struct key_list {
    int64_t n;
    int32_t at[CHUNK]; /* logical position */
    int32_t row[CHUNK];
} key_list;

/* A span of the segment, found by walking forward. */
typedef struct cursor {
    int64_t span, first; /* the logical position of the span's first key */
} cursor;

V_INLINE int64_t find_key(const problem *p, const segment *s, cursor *c, int64_t key)
{
    const int32_t *span = fv_i32(p->spans) + (s->first_span + c->span) * p->spans.stride;
    for (; key >= c->first + span[1]; span += p->spans.stride, c->span++)
        c->first += span[1];
    return span[0] + key - c->first;
}

V_INLINE void list_keys(const problem *p, const segment *s, cursor *c, fv_cpu_range keys, key_list *out)
{
    out->n = keys.end - keys.first;
    for (int64_t i = 0; i < out->n; i++) {
        out->at[i] = (int32_t)(keys.first + i);
        out->row[i] = (int32_t)find_key(p, s, c, keys.first + i);
    }
}

/* How many keys of the list stand before a position. */
V_INLINE int32_t n_before(const key_list *keys, int64_t position)
{
    int32_t low = 0, high = (int32_t)keys->n;
    while (low < high) {
        int32_t middle = (low + high) / 2;
        if (keys->at[middle] < position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Row i of a block sees [first[i], end[i]) of a list; both rise with i. */
typedef struct sight {
    int32_t first[MOST_ROWS], end[MOST_ROWS];
} sight;

/* Returns whether any row sees any key. */
V_INLINE int look(const problem *p, const block *b, const key_list *keys, sight *out)
{
    int any = 0;
    for (int64_t q = 0; q < b->n_queries; q++) {
        fv_cpu_range r = visible(p, &b->from, b->from.n_past + b->query + q);
        int32_t first = n_before(keys, r.first), end = n_before(keys, r.end);
        any |= first < end;
        for (int64_t i = q * b->n_heads; i < (q + 1) * b->n_heads; i++) {
            out->first[i] = first < end ? first : end;
            out->end[i] = end;
        }
    }
    return any;
}

/* ---- packing ---- */

/* Four steps of VN rows, turned: out[s] holds element s of every row. */
V_INLINE void turn(const void *const *rows, int64_t at, int is_bf16, vn out[4])
{
#if defined(MM)
    vn x[4];
    for (int i = 0; i < 4; i++) {
#    if defined(__AVX512F__)
        x[i] = _mm512_castps128_ps512(q_load_as(rows[i], at, is_bf16));
        x[i] = _mm512_insertf32x4(x[i], q_load_as(rows[i + 4], at, is_bf16), 1);
        x[i] = _mm512_insertf32x4(x[i], q_load_as(rows[i + 8], at, is_bf16), 2);
        x[i] = _mm512_insertf32x4(x[i], q_load_as(rows[i + 12], at, is_bf16), 3);
#    else
        x[i] = _mm256_castps128_ps256(q_load_as(rows[i], at, is_bf16));
        x[i] = _mm256_insertf128_ps(x[i], q_load_as(rows[i + 4], at, is_bf16), 1);
#    endif
    }
    vn low = MM(unpacklo)(x[0], x[1]), high = MM(unpacklo)(x[2], x[3]);
    out[0] = MM(shuffle)(low, high, 0x44);
    out[1] = MM(shuffle)(low, high, 0xee);
    low = MM(unpackhi)(x[0], x[1]), high = MM(unpackhi)(x[2], x[3]);
    out[2] = MM(shuffle)(low, high, 0x44);
    out[3] = MM(shuffle)(low, high, 0xee);
#else
    for (int i = 0; i < 4; i++, at++)
        out[i] = (vn){s_load_as(rows[0], at, is_bf16), s_load_as(rows[1], at, is_bf16),
                      s_load_as(rows[2], at, is_bf16), s_load_as(rows[3], at, is_bf16)};
#endif
}

/* A panel of NR rows, turned: element d of row i is at [d * NR + i]. */
V_INLINE void pack_turned(float *to, const void *const *rows, int64_t d, int is_bf16)
{
    int64_t s = 0;
    for (; s + 4 <= d; s += 4)
        for (int i = 0; i < NR; i += VN) {
            vn out[4];
            turn(rows + i, s, is_bf16, out);
            for (int r = 0; r < 4; r++)
                n_store(to + (s + r) * NR + i, out[r]);
        }
    for (; s < d; s++)
        for (int i = 0; i < NR; i++)
            to[s * NR + i] = s_load_as(rows[i], s, is_bf16);
}

/* A row of one key head in keys, values and tensors like them. */
V_INLINE const void *key_row(fv_tensor x, int64_t kv_head, int64_t row)
{
    int64_t at = row * x.stride + kv_head * x.dim[2];
    return x.dtype == FV_BF16 ? (const void *)(fv_bf16(x) + at) : fv_f32(x) + at;
}

/* Panel number i of the list's rows of x, turned. Past the list its last row is repeated. */
static void pack_keys_turned(float *to, fv_tensor x, int64_t kv_head, const key_list *keys, int64_t first)
{
    const void *rows[NR];
    for (int64_t i = 0; i < NR; i++) {
        int64_t at = first + i < keys->n ? first + i : keys->n - 1;
        rows[i] = key_row(x, kv_head, keys->row[at]);
    }
    if (x.dtype == FV_BF16)
        pack_turned(to, rows, x.dim[2], 1);
    else
        pack_turned(to, rows, x.dim[2], 0);
}

/* Row i of a matrix in panels. */
V_INLINE void pack_row(float *to, int64_t i, int64_t most_rows, const void *row, int64_t d, int is_bf16)
{
    int64_t at = 0;
    to += i * NR;
    for (; at + NR <= d; at += NR, to += most_rows * NR)
        for (int j = 0; j < NR; j += VN)
            n_store(to + j, n_load_as(row, at + j, is_bf16));
    if (at < d)
        memset(to, 0, NR * sizeof *to);
    for (int64_t j = at; j < d; j++)
        to[j - at] = s_load_as(row, j, is_bf16);
}

static void pack_keys(float *to, fv_tensor x, int64_t kv_head, const key_list *keys)
{
    for (int64_t i = 0; i < keys->n; i++)
        if (x.dtype == FV_BF16)
            pack_row(to, i, CHUNK, key_row(x, kv_head, keys->row[i]), x.dim[2], 1);
        else
            pack_row(to, i, CHUNK, key_row(x, kv_head, keys->row[i]), x.dim[2], 0);
}

/* ---- products ---- */

/* c (m, NR) = [c +] a (m, k) times a panel; every element one chain of fused multiply-adds. */
typedef struct product {
    const float *a, *b;
    float *c;
    int64_t a_line, a_step, c_line, k;
    int fresh;
} product;

V_INLINE void product_run(const product *p, int m)
{
    vn acc[MR][NRV];
#pragma GCC unroll 16
    for (int i = 0; i < m; i++)
#pragma GCC unroll 2
        for (int j = 0; j < NRV; j++)
            acc[i][j] = p->fresh ? n_set(0.0f) : n_load(p->c + i * p->c_line + j * VN);
    const float *a = p->a, *b = p->b;
    for (int64_t k = 0, line = p->a_line; k < p->k; k++, a += p->a_step, b += NR) {
        vn x[NRV];
#pragma GCC unroll 2
        for (int j = 0; j < NRV; j++)
            x[j] = n_load(b + j * VN);
#pragma GCC unroll 16
        for (int i = 0; i < m; i++) {
            vn y = n_set(a[i * line]);
#pragma GCC unroll 2
            for (int j = 0; j < NRV; j++)
                acc[i][j] = n_fma(y, x[j], acc[i][j]);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < m; i++)
#pragma GCC unroll 2
        for (int j = 0; j < NRV; j++)
            n_store(p->c + i * p->c_line + j * VN, acc[i][j]);
}

/* m: at most MR */
static void product_tile(const product *p, int64_t m)
{
    switch (m) {
#define CASE(n)        \
case n:                \
    product_run(p, n); \
    break;
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
#if defined(__FMA__)
        CASE(5)
        CASE(6)
#endif
#if defined(__AVX512F__)
        CASE(7)
        CASE(8)
        CASE(9)
        CASE(10)
        CASE(11)
        CASE(12)
        CASE(13)
        CASE(14)
#endif
#undef CASE
    }
}

/* m rows are cut into parts of at most MR, evenly. */
V_INLINE int64_t n_parts(int64_t m)
{
    return (m + MR - 1) / MR;
}

V_INLINE fv_cpu_range part_of(int64_t m, int64_t i)
{
    return (fv_cpu_range){m * i / n_parts(m), m * (i + 1) / n_parts(m)};
}

/* Row i of the tile takes steps [first[i], end[i]) of k, in order; those of the other steps are not touched:
 * a weight of zero would not do where b holds NaN. */
static void product_ranged(const product *p, int64_t m, const int32_t *first, const int32_t *end)
{
    int32_t low = first[m - 1], high = end[0];
    int same = low == first[0] && high == end[m - 1];
    for (int64_t i = 0; i < m && !same; i++) {
        product head = *p;
        head.a += i * p->a_line + first[i] * p->a_step;
        head.b += (int64_t)first[i] * NR;
        head.c += i * p->c_line;
        head.k = (low < high ? low : end[i]) - first[i];
        product_tile(&head, 1);
    }
    product common = *p;
    common.a += low * p->a_step;
    common.b += (int64_t)low * NR;
    common.k = high - low;
    common.fresh = same && p->fresh;
    if (same || low < high)
        product_tile(&common, m);
    for (int64_t i = 0; i < m && !same && low < high; i++) {
        product tail = *p;
        tail.a += i * p->a_line + high * p->a_step;
        tail.b += (int64_t)high * NR;
        tail.c += i * p->c_line;
        tail.k = end[i] - high;
        tail.fresh = 0;
        product_tile(&tail, 1);
    }
}

/* scores (n, CHUNK) = rows of x (n, D) times a turned panel of keys from key number first on, for the parts
 * of rows that see any of them. */
V_INLINE void score_panel(const problem *p, const block *b, const sight *seen, int64_t first, const float *x,
                          const float *panel, float *scores)
{
    for (int64_t part = 0; part < n_parts(b->n); part++) {
        fv_cpu_range r = part_of(b->n, part);
        if (seen->end[r.end - 1] <= first || seen->first[r.first] >= first + NR)
            continue;
        product_tile(&(product){.a = x + r.first * p->d,
                                .b = panel,
                                .c = scores + r.first * CHUNK + first,
                                .a_line = p->d,
                                .a_step = 1,
                                .c_line = CHUNK,
                                .k = p->d,
                                .fresh = 1},
                     r.end - r.first);
    }
}

/* n floats of scratch. */
V_INLINE float *take(float **scratch, int64_t n)
{
    float *r = *scratch;
    *scratch += (n + V_LANES - 1) / V_LANES * V_LANES;
    return r;
}

V_INLINE void load_rows(float *to, fv_tensor from, const block *b)
{
    for (int64_t i = 0; i < b->n; i++)
        if (from.dtype == FV_BF16)
            widen(fv_bf16(from) + row_in(from, b, i), from.dim[2], to + i * from.dim[2]);
        else
            memcpy(to + i * from.dim[2], fv_f32(from) + row_in(from, b, i), (size_t)from.dim[2] * sizeof *to);
}

#endif
