/* The gradient of attention. With p = exp(s - lse) and ds = scale p (dout v - sum(dout out)): dq is one chain
 * of ds k over the keys that a row sees, in order; rows of dk and dv are one chain each, from what is there,
 * over segments, blocks of queries (the last first) and their rows.
 *
 * If key heads share out well among threads, each thread does whole heads. Else dq is computed by blocks of
 * queries and then dk and dv by runs of their rows, with the scores computed twice. A chain is the same in
 * both but for terms of zero weight, and so but for the sign of a zero, which every store removes. */
#include "attention_tile.h"

enum { RUN_ROWS = CHUNK };

typedef struct work {
    float *q, *dout;               /* (n, D) */
    float *q_panels, *dout_panels; /* (MOST_ROWS, width) in panels */
    float *lse, *delta;            /* (n) */
    float *p, *ds;                 /* (n, CHUNK) */
    float *dq;                     /* (n, width) */
    float *k_turned, *v_turned;    /* CHUNK / NR turned panels of (NR, D) */
    float *k_panels;               /* (CHUNK, width) in panels */
    float *dk, *dv;                /* (CHUNK, width) */
    key_list keys;
    sight seen;
} work;

typedef struct grad {
    problem p;
    const fv_attention_grad_args *args;
    int with_dq, with_dkv; /* what a pair of a block and a list of keys adds to */
} grad;

static work work_from(const problem *p, float *scratch)
{
    work w;
    float **rows[] = {&w.q, &w.dout, &w.q_panels, &w.dout_panels, &w.dq};
    float **keys[] = {&w.k_turned, &w.v_turned, &w.k_panels, &w.dk, &w.dv};
    for (int i = 0; i < 5; i++) {
        *rows[i] = take(&scratch, MOST_ROWS * p->width);
        *keys[i] = take(&scratch, CHUNK * p->width);
    }
    w.lse = take(&scratch, MOST_ROWS);
    w.delta = take(&scratch, MOST_ROWS);
    w.p = take(&scratch, MOST_ROWS * CHUNK);
    w.ds = take(&scratch, MOST_ROWS * CHUNK);
    return w;
}

/* ---- rows and keys in and out ---- */

static float dot(const float *a, const float *b, int64_t n)
{
    v16 sum = v_set(0.0f);
    int64_t i = 0;
    for (; i + V_LANES <= n; i += V_LANES)
        sum = v_fma(v_load(a + i), v_load(b + i), sum);
    if (i < n)
        sum = v_fma(v_load_part(a + i, n - i, 0.0f), v_load_part(b + i, n - i, 0.0f), sum);
    return v_sum(sum);
}

static void load_block(const grad *g, const block *b, work *w)
{
    const problem *p = &g->p;
    fv_tensor lse = g->args->lse;
    load_rows(w->q, p->q, b);
    load_rows(w->dout, g->args->dout, b);
    for (int64_t i = 0; i < b->n; i++) {
        w->lse[i] =
            fv_f32(lse)[(b->from.q_row + b->query + i / b->n_heads) * lse.stride + b->head + i % b->n_heads];
        const float *out = read_row(g->args->out, row_in(g->args->out, b, i), p->d, w->p);
        w->delta[i] = dot(w->dout + i * p->d, out, p->d);
        if (g->with_dkv) {
            pack_row(w->q_panels, i, MOST_ROWS, w->q + i * p->d, p->d, 0);
            pack_row(w->dout_panels, i, MOST_ROWS, w->dout + i * p->d, p->d, 0);
        }
    }
}

static void load_keys(const grad *g, int64_t kv_head, work *w)
{
    const problem *p = &g->p;
    for (int64_t first = 0; first < w->keys.n; first += NR) {
        pack_keys_turned(w->k_turned + first * p->d, p->k, kv_head, &w->keys, first);
        pack_keys_turned(w->v_turned + first * p->d, p->v, kv_head, &w->keys, first);
    }
    if (g->with_dq)
        pack_keys(w->k_panels, p->k, kv_head, &w->keys);
}

static void load_sums(float *to, fv_tensor from, int64_t kv_head, const work *w, int64_t width)
{
    for (int64_t i = 0; i < w->keys.n; i++)
        memcpy(to + i * width, fv_f32(from) + w->keys.row[i] * from.stride + kv_head * from.dim[2],
               (size_t)from.dim[2] * sizeof *to);
}

static void store_row(float *to, const float *from, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = from[i] + 0.0f;
}

static void store_sums(fv_tensor to, const float *from, int64_t kv_head, const work *w, int64_t width)
{
    for (int64_t i = 0; i < w->keys.n; i++)
        store_row(fv_f32(to) + w->keys.row[i] * to.stride + kv_head * to.dim[2], from + i * width, to.dim[2]);
}

