/* The text decoder: embedding, image features put in their places, blocks, final norm. */
#include "fovea/ops/staging.h"
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

struct fv_text_pass {
    fv_model *model;
    fv_save save;
    const fv_key_store *store; /* of the forward pass under way */
    fv_tensor ids;             /* I32 (T): -1 at image tokens, whose rows come from the features */
    fv_tensor positions;       /* I32 (3, T) */
    fv_tensor rates, cos, sin; /* F64 (D / 2), (T, D / 2) */
    fv_block_lists lists;
    fv_tensor slots;        /* I32 (T), absent without a cache */
    fv_tensor feature_rows; /* I32 (n_features): rows of the image tokens */
    fv_tensor rstd, hidden; /* (T), (T, C) of the final norm */
    fv_tensor dpicked;      /* (n_features, C): gradients of their rows; absent if activations are F32 */
    fv_stack stack;
    double rate[]; /* (D / 2): what is uploaded to rates */
};

fv_err fv_text_pass_create(fv_model *model, fv_text_pass **out)
{
    const fv_text_shape *shape = &model->shape.text;
    *out = calloc(1, sizeof **out + (size_t)(shape->head_dim / 2) * sizeof *(*out)->rate);
    FV_CHECK(*out, FV_ERR_MEMORY, "cannot allocate a pass of the text decoder");
    (*out)->model = model;
    fv_rope_rates(shape, (*out)->rate);
    return FV_OK;
}

void fv_text_pass_destroy(fv_text_pass *pass)
{
    free(pass);
}

static fv_err take_i32(fv_arena *arena, int64_t rows, int64_t cols, fv_tensor *out)
{
    return fv_tensor_take(arena, FV_I32, cols == 1 ? 1 : 2, (int64_t[]){rows, cols}, out);
}

/* In this order in memory: a run that leaves room for spans ends with those that it has. */
static fv_err take_parts(fv_text_pass *pass, const fv_token_run *tokens, fv_arena *arena)
{
    int64_t n = tokens->n, half = pass->model->shape.text.head_dim / 2;
    int64_t n_spans = tokens->max_spans > 0 ? tokens->max_spans : tokens->n_spans;
    pass->slots = pass->feature_rows = (fv_tensor){0};
    FV_TRY(take_i32(arena, n, 1, &pass->ids));
    FV_TRY(fv_tensor_take(arena, FV_I32, 2, (int64_t[]){3, n}, &pass->positions));
    FV_TRY(fv_tensor_take(arena, FV_F64, 1, &half, &pass->rates));
    FV_TRY(take_i32(arena, tokens->n_segments, FV_SEGMENT_FIELDS, &pass->lists.segments));
    if (tokens->slots)
        FV_TRY(take_i32(arena, n, 1, &pass->slots));
    if (tokens->n_features > 0)
        FV_TRY(take_i32(arena, tokens->n_features, 1, &pass->feature_rows));
    return take_i32(arena, n_spans, FV_SPAN_FIELDS, &pass->lists.spans);
}

fv_err fv_text_take(fv_text_pass *pass, const fv_token_run *tokens, fv_save save, fv_arena *arena)
{
    const fv_text_shape *shape = &pass->model->shape.text;
    int64_t n = tokens->n, table[] = {n, shape->head_dim / 2};
    pass->save = save;
    FV_TRY(take_parts(pass, tokens, arena));
    FV_TRY(fv_tensor_take(arena, FV_F32, 2, table, &pass->cos));
    FV_TRY(fv_tensor_take(arena, FV_F32, 2, table, &pass->sin));
    FV_TRY(fv_block_plan_take(pass->model->backend, &pass->model->text, n, arena, &pass->lists));
    pass->dpicked = (fv_tensor){0};
    if (save != FV_SAVE_NONE && tokens->n_features > 0 && pass->model->text.dtype != FV_F32)
        FV_TRY(fv_tensor_take(arena, pass->model->text.dtype, 2,
                              (int64_t[]){tokens->n_features, shape->hidden}, &pass->dpicked));
    FV_TRY(fv_tensor_take(arena, FV_F32, 1, &n, &pass->rstd));
    FV_TRY(fv_tensor_take(arena, pass->model->text.dtype, 2, (int64_t[]){n, shape->hidden}, &pass->hidden));
    const fv_stack_size size = {shape->n_layers, pass->model->tensor->size, n, save};
    return fv_stack_take(&pass->stack, &pass->model->text, &size, arena);
}

