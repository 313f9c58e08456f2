#include "fovea/model/optimizer.h"

#include <math.h>

static fv_tensor share_of(const fv_optimizer *o, const fv_weights *weights, int rank)
{
    return fv_tensor_rows(weights->flat, rank * o->n, o->n);
}

static fv_err make_moment(fv_backend *backend, int64_t n, fv_tensor *out)
{
    void *memory;
    FV_TRY(fv_backend_alloc(backend, (size_t)n * sizeof(float), &memory));
    *out = fv_tensor_1d(memory, FV_F32, n);
    return fv_fill(backend, &(fv_fill_args){.x = *out});
}

fv_err fv_optimizer_init(fv_optimizer *o, fv_model *model, fv_comm *data,
                         const fv_optimizer_settings *settings)
{
    const fv_layout *layout = fv_model_layout(model);
    *o = (fv_optimizer){.model = model, .data = data, .settings = *settings, .n = layout->share};
    FV_CHECK(layout->n_flat == o->n * data->size, FV_ERR_INTERNAL,
             "the model was opened for %lld data ranks, and is trained by %d",
             (long long)(layout->n_flat / o->n), data->size);
    FV_CHECK(layout->n_elements > o->n * (data->size - 1), FV_ERR_ARGUMENT,
             "%d data ranks cannot share %lld weights: take fewer", data->size,
             (long long)layout->n_elements);
    o->first = o->n * data->rank;
    o->held = data->rank < data->size - 1 ? o->n : layout->n_elements - o->first;
    fv_err err = make_moment(fv_model_backend(model), o->n, &o->m);
    if (err == FV_OK)
        err = make_moment(fv_model_backend(model), o->n, &o->v);
    if (err != FV_OK)
        fv_optimizer_fini(o);
    return err;
}

void fv_optimizer_fini(fv_optimizer *o)
{
    if (o->m.data)
        fv_backend_free(fv_model_backend(o->model), o->m.data);
    if (o->v.data)
        fv_backend_free(fv_model_backend(o->model), o->v.data);
    *o = (fv_optimizer){0};
}

/* The weights of every share from the rank that moved them. */
static fv_err give_shares(fv_optimizer *o)
{
    const fv_weights *weights = fv_model_weights(o->model);
    for (int rank = 0; rank < o->data->size; rank++)
        FV_TRY(fv_broadcast(fv_model_backend(o->model),
                            &(fv_broadcast_args){o->data, share_of(o, weights, rank), rank}));
    return FV_OK;
}

/* Elements [first, first + n) of the flat buffers, which lie in this rank's share. */
static fv_err move(const fv_optimizer *o, const fv_weights *grads, int64_t first, int64_t n,
                   const fv_adamw_args *rule)
{
    fv_adamw_args args = *rule;
    args.grad = fv_tensor_rows(grads->flat, first, n);
    args.param = fv_tensor_rows(fv_model_weights(o->model)->flat, first, n);
    args.m = fv_tensor_rows(o->m, first - o->first, n);
    args.v = fv_tensor_rows(o->v, first - o->first, n);
    return fv_adamw(fv_model_backend(o->model), &args);
}

/* A parameter is moved alone, for decay is its own. Between parameters there is nothing to move. */
static fv_err move_share(const fv_optimizer *o, const fv_weights *grads, fv_adamw_args rule)
{
    const fv_layout *layout = fv_model_layout(o->model);
    for (int i = 0; i < layout->params.n; i++) {
        const fv_param *param = &layout->params.items[i];
        int64_t first = layout->offset[i], end = first + fv_tensor_count(fv_weights_param(grads, layout, i));
        first = first < o->first ? o->first : first;
        end = end > o->first + o->n ? o->first + o->n : end;
        int decays = o->settings.decay_all || param->init == FV_INIT_LINEAR;
        rule.weight_decay = decays ? o->settings.weight_decay : 0;
        if (first < end)
            FV_TRY(move(o, grads, first, end - first, &rule));
    }
    return FV_OK;
}

fv_err fv_optimizer_step(fv_optimizer *o, fv_weights *grads, float lr, double *norm)
{
    const fv_optimizer_settings *settings = &o->settings;
    fv_backend *backend = fv_model_backend(o->model);
    FV_TRY(fv_model_reduce_grads(o->model, grads));
    FV_TRY(fv_all_reduce(backend, &(fv_all_reduce_args){o->data, grads->flat}));
    FV_TRY(fv_model_norm(o->model, grads, norm));
    FV_CHECK(isfinite(*norm), FV_ERR_NUMERIC, "the norm of the gradient is %g at step %d", *norm,
             o->step + 1);
    float scale = settings->clip > 0 && *norm > settings->clip ? (float)(settings->clip / *norm) : 1.0f;
    o->step++;
    FV_TRY(move_share(o, grads,
                      (fv_adamw_args){.step = o->step,
                                      .lr = lr,
                                      .beta1 = settings->beta1,
                                      .beta2 = settings->beta2,
                                      .eps = settings->eps,
                                      .grad_scale = scale}));
    return give_shares(o);
}
