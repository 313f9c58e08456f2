/* One block of the decoder or of the vision tower, forward and backward.
 *
 *     h1 = norm1(x)    qkv = h1 Wqkv + b    q, k: normalised by head (Qwen3), then turned by position
 *     attn = attention(q, k, v)             mid = x + attn Wout + b
 *     h2 = norm2(mid)  y = silu(h2 Wgate) * (h2 Wup)           out = y Wdown + b
 *
 * The x of the next block is mid + out: its norm1 adds them, so that they are read once.
 *
 * A rank of a tensor group has some of the heads and some of the columns of the MLP. So qkv and gate_up need
 * nothing of other ranks; out and down give each rank a part of a sum, and the parts are added over the
 * ranks. Backward it is the other way round: it is the gradients of h1 and h2 whose parts are added.
 *
 * Keys and values stay in the pass, as in training, or are put into rows of a cache first and read there, as
 * in generation. Attention finds either through spans, so both give the same bits.
 *
 * The backward pass takes the same steps from the last to the first, with what the forward pass has saved.
 * The gradient of the residual stream is carried along in dx: that of out, then of mid, then of x. */
#include "block.h"

#include <math.h>

static int64_t query_width(const fv_block_shape *shape)
{
    return (int64_t)shape->n_heads * shape->head_dim;
}

static int64_t key_width(const fv_block_shape *shape)
{
    return (int64_t)shape->n_kv_heads * shape->head_dim;
}

typedef struct taker {
    fv_arena *arena;
    fv_dtype dtype;
} taker;

static fv_err take_matrix(taker t, int64_t rows, int64_t cols, fv_tensor *out)
{
    return fv_tensor_take(t.arena, t.dtype, 2, (int64_t[]){rows, cols}, out);
}

static fv_err take_f32(fv_arena *arena, int64_t rows, int64_t cols, fv_tensor *out)
{
    return take_matrix((taker){arena, FV_F32}, rows, cols, out);
}

static fv_err take_vector(fv_arena *arena, int64_t n, fv_tensor *out)
{
    return fv_tensor_take(arena, FV_F32, 1, &n, out);
}

fv_err fv_block_acts_take(fv_arena *arena, const fv_block_shape *shape, int64_t n_tokens, fv_block_acts *out)
{
    int64_t q = query_width(shape), k = key_width(shape);
    taker as = {arena, shape->dtype};
    *out = (fv_block_acts){0};
    FV_TRY(take_vector(arena, n_tokens, &out->rstd1));
    FV_TRY(take_matrix(as, n_tokens, shape->hidden, &out->h1));
    FV_TRY(take_matrix(as, n_tokens, q + 2 * k, &out->qkv));
    if (shape->has_qk_norm) {
        FV_TRY(take_matrix(as, n_tokens, q + k, &out->qk));
        FV_TRY(take_vector(arena, n_tokens * (shape->n_heads + shape->n_kv_heads), &out->qk_rstd));
    }
    FV_TRY(take_matrix(as, n_tokens, q, &out->attn));
    FV_TRY(take_f32(arena, n_tokens, shape->n_heads, &out->lse));
    FV_TRY(take_matrix(as, n_tokens, shape->hidden, &out->mid));
    FV_TRY(take_vector(arena, n_tokens, &out->rstd2));
    FV_TRY(take_matrix(as, n_tokens, shape->hidden, &out->h2));
    FV_TRY(take_matrix(as, n_tokens, 2 * (int64_t)shape->intermediate, &out->gate_up));
    return take_matrix(as, n_tokens, shape->intermediate, &out->y);
}

