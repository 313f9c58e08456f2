/* Draws from logits. */
#include "suite.h"

#include "fovea/base/rng.h"

#include <math.h>
#include <stdlib.h>

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

static int is_excluded(fv_tensor excluded, int64_t id)
{
    for (int64_t i = 0; excluded.data && i < excluded.dim[0]; i++)
        if (*i32_at(excluded, i, 0) == id)
            return 1;
    return 0;
}

/* The probability of each id in row t of logits (F64), after temperature, top_k and top_p. */
static void distribution(const fv_sample_args *args, int64_t t, double *p)
{
    int64_t n = 0, kept = 0, n_ids = args->logits.dim[1];
    entry *e = host_take((size_t)n_ids * sizeof *e);
    double total = 0.0, sum = 0.0;
    memset(p, 0, (size_t)n_ids * sizeof *p);
    for (int64_t j = 0; j < n_ids; j++)
        if (!is_excluded(args->excluded, j) && *f64_at(args->logits, t, j) > -INFINITY)
            e[n++] = (entry){.logit = *f64_at(args->logits, t, j), .id = (int32_t)j};
    qsort(e, (size_t)n, sizeof *e, by_fall);
    if (args->temperature == 0.0f)
        n = 1;
    else if (args->top_k && args->top_k < n)
        n = args->top_k;
    for (int64_t i = 0; i < n; i++)
        total += e[i].p = n == 1 ? 1.0 : exp((e[i].logit - e[0].logit) / (double)args->temperature);
    while (kept < n && (kept == 0 || sum < (double)args->top_p * total || args->top_p == 1.0f))
        sum += e[kept++].p;
    for (int64_t i = 0; i < kept; i++)
        p[e[i].id] = e[i].p / sum;
}

/* The id whose interval holds uniform; *middle of the interval. */
static int32_t invert(const double *p, int64_t n, double uniform, double *middle)
{
    double before = 0.0;
    int64_t last = 0;
    for (int64_t j = 0; j < n; j++) {
        if (p[j] == 0.0)
            continue;
        *middle = before + 0.5 * p[j];
        before += p[last = j];
        if (before > uniform)
            break;
    }
    return (int32_t)last;
}

void reference_sample(const fv_sample_args *args)
{
    int64_t n = args->logits.dim[1];
    double *p = host_take((size_t)n * sizeof *p), middle;
    for (int64_t t = 0; t < args->logits.dim[0]; t++) {
        distribution(args, t, p);
        *i32_at(args->ids, t, 0) = invert(p, n, *f64_at(args->uniform, t, 0), &middle);
    }
}

/* Uniforms from the middles of intervals: what a rounding cannot move to the next id. The first is 0. */
static void draw_uniforms(const fv_sample_args *args)
{
    static uint32_t stream;
    size_t mark = host_mark();
    any_args wide = args_widen(FV_OP_sample, args);
    int64_t n = args->logits.dim[1];
    double *p = host_take((size_t)n * sizeof *p), middle = 0.0;
    fv_rng_key key = {.seed = 9, .step = ++stream};
    for (int64_t t = 0; t < args->uniform.dim[0]; t++) {
        distribution((const fv_sample_args *)&wide, t, p);
        for (uint32_t k = 0; k < 20; k++) {
            double uniform = (double)fv_rng_uniform(key, (uint32_t)t * 20 + k);
            if (p[invert(p, n, uniform, &middle)] > 1e-4)
                break;
        }
        *f32_at(args->uniform, t, 0) = t ? (float)middle : 0.0f;
    }
    host_release(mark);
}

typedef struct rule {
    float temperature, top_p;
    int top_k;
} rule;

static const rule rules[] = {{0.0f, 1.0f, 0},   {0.0f, 0.5f, 3},  {1.0f, 1.0f, 0},   {0.7f, 1.0f, 0},
                             {1.0f, 1.0f, 1},   {1.0f, 1.0f, 37}, {1.0f, 0.9f, 0},   {1.3f, 0.5f, 0},
                             {1.0f, 0.95f, 50}, {1.0f, 1e-6f, 0}, {0.01f, 0.9f, 20}, {1.0f, 0.999f, 5000}};
enum { N_RULES = sizeof rules / sizeof *rules, KINDS = 6 };

/* Rows of several kinds: plain, many ties (-0 and 0 among them), all equal, few possible, steep, late. */
static fv_tensor draw_logits(int64_t rows, int64_t n)
{
    fv_tensor logits = draw_2d(rows, n);
    for (int64_t t = 0; t < rows; t++)
        for (int64_t j = 0; j < n; j++) {
            float *x = f32_at(logits, t, j);
            float as[KINDS] = {2.0f * *x,  roundf(2.0f * *x) / 2.0f,
                               0.0f,       j % 9 == n / 2 % 9 ? *x : -INFINITY,
                               20.0f * *x, j < n / 2 ? -INFINITY : *x};
            *x = as[t % KINDS];
        }
    return logits;
}

static void case_sample(int64_t rows, int64_t n, rule r, fv_tensor excluded)
{
    char note[96];
    size_t mark = host_mark();
    fv_sample_args args = {.logits = draw_logits(rows, n),
                           .uniform = zeros_1d(FV_F32, rows),
                           .excluded = excluded,
                           .ids = zeros_1d(FV_I32, rows),
                           .temperature = r.temperature,
                           .top_p = r.top_p,
                           .top_k = r.top_k};
    draw_uniforms(&args);
    snprintf(note, sizeof note, "temperature %g, top_p %g, top_k %d", (double)r.temperature, (double)r.top_p,
             r.top_k);
    CONFORM(sample, args, .note = note, .n_rows = rows, .rows = "logits uniform ids");
    host_release(mark);
}

void cases_sample(void)
{
    fv_tensor absent = {.data = NULL}, empty = zeros_1d(FV_I32, 0),
              some = ints_1d(5, (int32_t[]){1, 70, 2, 5000, 1});
    for (int i = 0; i < N_RULES; i++) {
        case_sample(0, 9, rules[i], absent);
        case_sample(1, 1, rules[i], absent);
        case_sample(6, 16, rules[i], i % 2 ? some : empty);
        case_sample(18, 259, rules[i], i % 2 ? absent : some);
        case_sample(6, i % 2 ? FV_VOCAB_CHUNK : 2 * FV_VOCAB_CHUNK + 103, rules[i], i % 3 ? some : absent);
    }
}