static void load_dq(const grad *g, const block *b, work *w)
{
    fv_tensor dq = g->args->dq;
    for (int64_t i = 0; i < b->n; i++)
        memcpy(w->dq + i * g->p.width, fv_f32(dq) + row_in(dq, b, i), (size_t)g->p.d * sizeof *w->dq);
}

static void store_dq(const grad *g, const block *b, const work *w)
{
    fv_tensor dq = g->args->dq;
    for (int64_t i = 0; i < b->n; i++)
        store_row(fv_f32(dq) + row_in(dq, b, i), w->dq + i * g->p.width, g->p.d);
}

/* ---- one block and one list of keys ---- */

/* From scores s and products dp = dout v to p and ds; zeros for keys out of sight. */
static void turn_row(const work *w, int64_t i, float scale)
{
    float *s = w->p + i * CHUNK, *dp = w->ds + i * CHUNK;
    int64_t first = w->seen.first[i], end = w->seen.end[i];
    for (int64_t j = first / V_LANES * V_LANES; j < end; j += V_LANES) {
        v16 p = v_exp(v_sub(v_mul(v_load(s + j), v_set(scale)), v_set(w->lse[i])));
        v16 ds = v_mul(v_mul(p, v_sub(v_load(dp + j), v_set(w->delta[i]))), v_set(scale));
        v_store(s + j, p);
        v_store(dp + j, ds);
    }
    for (int64_t j = 0; j < first; j++)
        s[j] = dp[j] = 0.0f;
    for (int64_t j = end; j < CHUNK; j++)
        s[j] = dp[j] = 0.0f;
}

static void add_dq(const problem *p, const block *b, const work *w)
{
    for (int64_t panel = 0; panel < p->width / NR; panel++)
        for (int64_t part = 0; part < n_parts(b->n); part++) {
            fv_cpu_range r = part_of(b->n, part);
            product_ranged(&(product){.a = w->ds + r.first * CHUNK,
                                      .b = w->k_panels + panel * CHUNK * NR,
                                      .c = w->dq + r.first * p->width + panel * NR,
                                      .a_line = CHUNK,
                                      .a_step = 1,
                                      .c_line = p->width},
                           r.end - r.first, w->seen.first + r.first, w->seen.end + r.first);
        }
}

/* c (keys, width) += weights (n, CHUNK) turned times rows in panels. */
static void add_turned(const problem *p, const block *b, const work *w, const float *weights,
                       const float *panels, float *c)
{
    for (int64_t panel = 0; panel < p->width / NR; panel++)
        for (int64_t part = 0; part < n_parts(w->keys.n); part++) {
            fv_cpu_range r = part_of(w->keys.n, part);
            product_tile(&(product){.a = weights + r.first,
                                    .b = panels + panel * MOST_ROWS * NR,
                                    .c = c + r.first * p->width + panel * NR,
                                    .a_line = 1,
                                    .a_step = CHUNK,
                                    .c_line = p->width,
                                    .k = b->n},
                         r.end - r.first);
        }
}

/* The block and the keys are loaded, and the block sees some of them. */
static void pair(const grad *g, const block *b, work *w)
{
    const problem *p = &g->p;
    for (int64_t first = 0; first < w->keys.n; first += NR) {
        score_panel(p, b, &w->seen, first, w->q, w->k_turned + first * p->d, w->p);
        score_panel(p, b, &w->seen, first, w->dout, w->v_turned + first * p->d, w->ds);
    }
    for (int64_t i = 0; i < b->n; i++)
        turn_row(w, i, p->scale);
    if (g->with_dq)
        add_dq(p, b, w);
    if (g->with_dkv) {
        add_turned(p, b, w, w->ds, w->q_panels, w->dk);
        add_turned(p, b, w, w->p, w->dout_panels, w->dv);
    }
}

/* ---- what a thread does ---- */

static void block_dq(const grad *g, const block *b, float *scratch)
{
    const problem *p = &g->p;
    work w = work_from(p, scratch);
    cursor at = {0};
    fv_cpu_range all = block_visible(p, b);
    load_block(g, b, &w);
    memset(w.dq, 0, (size_t)(b->n * p->width) * sizeof *w.dq);
    for (int64_t first = all.first / CHUNK * CHUNK; first < all.end; first += CHUNK) {
        int64_t end = first + CHUNK < all.end ? first + CHUNK : all.end;
        list_keys(p, &b->from, &at, (fv_cpu_range){first, end}, &w.keys);
        look(p, b, &w.keys, &w.seen);
        load_keys(g, b->kv_head, &w);
        pair(g, b, &w);
    }
    store_dq(g, b, &w);
}

/* Keep the keys whose rows are in the run. */
static void keep_rows(key_list *keys, fv_cpu_range rows)
{
    int64_t n = 0;
    for (int64_t i = 0; i < keys->n; i++)
        if (keys->row[i] >= rows.first && keys->row[i] < rows.end) {
            keys->at[n] = keys->at[i];
            keys->row[n++] = keys->row[i];
        }
    keys->n = n;
}