fv_err fv_block_grads_take(fv_arena *arena, const fv_block_shape *shape, int64_t n_tokens,
                           fv_block_grads *out)
{
    int64_t q = query_width(shape), k = key_width(shape);
    taker as = {arena, shape->dtype};
    *out = (fv_block_grads){0};
    FV_TRY(take_f32(arena, n_tokens, shape->hidden, &out->h));
    FV_TRY(take_matrix(as, n_tokens, q + 2 * k, &out->qkv));
    if (shape->has_qk_norm)
        FV_TRY(take_f32(arena, n_tokens, q + k, &out->qk));
    FV_TRY(fv_take_rounded(arena, out->qkv, FV_F32, &out->sums));
    FV_TRY(take_matrix(as, n_tokens, q, &out->attn));
    FV_TRY(take_matrix(as, n_tokens, 2 * (int64_t)shape->intermediate, &out->gate_up));
    return take_matrix(as, n_tokens, shape->intermediate, &out->y);
}

/* Heads [first, first + n) of a packed matrix (T, heads * D) as (T, n, D). */
static fv_tensor heads(fv_tensor packed, const fv_block_shape *shape, int first, int n)
{
    return fv_tensor_heads(
        fv_tensor_cols(packed, (int64_t)first * shape->head_dim, (int64_t)n * shape->head_dim), n);
}

typedef struct qkv_views {
    fv_tensor q, k, v;
} qkv_views;

/* Queries and keys as attention reads them: out of qk if they were normalised, else out of qkv. */
static qkv_views views_of(const fv_block_shape *shape, fv_tensor qkv, fv_tensor qk)
{
    fv_tensor turned = qk.data ? qk : qkv;
    int h = shape->n_heads, k = shape->n_kv_heads;
    return (qkv_views){heads(turned, shape, 0, h), heads(turned, shape, h, k), heads(qkv, shape, h + k, k)};
}

static fv_tensor rstd_of(const fv_block_shape *shape, fv_tensor qk_rstd, int64_t n_tokens, int keys)
{
    int64_t n_query = n_tokens * shape->n_heads;
    return keys ? fv_tensor_rows(qk_rstd, n_query, n_tokens * shape->n_kv_heads)
                : fv_tensor_rows(qk_rstd, 0, n_query);
}

static fv_err normalise_qk(const fv_block_pass *pass, const fv_block_weights *weights, fv_block_acts *acts)
{
    const fv_block_shape *shape = &pass->shape;
    int64_t n = acts->qkv.dim[0];
    qkv_views raw = views_of(shape, acts->qkv, (fv_tensor){0}), normal = views_of(shape, acts->qkv, acts->qk);
    FV_TRY(fv_norm(pass->backend, &(fv_norm_args){.x = raw.q,
                                                  .weight = weights->q_norm,
                                                  .y = normal.q,
                                                  .rstd = rstd_of(shape, acts->qk_rstd, n, 0),
                                                  .eps = shape->norm_eps}));
    return fv_norm(pass->backend, &(fv_norm_args){.x = raw.k,
                                                  .weight = weights->k_norm,
                                                  .y = normal.k,
                                                  .rstd = rstd_of(shape, acts->qk_rstd, n, 1),
                                                  .eps = shape->norm_eps});
}

/* Queries and keys lie side by side. */
static fv_tensor queries_and_keys(const fv_block_shape *shape, fv_tensor qkv, fv_tensor qk)
{
    return heads(qk.data ? qk : qkv, shape, 0, shape->n_heads + shape->n_kv_heads);
}

static float scale_of(const fv_block_shape *shape)
{
    return 1.0f / sqrtf((float)shape->head_dim);
}

/* Queries and keys are turned; a key store that is there receives keys and values. */
static fv_err turn_and_store(const fv_block_pass *pass, const fv_block_io *io, const fv_block_acts *acts)
{
    qkv_views views = views_of(&pass->shape, acts->qkv, acts->qk);
    if (!pass->slots.data)
        return fv_rope(pass->backend,
                       &(fv_rope_args){.cos = pass->cos,
                                       .sin = pass->sin,
                                       .x = queries_and_keys(&pass->shape, acts->qkv, acts->qk),
                                       .out = queries_and_keys(&pass->shape, acts->qkv, acts->qk)});
    return fv_rope_store(pass->backend, &(fv_rope_store_args){.cos = pass->cos,
                                                              .sin = pass->sin,
                                                              .q = views.q,
                                                              .k = views.k,
                                                              .v = views.v,
                                                              .slots = pass->slots,
                                                              .keys = io->keys,
                                                              .values = io->values});
}

