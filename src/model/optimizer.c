/* A step: the gradients of all ranks are added up so that each has the sum of its share; their norm is one
 * number, which stays on the device and clips them there; AdamW moves the master of the share; the weights
 * are given from each share to all ranks. The host waits once, at the end, for the norm. */
#include "model/optimizer_internal.h"
#include "fovea/ops/staging.h"
#include "model/model.h"

#include <math.h>
#include <stdlib.h>

/* The elements of parameter i that lie in this rank's share: how many, and in *first the first of them in the
 * share. */
static int64_t held_of(const fv_optimizer *o, int i, int64_t *first)
{
    const fv_layout *layout = fv_model_layout(o->model);
    const fv_param_part part = fv_param_part_of(&layout->params.items[i], layout->rank, layout->n_ranks);
    int64_t begin = layout->offset[i] - o->first, end = begin + part.rows * part.cols;
    begin = begin < 0 ? 0 : begin;
    end = end < o->n ? end : o->n;
    *first = begin;
    return end < begin ? 0 : end - begin;
}

enum { PIECE = 1 << 18 /* elements */ };

static fv_err take_master(fv_optimizer *o, fv_arena *arena)
{
    const int64_t piece = PIECE;
    if (fv_model_weights(o->model)->flat.dtype == FV_F32 || fv_state_waits(o, FV_STATE_MASTER))
        return FV_OK;
    if (o->settings.master == FV_MASTER_WHOLE)
        return fv_tensor_take(arena, FV_F32, 1, &o->n, &o->master);
    FV_TRY(fv_tensor_take(arena, FV_U16, 1, &o->n, &o->low));
    return fv_tensor_take(arena, FV_F32, 1, &piece, &o->piece);
}

static fv_err take_tensors(void *context, fv_arena *arena)
{
    fv_optimizer *o = context;
    const int64_t one = 1, segments[] = {fv_model_layout(o->model)->params.n, 2};
    FV_TRY(take_master(o, arena));
    if (!fv_state_waits(o, FV_STATE_M)) {
        FV_TRY(fv_tensor_take(arena, fv_optimizer_dtype(o, FV_STATE_M), 1, &o->n, &o->m));
        FV_TRY(fv_tensor_take(arena, fv_optimizer_dtype(o, FV_STATE_V), 1, &o->n, &o->v));
    }
    FV_TRY(fv_state_slots_take(o, arena));
    FV_TRY(fv_tensor_take(arena, FV_I64, 2, segments, &o->segments));
    FV_TRY(fv_tensor_take(arena, FV_F64, 1, &one, &o->sum));
    return fv_tensor_take(arena, FV_F32, 1, &one, &o->scale);
}

/* A parameter that several ranks of the tensor group hold counts once in the norm. */
static fv_err set_segments(fv_optimizer *o)
{
    const fv_param_list *params = &fv_model_layout(o->model)->params;
    int64_t *host = calloc((size_t)params->n, 2 * sizeof *host);
    FV_CHECK(host, FV_ERR_MEMORY, "cannot allocate a list of %d parameters", params->n);
    for (int i = 0; i < params->n; i++)
        if (fv_model_counts(o->model, &params->items[i]))
            host[2 * i + 1] = held_of(o, i, &host[2 * i]);
    fv_err err = fv_upload_array(fv_model_backend(o->model), o->segments, host);
    free(host);
    return err;
}

/* Of a piece: moments are zero, masters the weights as they are, of which nothing is missing. */
static fv_err begin(void *context, const fv_state_piece *piece)
{
    fv_optimizer *o = context;
    fv_backend *backend = fv_model_backend(o->model);
    FV_TRY(fv_fill(backend, &(fv_fill_args){.x = piece->m}));
    FV_TRY(fv_fill(backend, &(fv_fill_args){.x = piece->v}));
    if (piece->low.data) /* zeros of any dtype */
        return fv_fill(backend, &(fv_fill_args){.x = fv_tensor_1d(piece->low.data, FV_F32, piece->n / 2)});
    fv_tensor weights = fv_tensor_rows(fv_model_weights(o->model)->flat, o->first + piece->first, piece->n);
    if (weights.dtype == FV_F32)
        return FV_OK;
    return fv_cast(backend, &(fv_cast_args){weights, piece->master});
}