static fv_err check_ids(const fv_model_shape *shape, const fv_token_run *tokens)
{
    for (int64_t i = 0; i < tokens->n; i++)
        FV_CHECK(tokens->ids[i] >= 0 && tokens->ids[i] < shape->text.vocab, FV_ERR_ARGUMENT,
                 "token %lld has the id %d, outside the vocabulary of %d", (long long)i, tokens->ids[i],
                 shape->text.vocab);
    return FV_OK;
}

/* Ids for the embedding with -1 at image tokens, and the rows of those. */
static fv_err split_ids(const fv_model_shape *shape, const fv_token_run *tokens, int32_t *ids, int32_t *rows)
{
    int64_t n_rows = 0;
    FV_TRY(check_ids(shape, tokens));
    for (int64_t i = 0; i < tokens->n; i++) {
        int is_image = tokens->n_features > 0 && tokens->ids[i] == shape->image_id;
        ids[i] = is_image ? -1 : tokens->ids[i];
        if (is_image)
            rows[n_rows++] = (int32_t)i;
    }
    FV_CHECK(n_rows == tokens->n_features, FV_ERR_ARGUMENT,
             "%lld image tokens for %lld rows of image features", (long long)n_rows,
             (long long)tokens->n_features);
    return FV_OK;
}

/* As attention wants to know it: a token of every sequence, say. */
static int most_queries(const fv_token_run *tokens)
{
    int most = 0;
    for (int64_t i = 0; i < tokens->n_segments; i++) {
        int n = tokens->segments[i * FV_SEGMENT_FIELDS + 1];
        most = n > most ? n : most;
    }
    return most;
}

fv_err fv_text_parts(fv_text_pass *pass, const fv_token_run *tokens, fv_upload_part parts[FV_TEXT_PARTS])
{
    size_t n = (size_t)tokens->n;
    void *staging;
    FV_TRY(fv_model_stage(pass->model, 2 * n * sizeof(int32_t), &staging));
    int32_t *ids = staging, *rows = ids + n;
    FV_TRY(split_ids(&pass->model->shape, tokens, ids, rows));
    pass->lists.most_queries = most_queries(tokens);
    const fv_upload_part own[FV_TEXT_PARTS] = {
        {pass->ids, ids},
        {pass->positions, tokens->positions},
        {pass->rates, pass->rate},
        {pass->lists.segments, tokens->segments},
        {pass->slots, tokens->slots},
        {pass->feature_rows, rows},
        {fv_tensor_rows(pass->lists.spans, 0, tokens->n_spans), tokens->spans},
    };
    memcpy(parts, own, sizeof own);
    return FV_OK;
}

static int32_t first_id(const fv_model *model)
{
    return (int32_t)fv_model_ids_of(model, model->tensor->rank).first;
}

/* Exact: one rank has a number to add. */
static fv_err sum_embeddings(const fv_text_pass *pass, fv_tensor x)
{
    fv_backend *backend = pass->model->backend;
    fv_tensor part = pass->stack.part.data ? pass->stack.part : x;
    if (pass->model->tensor->size == 1)
        return FV_OK;
    FV_TRY(fv_round(backend, x, part));
    FV_TRY(fv_all_reduce(backend, &(fv_all_reduce_args){pass->model->tensor, part}));
    return fv_round(backend, part, x);
}

static fv_err make_angles(const fv_text_pass *pass)
{
    const fv_text_shape *shape = &pass->model->shape.text;
    const int *sections = shape->mrope_section;
    return fv_rope_angles(pass->model->backend,
                          &(fv_rope_angles_args){.positions = pass->positions,
                                                 .rates = pass->rates,
                                                 .cos = pass->cos,
                                                 .sin = pass->sin,
                                                 .sections = {sections[0], sections[1], sections[2]},
                                                 .scale = fv_rope_scale(shape)});
}

static fv_err embed(fv_text_pass *pass, fv_tensor features)
{
    fv_model *model = pass->model;
    fv_tensor x = pass->stack.x[0];
    FV_TRY(fv_gather(model->backend, &(fv_gather_args){.table = model->weights.embed,
                                                       .index = pass->ids,
                                                       .out = x,
                                                       .first = first_id(model)}));
    FV_TRY(sum_embeddings(pass, x));
    if (!pass->feature_rows.data)
        return FV_OK;
    return fv_scatter(model->backend,
                      &(fv_scatter_args){.in = features, .index = pass->feature_rows, .table = x});
}