/* Attention over this pass's own keys, or over the key store. */
static fv_err attend(const fv_block_pass *pass, const fv_block_io *io, fv_block_acts *acts)
{
    const fv_block_shape *shape = &pass->shape;
    const fv_block_lists *lists = &pass->lists;
    qkv_views views = views_of(shape, acts->qkv, acts->qk);
    return fv_attention(pass->backend,
                        &(fv_attention_args){.q = views.q,
                                             .k = pass->slots.data ? io->keys : views.k,
                                             .v = pass->slots.data ? io->values : views.v,
                                             .segments = lists->segments,
                                             .spans = lists->spans,
                                             .plan = lists->plan,
                                             .lse = acts->lse,
                                             .out = fv_tensor_heads(acts->attn, shape->n_heads),
                                             .scale = scale_of(shape),
                                             .causal = shape->causal,
                                             .window = shape->window,
                                             .most_queries = lists->most_queries,
                                             .most_keys = lists->most_keys});
}

static fv_attention_plan_args plan_args(const fv_block_shape *shape, int64_t n_tokens,
                                        const fv_block_lists *lists)
{
    return (fv_attention_plan_args){.segments = lists->segments,
                                    .spans = lists->spans,
                                    .plan = lists->plan,
                                    .n_queries = n_tokens,
                                    .n_heads = shape->n_heads,
                                    .n_kv_heads = shape->n_kv_heads,
                                    .head_dim = shape->head_dim};
}

fv_err fv_block_plan_take(fv_backend *backend, const fv_block_shape *shape, int64_t n_tokens, fv_arena *arena,
                          fv_block_lists *lists)
{
    fv_attention_plan_args args = plan_args(shape, n_tokens, lists);
    int64_t n = (int64_t)fv_attention_plan_bytes(backend, &args);
    return fv_tensor_take(arena, FV_U8, 1, &n, &lists->plan);
}

fv_err fv_block_plan(fv_backend *backend, const fv_block_shape *shape, int64_t n_tokens,
                     const fv_block_lists *lists)
{
    fv_attention_plan_args args = plan_args(shape, n_tokens, lists);
    return fv_attention_plan(backend, &args);
}

static fv_err mlp_forward(const fv_block_pass *pass, const fv_block_weights *weights, fv_tensor out,
                          fv_block_acts *acts)
{
    const fv_block_shape *shape = &pass->shape;
    int64_t width = shape->intermediate;
    FV_TRY(fv_linear(pass->backend, acts->h2, weights->gate_up, weights->gate_up_bias, acts->gate_up));
    FV_TRY(fv_swiglu(pass->backend, &(fv_swiglu_args){.gate = fv_tensor_cols(acts->gate_up, 0, width),
                                                      .up = fv_tensor_cols(acts->gate_up, width, width),
                                                      .y = acts->y}));
    if (!out.data)
        return FV_OK;
    return fv_shared_linear(pass->backend, pass->tensor,
                            &(fv_shared_linear_args){.x = acts->y,
                                                     .w = weights->down,
                                                     .bias = weights->down_bias,
                                                     .y = out,
                                                     .part = pass->part,
                                                     .sum = shape->down_sum});
}

