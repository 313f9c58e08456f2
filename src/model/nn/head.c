#include "fovea/model/nn/head.h"

#include "fovea/ops/staging.h"
#include "model/model.h"

/* Statistics chunks of this rank. */
static int64_t n_chunks(const fv_model *model)
{
    return model->chunks / model->tensor->size * fv_model_range_parts(model);
}

static int64_t min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Ids of so many statistics chunks of a range. */
static int64_t width_of(const fv_model *model, int64_t n_parts)
{
    int64_t most = (model->shape.text.vocab + model->chunks - 1) / model->chunks;
    return min(most, n_parts * FV_VOCAB_CHUNK);
}

/* Logits of all ids of this rank, or of a chunk. */
static int is_whole(const fv_model *model, const fv_head_pass *pass)
{
    return pass->logits.dim[1] == fv_model_ids_of(model, model->tensor->rank).n;
}

static fv_err take_rest(const fv_model *model, fv_arena *arena, fv_head_pass *out)
{
    int64_t n = out->targets.dim[0], parts[] = {n_chunks(model), n, FV_VOCAB_FIELDS};
    FV_TRY(fv_tensor_take(arena, FV_F32, 3, parts, &out->own_parts));
    parts[0] *= model->tensor->size;
    FV_TRY(fv_tensor_take(arena, FV_F32, 3, parts, &out->parts));
    FV_TRY(fv_tensor_take(arena, FV_F32, 1, &n, &out->logprob));
    FV_TRY(fv_tensor_take(arena, FV_F32, 1, &n, &out->lse));
    return fv_tensor_take(arena, FV_F32, 1, &n, &out->entropy);
}

/* Ids that the gradient is made of at once. */
static int64_t grad_width(const fv_model *model)
{
    int64_t own = fv_model_ids_of(model, model->tensor->rank).n;
    return own <= FV_VOCAB_CHUNK ? own : width_of(model, 1);
}

/* Logits of that many ids. Their gradient replaces them if products read F32. */
static fv_err take_logits(const fv_model *model, int64_t width, fv_arena *arena, fv_head_pass *out)
{
    int64_t n = out->targets.dim[0];
    FV_TRY(fv_tensor_take(arena, FV_F32, 2, (int64_t[]){n, width}, &out->logits));
    FV_TRY(take_rest(model, arena, out));
    return fv_take_rounded(arena, fv_tensor_cols(out->logits, 0, grad_width(model)), model->text.dtype,
                           &out->dlogits);
}

fv_err fv_head_take(const fv_model *model, int64_t n, int64_t n_excluded, fv_arena *arena, fv_head_pass *out)
{
    FV_TRY(fv_head_take_inputs(n, n_excluded, arena, out));
    return take_logits(model, grad_width(model), arena, out);
}

fv_err fv_head_take_kept(const fv_model *model, int64_t n, int64_t n_excluded, fv_arena *arena,
                         fv_head_pass *out)
{
    FV_TRY(fv_head_take_inputs(n, n_excluded, arena, out));
    return take_logits(model, fv_model_ids_of(model, model->tensor->rank).n, arena, out);
}

fv_err fv_head_take_inputs(int64_t n, int64_t n_excluded, fv_arena *arena, fv_head_pass *out)
{
    *out = (fv_head_pass){0};
    FV_TRY(fv_tensor_take(arena, FV_I32, 1, &n, &out->targets));
    if (n_excluded > 0)
        FV_TRY(fv_tensor_take(arena, FV_I32, 1, &n_excluded, &out->excluded));
    return fv_tensor_take(arena, FV_F32, 1, &n, &out->inv_temperature);
}

/* As many equal cuts of a range as it takes for the logits of one to have no more than that many bytes. */
static int64_t cut_width(const fv_model *model, int64_t n, int64_t bytes)
{
    int64_t parts = fv_model_range_parts(model);
    int64_t most = bytes / ((int64_t)sizeof(float) * FV_VOCAB_CHUNK * n);
    int64_t cuts = most > 0 ? (parts + most - 1) / most : parts;
    return width_of(model, (parts + cuts - 1) / cuts);
}

/* All ids at once or, from some number of rows on, always the same memory: what fits a cache, nearly. */
fv_err fv_head_take_rest(const fv_model *model, fv_arena *arena, fv_head_pass *out)
{
    enum { MOST_BYTES = 64 << 20 };
    int64_t own = fv_model_ids_of(model, model->tensor->rank).n, n = out->targets.dim[0];
    int64_t most = MOST_BYTES / (int64_t)sizeof(float);
    int64_t width = n * own <= most ? own : cut_width(model, n, MOST_BYTES);
    int64_t taken = n * own <= most || n * width > most ? n * width : most;
    FV_TRY(fv_tensor_take(arena, FV_F32, 1, &taken, &out->logits));
    out->logits = fv_tensor_2d(out->logits.data, FV_F32, n, width);
    return take_rest(model, arena, out);
}

/* What is computed at once, all ids of this rank or a chunk, which is some statistics chunks of a range: its
 * rows of the head, its logits, its statistics, its first id. */
