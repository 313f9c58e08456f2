/* Checks of the arguments of attention, its plan, and rotary positions. */
#include "args_check.h"

fv_err fv_check_rope_angles_args(const fv_rope_angles_args *args, int *empty)
{
    EXPECT(rope_angles, positions, I32, 3, FV_DIM_ANY);
    EXPECT(rope_angles, rates, F64, FV_DIM_ANY);
    int64_t rows = args->positions.dim[1], half = args->rates.dim[0];
    const int *sections = args->sections;
    int is_whole = sections[0] >= 0 && sections[1] >= 0 && sections[2] >= 0 &&
                   (int64_t)sections[0] + sections[1] + sections[2] == half;
    FV_CHECK(is_whole, FV_ERR_SHAPE,
             "rope_angles: sections of %d, %d and %d pairs, expected three of the %lld together", sections[0],
             sections[1], sections[2], (long long)half);
    EXPECT(rope_angles, cos, F32, rows, half);
    EXPECT(rope_angles, sin, F32, rows, half);
    *empty = fv_tensor_count(args->cos) == 0;
    return FV_OK;
}

fv_err fv_check_rope_args(const fv_rope_args *args, int *empty)
{
    EXPECT(rope, x, STORED, FV_DIM_ANY, FV_DIM_ANY, FV_DIM_ANY);
    int64_t rows = args->x.dim[0], d = args->x.dim[2];
    FV_CHECK(d % 2 == 0, FV_ERR_SHAPE, "rope: tensor x has heads of %lld channels, expected an even number",
             (long long)d);
    EXPECT(rope, cos, F32, rows, d / 2);
    EXPECT(rope, sin, F32, rows, d / 2);
    EXPECT(rope, out, STORED, rows, args->x.dim[1], d);
    *empty = fv_tensor_count(args->x) == 0;
    return FV_OK;
}

fv_err fv_check_rope_store_args(const fv_rope_store_args *args, int *empty)
{
    const fv_tensor *k = &args->k;
    const fv_rope_args q_turn = {.cos = args->cos, .sin = args->sin, .x = args->q, .out = args->q},
                       k_turn = {.cos = args->cos, .sin = args->sin, .x = args->k, .out = args->k};
    EXPECT(rope_store, q, STORED, FV_DIM_ANY, FV_DIM_ANY, FV_DIM_ANY);
    EXPECT_AS(rope_store, k, q, args->q.dim[0], FV_DIM_ANY, args->q.dim[2]);
    FV_TRY(fv_check_rope_args(&q_turn, empty));
    FV_TRY(fv_check_rope_args(&k_turn, empty));
    EXPECT_LIKE(rope_store, v, *k);
    EXPECT_AS(rope_store, keys, k, FV_DIM_ANY, k->dim[1], k->dim[2]);
    EXPECT_LIKE(rope_store, values, args->keys);
    EXPECT(rope_store, slots, I32, k->dim[0]);
    *empty = k->dim[0] == 0;
    return FV_OK;
}

fv_err fv_check_attention_plan_args(const fv_attention_plan_args *args, int *empty)
{
    int some = args->n_queries > 0;
    EXPECT(attention_plan, segments, I32, some ? FV_DIM_SOME : FV_DIM_ANY, FV_SEGMENT_FIELDS);
    EXPECT(attention_plan, spans, I32, some ? FV_DIM_SOME : FV_DIM_ANY, FV_SPAN_FIELDS);
    EXPECT(attention_plan, plan, U8, FV_DIM_ANY);
    FV_CHECK(args->n_heads > 0 && args->n_kv_heads > 0 && args->n_heads % args->n_kv_heads == 0, FV_ERR_SHAPE,
             "attention_plan: %d heads and %d key heads, expected a multiple of those", args->n_heads,
             args->n_kv_heads);
    *empty = args->n_queries == 0 || fv_tensor_count(args->plan) == 0;
    return FV_OK;
}

typedef struct heads {
    int64_t rows, n_query, n_key, d, n_keys;
} heads;

static fv_err expect_heads(const char *op, heads h, int window)
{
    FV_CHECK(h.n_query % h.n_key == 0, FV_ERR_SHAPE,
             "%s: tensor q has %lld heads and k %lld, expected a multiple of that", op, (long long)h.n_query,
             (long long)h.n_key);
    FV_CHECK(window >= 0, FV_ERR_ARGUMENT, "%s: the window is %d, expected 0 (none) or more", op, window);
    return FV_OK;
}

/* What forward and backward share. */
#define EXPECT_ATTENTION(op, h)                                                                      \
    do {                                                                                             \
        EXPECT(op, q, STORED, FV_DIM_ANY, FV_DIM_SOME, FV_DIM_SOME);                                 \
        EXPECT(op, k, STORED, FV_DIM_ANY, FV_DIM_SOME, args->q.dim[2]);                              \
        h = (heads){args->q.dim[0], args->q.dim[1], args->k.dim[1], args->q.dim[2], args->k.dim[0]}; \
        EXPECT_AS(op, v, k, h.n_keys, h.n_key, h.d);                                                 \
        EXPECT(op, segments, I32, h.rows ? FV_DIM_SOME : FV_DIM_ANY, FV_SEGMENT_FIELDS);             \
        EXPECT(op, spans, I32, h.rows ? FV_DIM_SOME : FV_DIM_ANY, FV_SPAN_FIELDS);                   \
        EXPECT_IF(op, plan, U8, FV_DIM_ANY);                                                         \
        FV_TRY(expect_heads(#op, h, args->window));                                                  \
    } while (0)

fv_err fv_check_attention_args(const fv_attention_args *args, int *empty)
{
    heads h;
    EXPECT_ATTENTION(attention, h);
    EXPECT_AS(attention, out, q, h.rows, h.n_query, h.d);
    EXPECT_IF(attention, lse, F32, h.rows, h.n_query);
    *empty = h.rows == 0;
    return FV_OK;
}

fv_err fv_check_attention_grad_args(const fv_attention_grad_args *args, int *empty)
{
    heads h;
    EXPECT_ATTENTION(attention_grad, h);
    EXPECT_AS(attention_grad, dout, q, h.rows, h.n_query, h.d);
    EXPECT_AS(attention_grad, out, q, h.rows, h.n_query, h.d);
    EXPECT(attention_grad, lse, F32, h.rows, h.n_query);
    EXPECT(attention_grad, dq, F32, h.rows, h.n_query, h.d);
    EXPECT(attention_grad, dk, F32, h.n_keys, h.n_key, h.d);
    EXPECT(attention_grad, dv, F32, h.n_keys, h.n_key, h.d);
    *empty = h.rows == 0;
    return FV_OK;
}
