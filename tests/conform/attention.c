/* Attention and its gradient, one query and head at a time. */
#include "suite.h"

#include <math.h>

/* One query of one head, and what it sees. */
typedef struct query {
    int64_t row, head, n_keys;
    const int64_t *keys; /* rows of k */
    int64_t key_head;
    double *p; /* softmax (n_keys) */
    double lse;
} query;

/* Rows of k that query i of a segment sees; returns how many. */
static int64_t seen_keys(const fv_attention_args *args, const int32_t *segment, int64_t i, int64_t *keys)
{
    int64_t n = 0, key = 0, position = segment[2] + i;
    for (int64_t s = segment[3]; s < segment[3] + segment[4]; s++) {
        const int32_t *span = i32_at(args->spans, s, 0);
        for (int64_t j = 0; j < span[1]; j++, key++)
            if ((!args->causal || key <= position) && (!args->window || key > position - args->window))
                keys[n++] = span[0] + j;
    }
    return n;
}

static double product(const double *a, const double *b, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static void attend(const fv_attention_args *args, query *q)
{
    int64_t d = args->q.dim[2];
    double max = -INFINITY, sum = 0.0;
    for (int64_t j = 0; j < q->n_keys; j++) {
        q->p[j] = (double)args->scale * product(f64_at(args->q, q->row, q->head * d),
                                                f64_at(args->k, q->keys[j], q->key_head * d), d);
        max = fmax(max, q->p[j]);
    }
    for (int64_t j = 0; j < q->n_keys; j++)
        sum += q->p[j] = exp(q->p[j] - max);
    for (int64_t j = 0; j < q->n_keys; j++)
        q->p[j] /= sum;
    q->lse = max + log(sum);
}

typedef void (*visitor)(const fv_attention_args *args, const query *q, const void *context);

static void visit_queries(const fv_attention_args *args, visitor visit, const void *context)
{
    int64_t most = 1;
    for (int64_t s = 0; s < args->segments.dim[0]; s++)
        most = *i32_at(args->segments, s, 5) > most ? *i32_at(args->segments, s, 5) : most;
    int64_t *keys = host_take((size_t)most * sizeof *keys);
    query q = {.keys = keys, .p = host_take((size_t)most * sizeof(double))};
    for (int64_t s = 0; s < args->segments.dim[0]; s++) {
        const int32_t *segment = i32_at(args->segments, s, 0);
        for (int64_t i = 0; i < segment[1]; i++) {
            q.row = segment[0] + i;
            q.n_keys = seen_keys(args, segment, i, keys);
            for (q.head = 0; q.head < args->q.dim[1]; q.head++) {
                q.key_head = q.head / (args->q.dim[1] / args->k.dim[1]);
                attend(args, &q);
                visit(args, &q, context);
            }
        }
    }
}

static void write_output(const fv_attention_args *args, const query *q, const void *context)
{
    (void)context;
    int64_t d = args->q.dim[2];
    double *out = f64_at(args->out, q->row, q->head * d);
    for (int64_t c = 0; c < d; c++) {
        out[c] = 0.0;
        for (int64_t j = 0; j < q->n_keys; j++)
            out[c] += q->p[j] * *f64_at(args->v, q->keys[j], q->key_head * d + c);
    }
    if (args->lse.data)
        *f64_at(args->lse, q->row, q->head) = q->lse;
}

void reference_attention(const fv_attention_args *args)
{
    visit_queries(args, write_output, NULL);
}

/* By the out and lse that are given: rounded keys would have had others. */
static void add_gradients(const fv_attention_args *args, const query *q, const void *context)
{
    const fv_attention_grad_args *grad = context;
    int64_t d = args->q.dim[2], at = q->head * d, key_at = q->key_head * d;
    const double *dout = f64_at(grad->dout, q->row, at), *query_row = f64_at(args->q, q->row, at);
    double mean = product(dout, f64_at(grad->out, q->row, at), d), *dq = f64_at(grad->dq, q->row, at);
    double again = exp(q->lse - *f64_at(grad->lse, q->row, q->head));
    memset(dq, 0, (size_t)d * sizeof *dq);
    for (int64_t j = 0; j < q->n_keys; j++) {
        const double *k = f64_at(args->k, q->keys[j], key_at), *v = f64_at(args->v, q->keys[j], key_at);
        double *dk = f64_at(grad->dk, q->keys[j], key_at), *dv = f64_at(grad->dv, q->keys[j], key_at);
        double p = q->p[j] * again, ds = (double)args->scale * p * (product(dout, v, d) - mean);
        for (int64_t c = 0; c < d; c++) {
            dq[c] += ds * k[c];
            dk[c] += ds * query_row[c];
            dv[c] += p * dout[c];
        }
    }
}

void reference_attention_grad(const fv_attention_grad_args *args)
{
    fv_attention_args forward = {.q = args->q,
                                 .k = args->k,
                                 .v = args->v,
                                 .segments = args->segments,
                                 .spans = args->spans,
                                 .scale = args->scale,
                                 .causal = args->causal,
                                 .window = args->window};
    visit_queries(&forward, add_gradients, args);
}