typedef struct chunk {
    fv_tensor head, head_grad, logits, dlogits, parts;
    int32_t first;
} chunk;

/* Statistics chunks that there is room for. */
static int64_t parts_together(const fv_head_pass *pass)
{
    return (pass->logits.dim[1] + FV_VOCAB_CHUNK - 1) / FV_VOCAB_CHUNK;
}

static int64_t cuts_of_range(const fv_model *model, const fv_head_pass *pass)
{
    return (fv_model_range_parts(model) + parts_together(pass) - 1) / parts_together(pass);
}

static int64_t n_together(const fv_model *model, const fv_head_pass *pass)
{
    return is_whole(model, pass) ? 1
                                 : n_chunks(model) / fv_model_range_parts(model) * cuts_of_range(model, pass);
}

static chunk chunk_of(const fv_model *model, const fv_head_pass *pass, fv_tensor head_grad, int64_t i)
{
    int64_t parts = fv_model_range_parts(model), cuts = cuts_of_range(model, pass);
    int64_t range = i / cuts, part = i % cuts * parts_together(pass), at = part * FV_VOCAB_CHUNK;
    fv_id_range own = fv_model_ids_of(model, model->tensor->rank);
    fv_id_range ids = fv_model_range(model, model->tensor->rank * n_chunks(model) / parts + range);
    int64_t n = min(ids.n > at ? ids.n - at : 0, parts_together(pass) * FV_VOCAB_CHUNK);
    int64_t first = n ? ids.first + at : own.first;
    if (is_whole(model, pass)) {
        first = own.first;
        n = own.n;
    }
    return (chunk){.head = fv_tensor_rows(model->weights.head, first - own.first, n),
                   .head_grad = head_grad.data ? fv_tensor_rows(head_grad, first - own.first, n) : head_grad,
                   .logits = fv_tensor_cols(pass->logits, 0, n),
                   .dlogits = fv_tensor_cols(pass->dlogits, 0, n),
                   .parts = fv_tensor_rows(pass->own_parts, range * parts + part,
                                           min(parts_together(pass), parts - part)),
                   .first = (int32_t)first};
}

static fv_err merge(fv_model *model, fv_head_pass *pass, fv_tensor target)
{
    return fv_vocab_merge(model->backend, &(fv_vocab_merge_args){.parts = pass->parts,
                                                                 .target = target,
                                                                 .logprob = pass->logprob,
                                                                 .lse = pass->lse,
                                                                 .entropy = pass->entropy});
}

/* These ids' share of the draws, lower ids first. */
static fv_err draw(fv_model *model, fv_head_pass *pass, fv_tensor logits, int64_t first,
                   const fv_head_draws *draws)
{
    return fv_sample(
        model->backend,
        &(fv_sample_args){.logits = logits,
                          .inv_temperature = pass->inv_temperature,
                          .draws = draws->draws,
                          .excluded = pass->excluded,
                          .value = draws->value,
                          .z = draws->z,
                          .ids = pass->targets,
                          .first = (int32_t)first,
                          .accumulate = first != fv_model_ids_of(model, model->tensor->rank).first});
}

static fv_err add_stats(fv_model *model, const fv_head_pass *pass, fv_tensor logits, int64_t first,
                        fv_tensor parts, int has_targets)
{
    return fv_vocab_stats(model->backend,
                          &(fv_vocab_stats_args){.logits = logits,
                                                 .inv_temperature = pass->inv_temperature,
                                                 .targets = has_targets ? pass->targets : (fv_tensor){0},
                                                 .excluded = pass->excluded,
                                                 .first = (int32_t)first,
                                                 .parts = parts});
}

static fv_err scan_chunks(fv_model *model, fv_head_pass *pass, fv_tensor hidden, const fv_head_draws *draws)
{
    for (int64_t i = 0; i < n_together(model, pass); i++) {
        chunk c = chunk_of(model, pass, (fv_tensor){0}, i);
        FV_TRY(fv_linear(model->backend, hidden, c.head, (fv_tensor){0}, c.logits));
        FV_TRY(add_stats(model, pass, c.logits, c.first, c.parts, !draws));
        if (draws && (c.logits.dim[1] > 0 || i == 0))
            FV_TRY(draw(model, pass, c.logits, c.first, draws));
    }
    return FV_OK;
}

/* All ids of this rank at once, where there is room for so many logits. */
static fv_err scan_whole(fv_model *model, fv_head_pass *pass, fv_tensor hidden, const fv_head_draws *draws)
{
    int64_t parts = fv_model_range_parts(model), n_ranges = n_chunks(model) / parts;
    fv_id_range own = fv_model_ids_of(model, model->tensor->rank);
    FV_TRY(fv_linear(model->backend, hidden, model->weights.head, (fv_tensor){0}, pass->logits));
    for (int64_t range = 0; range < n_ranges; range++) {
        fv_id_range ids = fv_model_range(model, model->tensor->rank * n_ranges + range);
        FV_TRY(add_stats(model, pass, fv_tensor_cols(pass->logits, ids.first - own.first, ids.n), ids.first,
                         fv_tensor_rows(pass->own_parts, range * parts, parts), !draws));
    }
    return draws ? draw(model, pass, pass->logits, own.first, draws) : FV_OK;
}