static fv_err begin_all(fv_optimizer *o)
{
    fv_tensor weights = fv_tensor_rows(fv_model_weights(o->model)->flat, o->first, o->n);
    if (weights.dtype == FV_F32)
        o->master = weights;
    return o->slots ? fv_state_host_init(o, begin, o) : fv_state_visit(o, 0, o->n, begin, o);
}

static fv_err init(fv_optimizer *o)
{
    fv_tensor weights = fv_tensor_rows(fv_model_weights(o->model)->flat, o->first, o->n);
    fv_backend *backend = fv_model_backend(o->model);
    const fv_layout *layout = fv_model_layout(o->model);
    FV_CHECK(layout->n_flat == o->n * o->data->size, FV_ERR_INTERNAL,
             "the model was opened for %lld data ranks, and is trained by %d",
             (long long)(layout->n_flat / o->n), o->data->size);
    FV_CHECK(layout->n_elements > o->n * (o->data->size - 1), FV_ERR_ARGUMENT,
             "%d data ranks cannot share %lld weights: take fewer", o->data->size,
             (long long)layout->n_elements);
    FV_CHECK(weights.dtype != FV_F32 || o->settings.master == FV_MASTER_WHOLE, FV_ERR_ARGUMENT,
             "optimizer.master: split is of bf16 weights; fp32 weights are their own masters: take whole");
    FV_CHECK(o->settings.on_host != FV_ON_HOST_ALL || o->settings.master == FV_MASTER_WHOLE, FV_ERR_ARGUMENT,
             "optimizer.on_host: all is of whole masters: take optimizer.master: whole, or on_host: moments");
    FV_TRY(fv_state_slots_create(o));
    FV_TRY(fv_workspace_fit(&o->memory, backend, take_tensors, o));
    FV_TRY(begin_all(o));
    return set_segments(o);
}

fv_err fv_optimizer_init(fv_optimizer *o, fv_model *model, fv_comm *data,
                         const fv_optimizer_settings *settings)
{
    const fv_layout *layout = fv_model_layout(model);
    *o = (fv_optimizer){.model = model,
                        .data = data,
                        .settings = *settings,
                        .first = layout->share * data->rank,
                        .n = layout->share,
                        .memory = {.name = "optimizer"}};
    o->held = data->rank < data->size - 1 ? o->n : layout->n_elements - o->first;
    fv_err err = init(o);
    if (err != FV_OK)
        fv_optimizer_fini(o);
    return err;
}

fv_err fv_optimizer_bytes(fv_model *model, int n_ranks, const fv_optimizer_settings *settings, size_t *device,
                          size_t *host)
{
    fv_optimizer o = {.model = model, .settings = *settings, .n = fv_model_layout(model)->n_flat / n_ranks};
    fv_arena dry = fv_arena_dry("optimizer");
    *host = 0;
    fv_err err = fv_state_slots_create(&o);
    if (err == FV_OK)
        err = take_tensors(&o, &dry);
    for (fv_state_part part = 0; part < FV_STATE_PARTS; part++)
        if (fv_state_waits(&o, part))
            *host += (size_t)o.n * fv_dtype_bytes(fv_optimizer_dtype(&o, part));
    fv_state_slots_destroy(&o);
    *device = dry.peak;
    return err;
}

void fv_optimizer_fini(fv_optimizer *o)
{
    fv_state_slots_destroy(o);
    fv_workspace_fini(&o->memory);
    *o = (fv_optimizer){0};
}

/* The sum of all data ranks' gradients: in *share, elements of this rank's. */
static fv_err reduce(fv_optimizer *o, fv_weights *grads, fv_tensor *share)
{
    *share = fv_tensor_rows(grads->flat, o->first, o->n);
    FV_TRY(fv_model_reduce_grads(o->model, grads));
    if (o->data->size == 1)
        return FV_OK;
    return fv_reduce_scatter(fv_model_backend(o->model),
                             &(fv_reduce_scatter_args){o->data, grads->flat, *share});
}

