/* What index tensors must hold, which checks of arguments cannot see. */
#include "check.h"

#include <stdlib.h>

typedef struct segment {
    int32_t q_row, n_q, n_past, first_span, n_spans, n_keys;
} segment;

typedef struct span {
    int32_t row, length;
} span;

static fv_err check_spans(const fv_attention_args *args, segment s, long long index)
{
    const int64_t stride = args->spans.stride;
    int64_t keys = 0;
    for (int64_t i = s.first_span; i < (int64_t)s.first_span + s.n_spans; i++) {
        span p = *(const span *)((const int32_t *)args->spans.data + i * stride);
        FV_CHECK(p.row >= 0 && p.length >= 0 && (int64_t)p.row + p.length <= args->k.dim[0], FV_ERR_ARGUMENT,
                 "attention: tensor spans, row %lld is {%d, %d}, expected rows of k, which has %lld",
                 (long long)i, p.row, p.length, (long long)args->k.dim[0]);
        keys += p.length;
    }
    FV_CHECK(keys == s.n_keys, FV_ERR_ARGUMENT,
             "attention: tensor segments, row %lld has spans of %lld keys, expected its n_keys %d", index,
             (long long)keys, s.n_keys);
    return FV_OK;
}

/* Mark the segment's queries in seen. */
static fv_err check_segment(const fv_attention_args *args, segment s, long long index, char *seen)
{
    FV_CHECK(s.q_row >= 0 && s.n_q >= 0 && (int64_t)s.q_row + s.n_q <= args->q.dim[0], FV_ERR_ARGUMENT,
             "attention: tensor segments, row %lld has queries %d + %d, expected rows of q, which has %lld",
             index, s.q_row, s.n_q, (long long)args->q.dim[0]);
    FV_CHECK(s.first_span >= 0 && s.n_spans >= 0 && (int64_t)s.first_span + s.n_spans <= args->spans.dim[0],
             FV_ERR_ARGUMENT,
             "attention: tensor segments, row %lld has spans %d + %d, expected rows of spans, which has %lld",
             index, s.first_span, s.n_spans, (long long)args->spans.dim[0]);
    int64_t last = (int64_t)s.n_past + s.n_q - 1;
    FV_CHECK(s.n_past >= 0 && s.n_keys > 0 && (args->window == 0 || last - args->window + 1 < s.n_keys),
             FV_ERR_ARGUMENT,
             "attention: tensor segments, row %lld has %d past and %d keys, expected a key for every query",
             index, s.n_past, s.n_keys);
    FV_CHECK((!args->most_queries || s.n_q <= args->most_queries) &&
                 (!args->most_keys || s.n_keys <= args->most_keys),
             FV_ERR_ARGUMENT,
             "attention: tensor segments, row %lld has %d queries and %d keys, more than the call's most, %d "
             "and %d",
             index, s.n_q, s.n_keys, args->most_queries, args->most_keys);
    FV_TRY(check_spans(args, s, index));
    for (int64_t i = s.q_row; i < (int64_t)s.q_row + s.n_q; i++)
        FV_CHECK(!seen[i]++, FV_ERR_ARGUMENT,
                 "attention: tensor segments, row %lld has query %lld, which another has too", index,
                 (long long)i);
    return FV_OK;
}

static fv_err check_attention(const fv_attention_args *args)
{
    fv_err err = FV_OK;
    char *seen = calloc((size_t)args->q.dim[0] + 1, 1);
    FV_CHECK(seen, FV_ERR_MEMORY, "cannot allocate a mark for each query");
    for (int64_t i = 0; i < args->segments.dim[0]; i++) {
        const int32_t *row = (const int32_t *)args->segments.data + i * args->segments.stride;
        FV_TRY_DONE(check_segment(args, *(const segment *)row, i, seen));
    }
    for (int64_t i = 0; i < args->q.dim[0]; i++)
        FV_CHECK_DONE(seen[i], FV_ERR_ARGUMENT, "attention: query %lld is in no segment", (long long)i);
done:
    free(seen);
    return err;
}

static fv_err check_attention_grad(const fv_attention_grad_args *args)
{
    return check_attention(&(fv_attention_args){.q = args->q,
                                                .k = args->k,
                                                .v = args->v,
                                                .segments = args->segments,
                                                .spans = args->spans,
                                                .window = args->window,
                                                .most_queries = args->most_queries,
                                                .most_keys = args->most_keys});
}

static fv_err check_scatter(const fv_scatter_args *args)
{
    fv_err err = FV_OK;
    const int32_t *index = args->index.data;
    char *seen = calloc((size_t)args->table.dim[0] + 1, 1);
    FV_CHECK(seen, FV_ERR_MEMORY, "cannot allocate a mark for each row");
    for (int64_t i = 0; i < args->index.dim[0]; i++) {
        int64_t row = (int64_t)index[i] - args->first;
        if (row >= 0 && row < args->table.dim[0])
            FV_CHECK_DONE(!seen[row]++, FV_ERR_ARGUMENT,
                          "scatter: tensor index names %d twice, expected distinct rows", index[i]);
    }
done:
    free(seen);
    return err;
}

static fv_err check_filter(const fv_vocab_filter_args *args)
{
    const int32_t *top_k = args->top_k.data;
    const float *top_p = args->top_p.data;
    for (int64_t i = 0; i < args->top_k.dim[0]; i++)
        FV_CHECK(top_k[i] >= 0 && top_p[i] > 0.0f && top_p[i] <= 1.0f, FV_ERR_ARGUMENT,
                 "vocab_filter: top_k %d and top_p %g in row %lld, expected 0 or more, and above 0 to 1",
                 top_k[i], (double)top_p[i], (long long)i);
    return FV_OK;
}

fv_err fv_check_contents(fv_op op, const void *args)
{
    switch (op) {
    case FV_OP_attention:
        return check_attention(args);
    case FV_OP_attention_grad:
        return check_attention_grad(args);
    case FV_OP_scatter:
        return check_scatter(args);
    case FV_OP_vocab_filter:
        return check_filter(args);
    default:
        return FV_OK;
    }
}
