/* Draws from logits, and what filters leave of them. */
#include "suite.h"

#include "fovea/base/rng.h"

#include <math.h>
#include <stdlib.h>

static int is_excluded(fv_tensor excluded, int64_t id)
{
    for (int64_t i = 0; excluded.data && i < excluded.dim[0]; i++)
        if (*i32_at(excluded, i, 0) == id)
            return 1;
    return 0;
}

/* ---- draws ---- */

/* Philox4x32-10 (Salmon et al., 2011). */
static void philox(uint32_t c[4], uint32_t key0, uint32_t key1)
{
    for (int round = 0; round < 10; round++, key0 += 0x9E3779B9u, key1 += 0xBB67AE85u) {
        uint64_t a = (uint64_t)0xD2511F53u * c[0], b = (uint64_t)0xCD9E8D57u * c[2];
        uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ key0, (uint32_t)b, (uint32_t)(a >> 32) ^ c[3] ^ key1,
                            (uint32_t)a};
        memcpy(c, next, sizeof next);
    }
}

/* The Gumbel number of an id: sixty-four ids share sixteen counters of four words. */
static double gumbel(const int32_t *draw, uint32_t id)
{
    uint32_t c[4] = {id / 64 * 16 + id % 16, 0, (uint32_t)draw[2], (uint32_t)draw[3]};
    philox(c, (uint32_t)draw[0], (uint32_t)draw[1]);
    float w = (float)(int32_t)(c[id / 16 % 4] >> 1) * 0x1p-31f + 0x1p-32f;
    return -log(-log1p(-(double)fminf(w, 0x1.fffffep-1f)));
}

void reference_sample(const fv_sample_args *args)
{
    for (int64_t t = 0; t < args->logits.dim[0]; t++) {
        double best = args->accumulate ? *f64_at(args->value, t, 0) : -INFINITY;
        double best_z = args->accumulate ? *f64_at(args->z, t, 0) : -INFINITY;
        int32_t id = args->accumulate ? *i32_at(args->ids, t, 0) : -1;
        const int32_t *draw = i32_at(args->draws, t, 0);
        for (int32_t j = 0; j < args->logits.dim[1]; j++) {
            if (is_excluded(args->excluded, args->first + j))
                continue;
            double z = *f64_at(args->logits, t, j) * *f64_at(args->inv_temperature, t, 0);
            double value = draw[4] ? z + gumbel(draw, (uint32_t)(args->first + j)) : z;
            if (value > best) {
                best = value;
                best_z = z;
                id = args->first + j;
            }
        }
        *f64_at(args->value, t, 0) = best;
        *f64_at(args->z, t, 0) = best_z;
        *i32_at(args->ids, t, 0) = id;
    }
}

enum { KINDS = 7 };

/* Rows of several kinds: plain, many ties (-0 and 0 among them), all equal, few possible, steep, late,
 * nothing. */
static fv_tensor draw_logits(int64_t rows, int64_t n)
{
    fv_tensor logits = draw_2d(rows, n);
    for (int64_t t = 0; t < rows; t++)
        for (int64_t j = 0; j < n; j++) {
            float *x = f32_at(logits, t, j);
            float as[KINDS] = {
                2.0f * *x,  roundf(2.0f * *x) / 2.0f,   0.0f,     j % 9 == n / 2 % 9 ? *x : -INFINITY,
                20.0f * *x, j < n / 2 ? -INFINITY : *x, -INFINITY};
            *x = as[t % KINDS];
        }
    return logits;
}

static fv_tensor draw_temperatures(int64_t rows)
{
    static const float all[] = {1.0f, 0.7f, 2.0f, 1.0f, 0.25f};
    fv_tensor t = zeros_1d(FV_F32, rows);
    for (int64_t i = 0; i < rows; i++)
        *f32_at(t, i, 0) = all[i % 5];
    return t;
}

/* Every third row takes the likeliest. */
static fv_tensor draw_keys(int64_t rows)
{
    static uint32_t stream;
    fv_tensor draws = zeros_2d(FV_I32, rows, FV_DRAW_FIELDS);
    stream++;
    for (int64_t i = 0; i < rows; i++) {
        fv_rng_words((fv_rng_key){.seed = 9, .step = stream}, (uint32_t)i, (uint32_t *)i32_at(draws, i, 0));
        *i32_at(draws, i, 4) = i % 3 != 2;
    }
    return draws;
}

static void case_sample(int64_t rows, int64_t n, int32_t first, fv_tensor excluded, int accumulate)
{
    size_t mark = host_mark();
    fv_sample_args args = {.logits = draw_logits(rows, n),
                           .inv_temperature = draw_temperatures(rows),
                           .draws = draw_keys(rows),
                           .excluded = excluded,
                           .value = draw_1d(rows),
                           .z = draw_1d(rows),
                           .ids = zeros_1d(FV_I32, rows),
                           .first = first,
                           .accumulate = accumulate};
    for (int64_t t = 0; t < rows; t++) /* found before: more than there will be, or less */
        *f32_at(args.value, t, 0) += t % 2 ? 1000.0f : 0.0f;
    CONFORM(sample, args, .near = 4e-6, .note = accumulate ? "accumulate" : NULL, .n_rows = rows,
            .rows = "logits inv_temperature draws value z ids");
    host_release(mark);
}