fv_err fv_block_forward(const fv_block_pass *pass, const fv_block_weights *weights, const fv_block_io *io,
                        fv_block_acts *acts)
{
    fv_backend *backend = pass->backend;
    const fv_block_shape *shape = &pass->shape;
    FV_TRY(fv_norm(backend, &(fv_norm_args){.x = io->x,
                                            .residual = io->mid,
                                            .weight = weights->norm1,
                                            .sum = io->mid.data ? io->x : (fv_tensor){0},
                                            .y = acts->h1,
                                            .rstd = acts->rstd1,
                                            .eps = shape->norm_eps}));
    FV_TRY(fv_linear(backend, acts->h1, weights->qkv, weights->qkv_bias, acts->qkv));
    if (shape->has_qk_norm)
        FV_TRY(normalise_qk(pass, weights, acts));
    FV_TRY(turn_and_store(pass, io, acts));
    FV_TRY(attend(pass, io, acts));
    FV_TRY(fv_shared_linear(backend, pass->tensor,
                            &(fv_shared_linear_args){.x = acts->attn,
                                                     .w = weights->out,
                                                     .bias = weights->out_bias,
                                                     .y = acts->mid,
                                                     .part = pass->part,
                                                     .sum = shape->out_sum}));
    FV_TRY(fv_norm(backend, &(fv_norm_args){.x = io->x,
                                            .residual = acts->mid,
                                            .weight = weights->norm2,
                                            .sum = acts->mid,
                                            .y = acts->h2,
                                            .rstd = acts->rstd2,
                                            .eps = shape->norm_eps}));
    return mlp_forward(pass, weights, io->out, acts);
}

/* dx: gradient of the block's output, in and out: that of mid. */
static fv_err mlp_backward(const fv_block_pass *pass, const fv_block_weights *weights,
                           const fv_block_acts *acts, fv_tensor dx, const fv_block_grads *scratch,
                           const fv_block_weights *grads)
{
    fv_backend *backend = pass->backend;
    int64_t width = pass->shape.intermediate;
    FV_TRY(fv_linear_grad(backend, &(fv_linear_grad_args){.dy = dx,
                                                          .x = acts->y,
                                                          .w = weights->down,
                                                          .dx = scratch->y,
                                                          .dw = grads->down,
                                                          .dbias = grads->down_bias}));
    FV_TRY(fv_swiglu_grad(backend,
                          &(fv_swiglu_grad_args){.dy = scratch->y,
                                                 .gate = fv_tensor_cols(acts->gate_up, 0, width),
                                                 .up = fv_tensor_cols(acts->gate_up, width, width),
                                                 .dgate = fv_tensor_cols(scratch->gate_up, 0, width),
                                                 .dup = fv_tensor_cols(scratch->gate_up, width, width)}));
    FV_TRY(fv_linear_grad(backend, &(fv_linear_grad_args){.dy = scratch->gate_up,
                                                          .x = acts->h2,
                                                          .w = weights->gate_up,
                                                          .dx = scratch->h,
                                                          .dw = grads->gate_up,
                                                          .dbias = grads->gate_up_bias}));
    FV_TRY(fv_all_reduce(backend, &(fv_all_reduce_args){pass->tensor, scratch->h}));
    return fv_norm_grad(backend, &(fv_norm_grad_args){.dy = scratch->h,
                                                      .x = acts->mid,
                                                      .weight = weights->norm2,
                                                      .rstd = acts->rstd2,
                                                      .dx = dx,
                                                      .dweight = grads->norm2,
                                                      .accumulate = 1});
}

static fv_err normalise_qk_grad(const fv_block_pass *pass, const fv_block_weights *weights,
                                const fv_block_acts *acts, const fv_block_grads *scratch,
                                const fv_block_weights *grads)
{
    const fv_block_shape *shape = &pass->shape;
    int64_t n = acts->qkv.dim[0];
    qkv_views raw = views_of(shape, acts->qkv, (fv_tensor){0});
    qkv_views dy = views_of(shape, scratch->qkv, scratch->qk),
              dx = views_of(shape, scratch->qkv, (fv_tensor){0});
    FV_TRY(fv_norm_grad(pass->backend, &(fv_norm_grad_args){.dy = dy.q,
                                                            .x = raw.q,
                                                            .weight = weights->q_norm,
                                                            .rstd = rstd_of(shape, acts->qk_rstd, n, 0),
                                                            .dx = dx.q,
                                                            .dweight = grads->q_norm}));
    return fv_norm_grad(pass->backend, &(fv_norm_grad_args){.dy = dy.k,
                                                            .x = raw.k,
                                                            .weight = weights->k_norm,
                                                            .rstd = rstd_of(shape, acts->qk_rstd, n, 1),
                                                            .dx = dx.k,
                                                            .dweight = grads->k_norm});
}

