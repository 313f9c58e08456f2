/* A pass over a packed batch: the features of its views, the decoder over the run, the head on the rows that
 * predict something. All tensors come from one arena, which the same code measures first, dry.
 *
 * Backward: the head's gradients are added to the rows they came from, for the last row of a prompt predicts
 * the first token of each of its samples; then through the decoder; and what reaches image tokens is added to
 * the rows of features that they showed, once for all samples, before it goes through the vision tower. */
#include "fovea/train/policy.h"

#include "fovea/model/nn/head.h"
#include "fovea/ops/staging.h"
#include "fovea/ops/workspace.h"

#include <stdlib.h>

struct fv_policy {
    fv_model *model;
    fv_backend *backend;
    fv_policy_settings settings;
    fv_text_pass *text;
    fv_vision_pass *vision; /* NULL without a vision tower */
    fv_workspace work;
    /* Of the pass under way; C hidden, N features of views, F image tokens, L log-probs, T tokens. */
    const fv_packed *packed;
    fv_save save;
    fv_tensor feature_rows, features, dfeatures; /* I32 (F), (F, C), (F, C) */
    fv_tensor views, dviews;                     /* (N, C), F32 (N, C) */
    fv_tensor logprob_rows;                      /* I32 (L) */
    fv_tensor hidden, dhidden;                   /* (T, C), F32 (T, C) */
    fv_tensor picked, dpicked;                   /* (L, C), F32 (L, C) */
    fv_tensor dlogprobs, dentropies;             /* (L) */
    fv_head_pass head;
};

fv_err fv_policy_create(fv_model *model, const fv_policy_settings *settings, fv_policy **out)
{
    fv_policy *p = calloc(1, sizeof *p);
    *out = NULL;
    FV_CHECK(p, FV_ERR_MEMORY, "cannot allocate a policy");
    *p = (fv_policy){.model = model,
                     .backend = fv_model_backend(model),
                     .settings = *settings,
                     .work = {.name = "policy"}};
    fv_err err = fv_text_pass_create(model, &p->text);
    if (err == FV_OK && fv_model_shape_of(model)->vision.depth > 0)
        err = fv_vision_pass_create(model, &p->vision);
    if (err != FV_OK)
        fv_policy_destroy(p);
    else
        *out = p;
    return err;
}

void fv_policy_destroy(fv_policy *policy)
{
    if (!policy)
        return;
    fv_workspace_fini(&policy->work);
    fv_vision_pass_destroy(policy->vision);
    fv_text_pass_destroy(policy->text);
    free(policy);
}

static fv_err take_rows(fv_policy *p, fv_arena *arena, int64_t n, fv_dtype dtype, fv_tensor *out)
{
    int64_t hidden = fv_model_shape_of(p->model)->text.hidden;
    return fv_tensor_take(arena, dtype, 2, (int64_t[]){n, hidden}, out);
}

static fv_dtype stored(const fv_policy *p)
{
    return fv_model_precision(p->model)->activation;
}

static fv_err take_images(fv_policy *p, fv_arena *arena)
{
    const fv_packed *packed = p->packed;
    p->features = p->dfeatures = (fv_tensor){0};
    if (packed->n_views == 0)
        return FV_OK;
    FV_TRY(fv_vision_take(p->vision, packed->grids, packed->n_views, p->save, arena));
    FV_TRY(fv_tensor_take(arena, FV_I32, 1, &packed->run.n_features, &p->feature_rows));
    FV_TRY(take_rows(p, arena, packed->run.n_features, stored(p), &p->features));
    if (p->save == FV_SAVE_NONE)
        return FV_OK;
    FV_TRY(take_rows(p, arena, packed->run.n_features, FV_F32, &p->dfeatures));
    return take_rows(p, arena, packed->n_features, FV_F32, &p->dviews);
}

static fv_err take_grads(fv_policy *p, fv_arena *arena)
{
    int64_t n = p->packed->n_logprobs;
    FV_TRY(fv_tensor_take(arena, FV_F32, 1, &n, &p->dlogprobs));
    FV_TRY(fv_tensor_take(arena, FV_F32, 1, &n, &p->dentropies));
    FV_TRY(take_rows(p, arena, n, FV_F32, &p->dpicked));
    return take_rows(p, arena, p->packed->run.n, FV_F32, &p->dhidden);
}