/* sum = the square of the norm over all ranks, scale = what clips it. */
static fv_err measure(fv_optimizer *o, fv_tensor share)
{
    fv_backend *backend = fv_model_backend(o->model);
    FV_TRY(fv_sumsq(backend, &(fv_sumsq_args){share, o->segments, o->sum}));
    FV_TRY(fv_all_reduce(backend, &(fv_all_reduce_args){o->data, o->sum}));
    FV_TRY(fv_all_reduce(backend, &(fv_all_reduce_args){fv_model_tensor(o->model), o->sum}));
    return fv_clip(backend, &(fv_clip_args){o->sum, o->scale, o->settings.clip});
}

/* Where elements from the first of the part on lie in the whole parameter. */
static fv_part_place place_of(const fv_param *param, const fv_param_part *part)
{
    fv_part_place place = {.cols = part->cols, .block_rows = part->n, .whole_cols = param->cols};
    if (param->split_dim == 1) {
        place.block_rows = part->rows;
        place.first_col = part->first;
    } else {
        place.first_row = part->first;
        place.block_stride = part->stride;
    }
    return place;
}

/* A step under way. */
typedef struct moving {
    fv_optimizer *o;
    fv_tensor share; /* of the gradient */
    fv_adamw_args args;
} moving;

/* What the piece has of parameter i. */
static fv_err move_param(const moving *all, const fv_state_piece *piece, int i)
{
    const fv_optimizer *o = all->o;
    const fv_layout *layout = fv_model_layout(o->model);
    const fv_param *param = &layout->params.items[i];
    const fv_param_part part = fv_param_part_of(param, layout->rank, layout->n_ranks);
    fv_tensor weights = fv_model_weights(o->model)->flat;
    int64_t first, n = held_of(o, i, &first), end = first + n;
    first = first > piece->first ? first : piece->first;
    end = end < piece->first + piece->n ? end : piece->first + piece->n;
    n = end - first;
    if (n <= 0)
        return FV_OK;
    fv_adamw_args args = all->args;
    int64_t at = first - piece->first;
    args.grad = fv_tensor_rows(all->share, first, n);
    args.param = fv_rows_if(piece->master, at, n);
    if (weights.dtype != FV_F32)
        args.weight = fv_tensor_rows(weights, o->first + first, n);
    args.low = fv_rows_if(piece->low, at, n);
    args.m = fv_tensor_rows(piece->m, at, n);
    args.v = fv_tensor_rows(piece->v, at, n);
    args.weight_decay *= o->settings.decay_all || param->init == FV_INIT_LINEAR;
    args.tensor = (uint64_t)i;
    args.first = o->first + first - layout->offset[i];
    args.place = place_of(param, &part);
    return fv_adamw(fv_model_backend(o->model), &args);
}

/* A parameter is moved alone, for decay is its own. Between parameters there is nothing to move. */
static fv_err move_piece(void *context, const fv_state_piece *piece)
{
    const moving *all = context;
    for (int i = 0; i < fv_model_layout(all->o->model)->params.n; i++)
        FV_TRY(move_param(all, piece, i));
    return FV_OK;
}

static fv_err move(fv_optimizer *o, fv_tensor share, float lr)
{
    const fv_optimizer_settings *settings = &o->settings;
    moving all = {.o = o,
                  .share = share,
                  .args = {.scale = o->scale,
                           .step = o->step + 1,
                           .lr = lr,
                           .beta1 = settings->beta1,
                           .beta2 = settings->beta2,
                           .eps = settings->eps,
                           .weight_decay = settings->weight_decay,
                           .seed = settings->seed}};
    return fv_state_visit(o, 0, o->n, move_piece, &all);
}

fv_err fv_optimizer_step(fv_optimizer *o, fv_weights *grads, float lr, double *norm)
{
    fv_tensor share;
    double sum;
    FV_TRY(reduce(o, grads, &share));
    FV_TRY(measure(o, share));
    FV_TRY(move(o, share, lr));
    FV_TRY(fv_optimizer_publish(o));
    FV_TRY(fv_download_now(fv_model_backend(o->model), o->sum, &sum));
    *norm = sqrt(sum);
    FV_CHECK(isfinite(*norm), FV_ERR_NUMERIC, "the norm of the gradient is %g at step %d", *norm,
             o->step + 1);
    o->step++;
    return FV_OK;
}