void cases_sample(void)
{
    static const int32_t firsts[] = {0, 64, 5, 8191, 100000};
    static const int64_t sizes[][2] = {{0, 9},    {1, 1},  {3, 0},    {7, 16},
                                       {21, 259}, {7, 64}, {9, 4096}, {7, 8295}};
    fv_tensor absent = {.data = NULL}, empty = zeros_1d(FV_I32, 0),
              some = ints_1d(6, (int32_t[]){1, 70, 2, 5000, 1, 100010});
    for (int i = 0; i < 8; i++)
        for (int f = 0; f < 5; f++)
            case_sample(sizes[i][0], sizes[i][1], firsts[f],
                        f % 3 == 0   ? some
                        : f % 3 == 1 ? empty
                                     : absent,
                        (i + f) % 2);
}

/* ---- filters ---- */

typedef struct entry {
    double logit, p;
    int32_t id;
} entry;

static int by_fall(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->logit != y->logit)
        return x->logit < y->logit ? 1 : -1;
    return x->id < y->id ? -1 : 1;
}

/* Row t of args (F64) without the ids that are out. */
static void filter_row(const fv_vocab_filter_args *args, int64_t t)
{
    int64_t n = 0, kept = 0, n_ids = args->logits.dim[1];
    entry *e = host_take((size_t)n_ids * sizeof *e);
    double total = 0.0, sum = 0.0, scale = *f64_at(args->inv_temperature, t, 0),
           *logits = f64_at(args->logits, t, 0);
    double top_p = *f64_at(args->top_p, t, 0);
    int32_t top_k = *i32_at(args->top_k, t, 0);
    for (int64_t j = 0; j < n_ids; j++)
        if (!is_excluded(args->excluded, j) && logits[j] > -INFINITY)
            e[n++] = (entry){.logit = logits[j], .id = (int32_t)j};
    if (n == 0)
        return;
    qsort(e, (size_t)n, sizeof *e, by_fall);
    n = top_k && top_k < n ? top_k : n;
    for (int64_t i = 0; i < n; i++)
        total += e[i].p = exp((e[i].logit - e[0].logit) * scale);
    while (kept < n && (kept == 0 || sum < top_p * total || top_p == 1.0))
        sum += e[kept++].p;
    for (int64_t j = 0; j < n_ids; j++)
        logits[j] = -INFINITY;
    for (int64_t i = 0; i < kept; i++)
        logits[e[i].id] = e[i].logit;
}

void reference_vocab_filter(const fv_vocab_filter_args *args)
{
    for (int64_t t = 0; t < args->logits.dim[0]; t++)
        filter_row(args, t);
}

typedef struct rule {
    float top_p;
    int top_k;
} rule;

static const rule rules[] = {{1.0f, 0},   {0.5f, 3},  {1.0f, 1},  {1.0f, 37},    {0.9f, 0},
                             {0.95f, 50}, {1e-6f, 0}, {0.9f, 20}, {0.999f, 5000}};
enum { N_RULES = sizeof rules / sizeof *rules };

static void case_filter(int64_t rows, int64_t n, fv_tensor excluded)
{
    size_t mark = host_mark();
    fv_vocab_filter_args args = {.inv_temperature = draw_temperatures(rows),
                                 .top_k = zeros_1d(FV_I32, rows),
                                 .top_p = zeros_1d(FV_F32, rows),
                                 .excluded = excluded,
                                 .logits = draw_logits(rows, n)};
    for (int64_t t = 0; t < rows; t++) {
        *i32_at(args.top_k, t, 0) = rules[t / 2 % N_RULES].top_k;
        *f32_at(args.top_p, t, 0) = rules[t / 2 % N_RULES].top_p;
    }
    CONFORM(vocab_filter, args, .n_rows = rows, .rows = "inv_temperature top_k top_p logits");
    host_release(mark);
}

void cases_vocab_filter(void)
{
    fv_tensor absent = {.data = NULL}, empty = zeros_1d(FV_I32, 0),
              some = ints_1d(5, (int32_t[]){1, 70, 2, 5000, 1});
    case_filter(0, 9, absent);
    case_filter(1, 1, absent);
    case_filter(2 * KINDS * N_RULES, 16, some);
    case_filter(2 * KINDS * N_RULES, 259, empty);
    case_filter(40, FV_VOCAB_CHUNK, some);
    case_filter(40, 2 * FV_VOCAB_CHUNK + 103, absent);
}