/* Statistics of this rank's ids, of the targets or, with draws, beside them; then those of all ranks. */
static fv_err scan(fv_model *model, fv_head_pass *pass, fv_tensor hidden, const fv_head_draws *draws)
{
    FV_TRY((is_whole(model, pass) ? scan_whole : scan_chunks)(model, pass, hidden, draws));
    return fv_all_gather(model->backend, &(fv_all_gather_args){model->tensor, pass->own_parts, pass->parts});
}

fv_err fv_head_forward(fv_model *model, fv_head_pass *pass, fv_tensor hidden, const int32_t *targets,
                       const int32_t *excluded, float inv_temperature)
{
    fv_backend *backend = model->backend;
    const fv_upload_part parts[] = {{pass->targets, targets}, {pass->excluded, excluded}};
    FV_TRY(fv_upload_parts(backend, parts, 2));
    FV_TRY(fv_fill(backend, &(fv_fill_args){.x = pass->inv_temperature, .value = inv_temperature}));
    return fv_head_look(model, pass, hidden);
}

fv_err fv_head_look(fv_model *model, fv_head_pass *pass, fv_tensor hidden)
{
    FV_TRY(scan(model, pass, hidden, NULL));
    return merge(model, pass, (fv_tensor){0});
}

fv_err fv_head_draw(fv_model *model, fv_head_pass *pass, fv_tensor hidden, const fv_head_draws *draws)
{
    FV_TRY(scan(model, pass, hidden, draws));
    FV_TRY(fv_all_best(model->backend,
                       &(fv_all_best_args){model->tensor, draws->value, draws->z, pass->targets}));
    return merge(model, pass, draws->z);
}

fv_err fv_head_draws_take(int64_t n, fv_arena *arena, fv_head_draws *out)
{
    FV_TRY(fv_tensor_take(arena, FV_F32, 1, &n, &out->value));
    return fv_tensor_take(arena, FV_F32, 1, &n, &out->z);
}

fv_err fv_head_from_logits(fv_model *model, fv_head_pass *pass, fv_tensor logits)
{
    int64_t parts = fv_model_range_parts(model);
    for (int64_t range = 0; range < model->chunks; range++) {
        fv_id_range ids = fv_model_range(model, range);
        FV_TRY(fv_vocab_stats(
            model->backend,
            &(fv_vocab_stats_args){.logits = fv_tensor_cols(logits, ids.first, ids.n),
                                   .inv_temperature = pass->inv_temperature,
                                   .targets = pass->targets,
                                   .excluded = pass->excluded,
                                   .first = (int32_t)ids.first,
                                   .parts = fv_tensor_rows(pass->parts, range * parts, parts)}));
    }
    return merge(model, pass, (fv_tensor){0});
}

/* Logits of a chunk, out of those that were kept, or made again. */
static fv_err logits_of(fv_model *model, const fv_head_pass *pass, fv_tensor hidden, chunk *c)
{
    int64_t first = c->first - fv_model_ids_of(model, model->tensor->rank).first;
    if (!is_whole(model, pass))
        return fv_linear(model->backend, hidden, c->head, (fv_tensor){0}, c->logits);
    c->logits = fv_tensor_cols(pass->logits, first, c->logits.dim[1]);
    if (c->dlogits.dtype == FV_F32)
        c->dlogits = c->logits;
    return FV_OK;
}

fv_err fv_head_backward(fv_model *model, const fv_head_pass *pass, const fv_head_grad_args *args,
                        fv_weights *grads)
{
    fv_backend *backend = model->backend;
    fv_head_pass part = *pass;
    part.logits = fv_tensor_cols(pass->logits, 0, grad_width(model));
    for (int64_t i = 0; i < n_together(model, &part); i++) {
        chunk c = chunk_of(model, &part, grads->head, i);
        FV_TRY(logits_of(model, pass, args->hidden, &c));
        FV_TRY(fv_vocab_grad(
            backend, &(fv_vocab_grad_args){.inv_temperature = pass->inv_temperature,
                                           .targets = pass->targets,
                                           .excluded = pass->excluded,
                                           .lse = pass->lse,
                                           .dlogprob = args->dlogprob,
                                           .entropy = args->dentropy.data ? pass->entropy : (fv_tensor){0},
                                           .dentropy = args->dentropy,
                                           .logits = c.logits,
                                           .dlogits = c.dlogits,
                                           .first = c.first}));
        FV_TRY(fv_linear_grad(backend, &(fv_linear_grad_args){.dy = c.dlogits,
                                                              .x = args->hidden,
                                                              .w = c.head,
                                                              .dx = args->dhidden,
                                                              .dw = c.head_grad,
                                                              .accumulate = i > 0}));
    }
    return fv_all_reduce(backend, &(fv_all_reduce_args){model->tensor, args->dhidden});
}