static fv_err take_tensors(void *context, fv_arena *arena)
{
    fv_policy *p = context;
    int64_t n = p->packed->n_logprobs;
    FV_TRY(take_images(p, arena));
    FV_TRY(fv_text_take(p->text, &p->packed->run, p->save, arena));
    FV_TRY(fv_tensor_take(arena, FV_I32, 1, &n, &p->logprob_rows));
    FV_TRY(take_rows(p, arena, n, stored(p), &p->picked));
    FV_TRY((p->save == FV_SAVE_ALL ? fv_head_take_kept : fv_head_take)(p->model, n, p->settings.n_excluded,
                                                                       arena, &p->head));
    return p->save == FV_SAVE_NONE ? FV_OK : take_grads(p, arena);
}

fv_err fv_policy_bytes(fv_policy *p, const fv_packed *packed, fv_save save, size_t *bytes)
{
    fv_arena dry = fv_arena_dry(p->work.name);
    p->packed = packed;
    p->save = save;
    FV_TRY(take_tensors(p, &dry));
    *bytes = dry.peak;
    return FV_OK;
}

fv_err fv_policy_reserve(fv_policy *p, const fv_packed *packed, fv_save save)
{
    p->packed = packed;
    p->save = save;
    fv_err err = fv_workspace_fit(&p->work, p->backend, take_tensors, p);
    p->packed = NULL;
    p->save = FV_SAVE_NONE;
    return err;
}

static float inv_temperature(const fv_policy *p)
{
    return p->settings.temperature > 0 ? 1.0f / p->settings.temperature : 1.0f;
}

static fv_err encode_views(fv_policy *p)
{
    const fv_packed *packed = p->packed;
    if (packed->n_views == 0)
        return FV_OK;
    FV_TRY(fv_vision_forward(p->vision, packed->pictures, &p->views));
    FV_TRY(fv_upload_array(p->backend, p->feature_rows, packed->feature_rows));
    return fv_gather(p->backend,
                     &(fv_gather_args){.table = p->views, .index = p->feature_rows, .out = p->features});
}

fv_err fv_policy_forward(fv_policy *p, const fv_packed *packed, fv_save save, float *logprobs,
                         float *entropies)
{
    p->packed = packed;
    p->save = save;
    FV_TRY(fv_workspace_fit(&p->work, p->backend, take_tensors, p));
    FV_TRY(encode_views(p));
    FV_TRY(fv_text_forward(p->text, &packed->run, p->features, NULL, &p->hidden));
    FV_TRY(fv_upload_array(p->backend, p->logprob_rows, packed->logprob_rows));
    FV_TRY(fv_gather(p->backend,
                     &(fv_gather_args){.table = p->hidden, .index = p->logprob_rows, .out = p->picked}));
    FV_TRY(fv_head_forward(p->model, &p->head, p->picked, packed->targets, p->settings.excluded,
                           inv_temperature(p)));
    FV_TRY(fv_download_now(p->backend, p->head.logprob, logprobs));
    return entropies ? fv_download_now(p->backend, p->head.entropy, entropies) : FV_OK;
}

static fv_err head_backward(fv_policy *p, const float *dlogprobs, const float *dentropies, fv_weights *grads)
{
    fv_head_grad_args args = {.hidden = p->picked,
                              .dlogprob = p->dlogprobs,
                              .dentropy = dentropies ? p->dentropies : (fv_tensor){0},
                              .dhidden = p->dpicked};
    FV_TRY(fv_upload_array(p->backend, p->dlogprobs, dlogprobs));
    if (dentropies)
        FV_TRY(fv_upload_array(p->backend, p->dentropies, dentropies));
    FV_TRY(fv_head_backward(p->model, &p->head, &args, grads));
    FV_TRY(fv_fill(p->backend, &(fv_fill_args){.x = p->dhidden}));
    return fv_scatter_add(
        p->backend, &(fv_scatter_add_args){.in = p->dpicked, .index = p->logprob_rows, .table = p->dhidden});
}

fv_err fv_policy_backward(fv_policy *p, const float *dlogprobs, const float *dentropies, fv_weights *grads)
{
    FV_CHECK(p->save != FV_SAVE_NONE, FV_ERR_ARGUMENT,
             "a backward pass after a forward pass that saved nothing");
    FV_TRY(head_backward(p, dlogprobs, dentropies, grads));
    FV_TRY(fv_text_backward(p->text, p->dhidden, p->dfeatures, grads));
    if (p->packed->n_views == 0)
        return FV_OK;
    FV_TRY(fv_fill(p->backend, &(fv_fill_args){.x = p->dviews}));
    FV_TRY(fv_scatter_add(p->backend, &(fv_scatter_add_args){
                                          .in = p->dfeatures, .index = p->feature_rows, .table = p->dviews}));
    return fv_vision_backward(p->vision, p->dviews, grads);
}