static fv_block_setup setup_of(const void *context, int i)
{
    const fv_text_pass *pass = context;
    fv_block_setup setup = {.lists = pass->lists};
    if (pass->store) {
        setup.keys = pass->store->keys[i];
        setup.values = pass->store->values[i];
    }
    return setup;
}

static fv_stack_run run_of(const fv_text_pass *pass)
{
    const fv_model *model = pass->model;
    return (fv_stack_run){.pass = {.backend = model->backend,
                                   .tensor = model->tensor,
                                   .shape = model->text,
                                   .cos = pass->cos,
                                   .sin = pass->sin,
                                   .slots = pass->slots},
                          .weights = model->weights.text,
                          .setup = setup_of,
                          .context = pass};
}

fv_err fv_text_forward(fv_text_pass *pass, const fv_token_run *tokens, fv_tensor features,
                       const fv_key_store *store, fv_tensor *hidden)
{
    fv_upload_part parts[FV_TEXT_PARTS];
    FV_TRY(fv_text_parts(pass, tokens, parts));
    FV_TRY(fv_upload_parts(pass->model->backend, parts, FV_TEXT_PARTS));
    return fv_text_compute(pass, features, store, hidden);
}

fv_err fv_text_compute(fv_text_pass *pass, fv_tensor features, const fv_key_store *store, fv_tensor *hidden)
{
    fv_model *model = pass->model;
    pass->store = pass->slots.data ? store : NULL;
    FV_TRY(make_angles(pass));
    FV_TRY(fv_block_plan(model->backend, &model->text, pass->ids.dim[0], &pass->lists));
    FV_TRY(embed(pass, features));
    fv_stack_run run = run_of(pass);
    FV_TRY(fv_stack_forward(&pass->stack, &run));
    fv_tensor out = pass->stack.x[pass->stack.n_blocks];
    FV_TRY(fv_norm(model->backend, &(fv_norm_args){.x = out,
                                                   .residual = fv_stack_mid(&pass->stack),
                                                   .weight = model->weights.norm,
                                                   .sum = out,
                                                   .y = pass->hidden,
                                                   .rstd = pass->rstd,
                                                   .eps = model->shape.text.norm_eps}));
    *hidden = pass->hidden;
    return FV_OK;
}

/* The rows of image tokens, in fp32. */
static fv_err give_dfeatures(const fv_text_pass *pass, fv_tensor dx, fv_tensor dfeatures)
{
    fv_backend *backend = pass->model->backend;
    fv_tensor picked = pass->dpicked.data ? pass->dpicked : dfeatures;
    FV_TRY(fv_gather(backend, &(fv_gather_args){.table = dx, .index = pass->feature_rows, .out = picked}));
    return fv_round(backend, picked, dfeatures);
}

fv_err fv_text_backward(fv_text_pass *pass, fv_tensor dhidden, fv_tensor dfeatures, fv_weights *grads)
{
    fv_model *model = pass->model;
    FV_CHECK(pass->save != FV_SAVE_NONE, FV_ERR_ARGUMENT,
             "a backward pass after a forward pass that saved nothing");
    /* The final norm's gradient replaces hidden, which nobody needs any more. */
    fv_tensor dx = pass->hidden;
    FV_TRY(fv_norm_grad(model->backend, &(fv_norm_grad_args){.dy = dhidden,
                                                             .x = pass->stack.x[pass->stack.n_blocks],
                                                             .weight = model->weights.norm,
                                                             .rstd = pass->rstd,
                                                             .dx = dx,
                                                             .dweight = grads->norm}));
    fv_stack_run run = run_of(pass);
    FV_TRY(fv_stack_backward(&pass->stack, &run, dx, grads->text));
    if (pass->feature_rows.data && dfeatures.data)
        FV_TRY(give_dfeatures(pass, dx, dfeatures));
    return fv_scatter_add(model->backend,
                          &(fv_scatter_add_args){
                              .in = dx, .index = pass->ids, .table = grads->embed, .first = first_id(model)});
}
