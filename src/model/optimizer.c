/* A step: the gradients of all ranks are added up so that each has the sum of its share; their norm is one
 * number, which stays on the device and clips them there; AdamW moves the master of the share; the weights
 * are given from each share to all ranks. The host waits once, at the end, for the norm. */
#include "fovea/model/optimizer.h"
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

static fv_err take(void *context, fv_arena *arena)
{
    fv_optimizer *o = context;
    const int64_t one = 1, segments[] = {fv_model_layout(o->model)->params.n, 2};
    FV_TRY(fv_tensor_take(arena, FV_F32, 1, &o->n, &o->m));
    FV_TRY(fv_tensor_take(arena, FV_F32, 1, &o->n, &o->v));
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

static fv_err init(fv_optimizer *o)
{
    fv_backend *backend = fv_model_backend(o->model);
    const fv_layout *layout = fv_model_layout(o->model);
    FV_CHECK(layout->n_flat == o->n * o->data->size, FV_ERR_INTERNAL,
             "the model was opened for %lld data ranks, and is trained by %d",
             (long long)(layout->n_flat / o->n), o->data->size);
    FV_CHECK(layout->n_elements > o->n * (o->data->size - 1), FV_ERR_ARGUMENT,
             "%d data ranks cannot share %lld weights: take fewer", o->data->size,
             (long long)layout->n_elements);
    FV_TRY(fv_workspace_fit(&o->memory, backend, take, o));
    FV_TRY(fv_fill(backend, &(fv_fill_args){.x = o->m}));
    FV_TRY(fv_fill(backend, &(fv_fill_args){.x = o->v}));
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
    o->master = fv_tensor_rows(fv_model_weights(model)->flat, o->first, o->n);
    fv_err err = init(o);
    if (err != FV_OK)
        fv_optimizer_fini(o);
    return err;
}

void fv_optimizer_fini(fv_optimizer *o)
{
    fv_workspace_fini(&o->memory);
    *o = (fv_optimizer){0};
}

fv_err fv_optimizer_copy_master(const fv_optimizer *o, float *out)
{
    return fv_download(fv_model_backend(o->model), FV_STREAM_COMPUTE, fv_tensor_rows(o->master, 0, o->held),
                       out);
}

fv_err fv_optimizer_read_master(const fv_optimizer *o, int64_t first, int64_t n, float *out)
{
    return fv_download_now(fv_model_backend(o->model), fv_tensor_rows(o->master, first, n), out);
}

fv_err fv_optimizer_write_master(fv_optimizer *o, int64_t first, int64_t n, const float *in)
{
    return fv_upload_array(fv_model_backend(o->model), fv_tensor_rows(o->master, first, n), in);
}

fv_err fv_optimizer_publish(fv_optimizer *o)
{
    if (o->data->size == 1)
        return FV_OK;
    return fv_all_gather(fv_model_backend(o->model),
                         &(fv_all_gather_args){o->data, o->master, fv_model_weights(o->model)->flat});
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

/* A parameter is moved alone, for decay is its own. Between parameters there is nothing to move. */
static fv_err move(fv_optimizer *o, fv_tensor share, float lr)
{
    const fv_optimizer_settings *settings = &o->settings;
    const fv_param_list *params = &fv_model_layout(o->model)->params;
    for (int i = 0; i < params->n; i++) {
        int64_t first, n = held_of(o, i, &first);
        int decays = settings->decay_all || params->items[i].init == FV_INIT_LINEAR;
        const fv_adamw_args args = {.grad = fv_tensor_rows(share, first, n),
                                    .scale = o->scale,
                                    .param = fv_tensor_rows(o->master, first, n),
                                    .m = fv_tensor_rows(o->m, first, n),
                                    .v = fv_tensor_rows(o->v, first, n),
                                    .step = o->step + 1,
                                    .lr = lr,
                                    .beta1 = settings->beta1,
                                    .beta2 = settings->beta2,
                                    .eps = settings->eps,
                                    .weight_decay = decays ? settings->weight_decay : 0};
        if (n > 0)
            FV_TRY(fv_adamw(fv_model_backend(o->model), &args));
    }
    return FV_OK;
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