/* scratch->attn holds the gradient of attn; scratch->qkv receives that of the product. */
static fv_err attend_backward(const fv_block_pass *pass, const fv_block_weights *weights,
                              const fv_block_acts *acts, const fv_block_grads *scratch,
                              const fv_block_weights *grads)
{
    const fv_block_shape *shape = &pass->shape;
    qkv_views in = views_of(shape, acts->qkv, acts->qk), d = views_of(shape, scratch->sums, scratch->qk);
    FV_TRY(fv_fill(pass->backend, &(fv_fill_args){.x = d.k}));
    FV_TRY(fv_fill(pass->backend, &(fv_fill_args){.x = d.v}));
    FV_TRY(fv_attention_grad(pass->backend,
                             &(fv_attention_grad_args){.dout = fv_tensor_heads(scratch->attn, shape->n_heads),
                                                       .out = fv_tensor_heads(acts->attn, shape->n_heads),
                                                       .lse = acts->lse,
                                                       .q = in.q,
                                                       .k = in.k,
                                                       .v = in.v,
                                                       .segments = pass->lists.segments,
                                                       .spans = pass->lists.spans,
                                                       .plan = pass->lists.plan,
                                                       .dq = d.q,
                                                       .dk = d.k,
                                                       .dv = d.v,
                                                       .scale = scale_of(shape),
                                                       .causal = shape->causal,
                                                       .window = shape->window,
                                                       .most_queries = pass->lists.most_queries,
                                                       .most_keys = pass->lists.most_keys}));
    FV_TRY(fv_rope(pass->backend, &(fv_rope_args){.cos = pass->cos,
                                                  .sin = pass->sin,
                                                  .x = queries_and_keys(shape, scratch->sums, scratch->qk),
                                                  .out = queries_and_keys(shape, scratch->qkv, scratch->qk),
                                                  .inverse = 1}));
    FV_TRY(fv_round(pass->backend, d.v, views_of(shape, scratch->qkv, (fv_tensor){0}).v));
    if (!shape->has_qk_norm)
        return FV_OK;
    return normalise_qk_grad(pass, weights, acts, scratch, grads);
}

fv_err fv_block_backward(const fv_block_pass *pass, const fv_block_weights *weights,
                         const fv_block_acts *acts, fv_tensor x, fv_tensor dx, const fv_block_grads *scratch,
                         const fv_block_weights *grads)
{
    fv_backend *backend = pass->backend;
    FV_TRY(mlp_backward(pass, weights, acts, dx, scratch, grads));
    FV_TRY(fv_linear_grad(backend, &(fv_linear_grad_args){.dy = dx,
                                                          .x = acts->attn,
                                                          .w = weights->out,
                                                          .dx = scratch->attn,
                                                          .dw = grads->out,
                                                          .dbias = grads->out_bias}));
    FV_TRY(attend_backward(pass, weights, acts, scratch, grads));
    FV_TRY(fv_linear_grad(backend, &(fv_linear_grad_args){.dy = scratch->qkv,
                                                          .x = acts->h1,
                                                          .w = weights->qkv,
                                                          .dx = scratch->h,
                                                          .dw = grads->qkv,
                                                          .dbias = grads->qkv_bias}));
    FV_TRY(fv_all_reduce(backend, &(fv_all_reduce_args){pass->tensor, scratch->h}));
    return fv_norm_grad(backend, &(fv_norm_grad_args){.dy = scratch->h,
                                                      .x = x,
                                                      .weight = weights->norm1,
                                                      .rstd = acts->rstd1,
                                                      .dx = dx,
                                                      .dweight = grads->norm1,
                                                      .accumulate = 1});
}