/* All that one list of a segment's keys takes part in. */
static void keys_with_blocks(const grad *g, const segment *s, int64_t kv_head, work *w)
{
    const problem *p = &g->p;
    load_keys(g, kv_head, w);
    load_sums(w->dk, g->args->dk, kv_head, w, p->width);
    load_sums(w->dv, g->args->dv, kv_head, w, p->width);
    for (int64_t i = 0; i < n_blocks_of_head(p, s); i++) {
        block b = block_of_head(p, s, kv_head, i);
        if (!look(p, &b, &w->keys, &w->seen))
            continue;
        load_block(g, &b, w);
        if (g->with_dq)
            load_dq(g, &b, w);
        pair(g, &b, w);
        if (g->with_dq)
            store_dq(g, &b, w);
    }
    store_sums(g->args->dk, w->dk, kv_head, w, p->width);
    store_sums(g->args->dv, w->dv, kv_head, w, p->width);
}

static void clear_dq(const grad *g, const segment *s, int64_t kv_head)
{
    for (int64_t i = 0; i < s->n_q; i++)
        memset(fv_f32(g->args->dq) + (s->q_row + i) * g->args->dq.stride + kv_head * g->p.group * g->p.d, 0,
               (size_t)(g->p.group * g->p.d) * sizeof(float));
}

/* One key head of a run of rows of dk and dv, all segments. */
static void rows_dkv(const grad *g, int64_t kv_head, fv_cpu_range rows, float *scratch)
{
    work w = work_from(&g->p, scratch);
    for (int64_t i = 0; i < g->p.segments.dim[0]; i++) {
        segment s = segment_at(&g->p, i);
        cursor at = {0};
        if (g->with_dq)
            clear_dq(g, &s, kv_head);
        for (int64_t first = 0; first < s.n_keys; first += CHUNK) {
            int64_t end = first + CHUNK < s.n_keys ? first + CHUNK : s.n_keys;
            list_keys(&g->p, &s, &at, (fv_cpu_range){first, end}, &w.keys);
            keep_rows(&w.keys, rows);
            if (w.keys.n)
                keys_with_blocks(g, &s, kv_head, &w);
        }
    }
}

/* Whole heads take five products of matrices, the other way seven. */
static int heads_suit(int64_t n_heads, int64_t n_threads)
{
    return (n_heads + n_threads - 1) / n_threads * n_threads * 5 <= n_heads * 7;
}

static void by_heads(grad g, fv_backend *backend)
{
    int64_t n = g.p.k.dim[1];
    g.with_dq = g.with_dkv = 1;
#pragma omp parallel for schedule(dynamic) num_threads(backend->n_threads)
    for (int64_t i = 0; i < n; i++)
        rows_dkv(&g, i, (fv_cpu_range){0, g.p.k.dim[0]}, fv_cpu_scratch(backend, fv_cpu_thread()));
}

static void by_rows(grad g, fv_backend *backend)
{
    int64_t n = n_blocks_of_all(&g.p), n_heads = g.p.k.dim[1];
    int64_t n_runs = (g.p.k.dim[0] + RUN_ROWS - 1) / RUN_ROWS;
    g.with_dq = 1;
#pragma omp parallel for schedule(dynamic) num_threads(backend->n_threads)
    for (int64_t i = 0; i < n; i++) {
        block b = block_of_all(&g.p, i);
        block_dq(&g, &b, fv_cpu_scratch(backend, fv_cpu_thread()));
    }
    g.with_dq = 0;
    g.with_dkv = 1;
#pragma omp parallel for schedule(dynamic) num_threads(backend->n_threads)
    for (int64_t i = 0; i < n_runs * n_heads; i++) {
        int64_t first = i / n_heads * RUN_ROWS;
        rows_dkv(&g, i % n_heads, (fv_cpu_range){first, first + RUN_ROWS},
                 fv_cpu_scratch(backend, fv_cpu_thread()));
    }
}

fv_err FV_CPU(attention_grad)(fv_backend *backend, const fv_attention_grad_args *args)
{
    grad g = {.args = args};
    g.p = problem_sized((problem){.q = args->q,
                                  .k = args->k,
                                  .v = args->v,
                                  .segments = args->segments,
                                  .spans = args->spans,
                                  .scale = args->scale,
                                  .causal = args->causal,
                                  .window = args->window});
    FV_CHECK(g.p.d <= MOST_D, FV_ERR_UNSUPPORTED,
             "attention_grad: heads have %lld channels, expected at most %d", (long long)g.p.d, MOST_D);
    if (heads_suit(args->k.dim[1], backend->n_threads))
        by_heads(g, backend);
    else
        by_rows(g, backend);
    return FV_OK;
}
