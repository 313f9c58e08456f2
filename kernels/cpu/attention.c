/* Attention. The arithmetic of a row (query, head), whatever else is in its block: for each chunk of which it
 * sees keys, s = scale * chain over D; m = max s; p = exp(s - m); l = sixteen strided sums of p, folded; o =
 * chain of p v over the keys it sees. Chunks are merged in order: with n the larger of both maxima, each
 * side's l and o are scaled by exp(its max - n) and added. A sum that holds unseen keys differs from one that
 * does not only in the sign of zero, which the last step removes. */
#include "attention_tile.h"

typedef struct work {
    float *q;          /* (n, D) */
    float *out;        /* (n, width) running sum of p v */
    float *max, *sum;  /* (n) running */
    float *scores;     /* (n, CHUNK) then p */
    float *keep, *add; /* (n) factors of the running and of the chunk's sums */
    float *turned;     /* panel of keys */
    float *values;     /* (CHUNK, width) in panels */
    key_list keys;
    sight seen;
} work;

static work work_from(const problem *p, float *scratch)
{
    work w;
    w.q = take(&scratch, MOST_ROWS * p->d);
    w.out = take(&scratch, MOST_ROWS * p->width);
    w.max = take(&scratch, MOST_ROWS);
    w.sum = take(&scratch, MOST_ROWS);
    w.scores = take(&scratch, MOST_ROWS * CHUNK);
    w.keep = take(&scratch, MOST_ROWS);
    w.add = take(&scratch, MOST_ROWS);
    w.turned = take(&scratch, p->d * NR);
    w.values = take(&scratch, CHUNK * p->width);
    return w;
}

static void score(const problem *p, const block *b, work *w)
{
    for (int64_t first = 0; first < w->keys.n; first += NR) {
        pack_keys_turned(w->turned, p->k, b->kv_head, &w->keys, first);
        score_panel(p, b, &w->seen, first, w->q, w->turned, w->scores);
    }
}

/* Scores of one row that are out of sight become -inf up to the edges of vectors; then s = scale * s, p =
 * exp(s - max). */
static float soften(float *s, int64_t first, int64_t end, float scale, float *max)
{
    int64_t low = first / V_LANES * V_LANES, high = (end + V_LANES - 1) / V_LANES * V_LANES;
    v16 most = v_set(-__builtin_inff()), sum = v_set(0.0f);
    for (int64_t j = low; j < high; j += V_LANES) {
        v_store(s + j, v_mul(v_load(s + j), v_set(scale)));
        for (int64_t i = j; i < first; i++)
            s[i] = -__builtin_inff();
        for (int64_t i = end > j ? end : j; i < j + V_LANES; i++)
            s[i] = -__builtin_inff();
        most = v_max(v_load(s + j), most);
    }
    *max = v_max_lane(most);
    for (int64_t j = low; j < high; j += V_LANES) {
        v16 p = v_exp(v_sub(v_load(s + j), v_set(*max)));
        sum = v_add(sum, p);
        v_store(s + j, p);
    }
    return v_sum(sum);
}

static void soften_all(const problem *p, const block *b, work *w)
{
    for (int64_t i = 0; i < b->n; i++) {
        float max, sum;
        w->keep[i] = 1.0f;
        w->add[i] = 0.0f;
        if (w->seen.first[i] >= w->seen.end[i])
            continue;
        sum = soften(w->scores + i * CHUNK, w->seen.first[i], w->seen.end[i], p->scale, &max);
        float most = max > w->max[i] ? max : w->max[i];
        w->keep[i] = s_exp(w->max[i] - most);
        w->add[i] = s_exp(max - most);
        w->sum[i] = s_fma(sum, w->add[i], w->sum[i] * w->keep[i]);
        w->max[i] = most;
    }
}

/* Rows [r.first, r.end) of a panel of the running sum take in the chunk's. */
static void merge(const problem *p, work *w, fv_cpu_range r, int64_t panel, const float *chunk)
{
    for (int64_t i = r.first; i < r.end; i++, chunk += NR) {
        float *out = w->out + i * p->width + panel * NR;
        vn keep = n_set(w->keep[i]), add = n_set(w->add[i]);
        for (int j = 0; j < NR; j += VN)
            n_store(out + j, n_fma(n_load(chunk + j), add, n_load(out + j) * keep));
    }
}

static void weigh(const problem *p, const block *b, work *w)
{
    float chunk[MR * NR];
    pack_keys(w->values, p->v, b->kv_head, &w->keys);
    for (int64_t panel = 0; panel < p->width / NR; panel++)
        for (int64_t part = 0; part < n_parts(b->n); part++) {
            fv_cpu_range r = part_of(b->n, part);
            product_ranged(&(product){.a = w->scores + r.first * CHUNK,
                                      .b = w->values + panel * CHUNK * NR,
                                      .c = chunk,
                                      .a_line = CHUNK,
                                      .a_step = 1,
                                      .c_line = NR,
                                      .fresh = 1},
                           r.end - r.first, w->seen.first + r.first, w->seen.end + r.first);
            merge(p, w, r, panel, chunk);
        }
}

static void finish(const block *b, const work *w, const problem *p, fv_tensor out, fv_tensor lse)
{
    for (int64_t i = 0; i < b->n; i++) {
        int64_t at = row_in(out, b, i);
        float *row = row_for(out, at, w->scores), inverse = 1.0f / w->sum[i];
        for (int64_t j = 0; j < p->d; j++)
            row[j] = w->out[i * p->width + j] * inverse + 0.0f;
        write_row(out, at, p->d, row);
        if (lse.data)
            fv_f32(lse)[(b->from.q_row + b->query + i / b->n_heads) * lse.stride + b->head + i % b->n_heads] =
                w->max[i] + s_log(w->sum[i]);
    }
}

static void attend(const problem *p, const block *b, const fv_attention_args *args, float *scratch)
{
    work w = work_from(p, scratch);
    cursor at = {0};
    fv_cpu_range all = block_visible(p, b);
    load_rows(w.q, p->q, b);
    memset(w.out, 0, (size_t)(b->n * p->width) * sizeof *w.out);
    for (int64_t i = 0; i < b->n; i++) {
        w.max[i] = -__builtin_inff();
        w.sum[i] = 0.0f;
    }
    for (int64_t first = all.first / CHUNK * CHUNK; first < all.end; first += CHUNK) {
        int64_t end = first + CHUNK < all.end ? first + CHUNK : all.end;
        list_keys(p, &b->from, &at, (fv_cpu_range){first, end}, &w.keys);
        look(p, b, &w.keys, &w.seen);
        score(p, b, &w);
        soften_all(p, b, &w);
        weigh(p, b, &w);
    }
    finish(b, &w, p, args->out, args->lse);
}

fv_err FV_CPU(attention)(fv_backend *backend, const fv_attention_args *args)
{
    problem p = problem_sized((problem){.q = args->q,
                                        .k = args->k,
                                        .v = args->v,
                                        .segments = args->segments,
                                        .spans = args->spans,
                                        .scale = args->scale,
                                        .causal = args->causal,
                                        .window = args->window});
    FV_CHECK(p.d <= MOST_D, FV_ERR_UNSUPPORTED, "attention: heads have %lld channels, expected at most %d",
             (long long)p.d, MOST_D);
    int64_t n = n_blocks_of_all(&p);
#pragma omp parallel for schedule(dynamic) num_threads(backend->n_threads)
    for (int64_t i = 0; i < n; i++) {
        block b = block_of_all(&p, i);
        attend(&p, &b, args, fv_cpu_scratch(backend, fv_cpu_thread()));
    }
    return FV_OK;
}
