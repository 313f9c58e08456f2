/* The pass: tokens through the decoder, and from the last row of every sequence that came to its end to a
 * token, or to the log-probs of choices. */
#include "engine/engine_internal.h"

#include <string.h>

/* Memory. */

static fv_err take_features(fv_engine *engine, fv_arena *arena)
{
    int64_t n = engine->pass.n_features;
    engine->picked = (fv_tensor){0};
    if (n == 0)
        return FV_OK;
    FV_TRY(fv_tensor_take(arena, FV_I32, 1, &n, &engine->feature_rows));
    return fv_tensor_take(arena, engine->features.dtype, 2, (int64_t[]){n, engine->features.dim[1]},
                          &engine->picked);
}

static fv_err take_draws(fv_engine *engine, fv_arena *arena)
{
    int64_t n = engine->pass.n_draws;
    if (n == 0)
        return FV_OK;
    FV_TRY(fv_head_take(engine->model, n, engine->settings.n_excluded, arena, &engine->head));
    FV_TRY(fv_head_draws_take(n, arena, &engine->head_draws));
    if (!engine->settings.has_filters)
        return FV_OK;
    FV_TRY(fv_logits_take(engine->model, n, arena, &engine->logits));
    FV_TRY(fv_tensor_take(arena, FV_F32, 2, engine->logits.all.dim, &engine->changed));
    FV_TRY(fv_tensor_take(arena, FV_I32, 1, &n, &engine->top_k));
    return fv_tensor_take(arena, FV_F32, 1, &n, &engine->top_p);
}

static fv_err take_tensors(void *context, fv_arena *arena)
{
    fv_engine *engine = context;
    const fv_pass_plan *p = &engine->pass;
    int64_t n = p->n_draws + p->n_choices, hidden = fv_model_shape_of(engine->model)->text.hidden;
    FV_TRY(fv_text_take(engine->text, &engine->run, FV_SAVE_NONE, arena));
    FV_TRY(take_features(engine, arena));
    if (n == 0)
        return FV_OK;
    FV_TRY(fv_tensor_take(arena, FV_I32, 1, &n, &engine->rows));
    FV_TRY(fv_tensor_take(arena, fv_model_precision(engine->model)->activation, 2, (int64_t[]){n, hidden},
                          &engine->hidden));
    FV_TRY(take_draws(engine, arena));
    return p->n_choices ? fv_head_take(engine->model, p->n_choices, engine->settings.n_excluded, arena,
                                       &engine->choice_head)
                        : FV_OK;
}

static fv_token_run run_of(const fv_engine *engine)
{
    const fv_pass_plan *p = &engine->pass;
    return (fv_token_run){.n = p->n,
                          .ids = p->ids,
                          .positions = p->by_axis,
                          .segments = p->segments,
                          .spans = p->spans,
                          .slots = p->slots,
                          .n_segments = p->n_segments,
                          .n_spans = p->n_spans,
                          .n_features = p->n_features};
}

/* The largest pass: every sequence has a segment with all its pages, and every one that wants something comes
 * to its end. */
static void set_largest(fv_engine *engine)
{
    const fv_engine_settings *s = &engine->settings;
    fv_pass_plan *p = &engine->pass;
    p->n = s->pass_tokens;
    p->n_segments = engine->n_sequences;
    p->n_spans = (int64_t)engine->n_sequences * fv_pages_for(s->max_tokens);
    p->n_features = s->image.t ? s->pass_tokens : 0;
    p->n_draws = s->is_choosing ? 0 : s->max_running;
    p->n_choices = s->is_choosing ? FV_MAX_CHOICES * s->max_running : 0;
    engine->run = run_of(engine);
}

fv_err fv_forward_init(fv_engine *engine)
{
    FV_TRY(fv_text_pass_create(engine->model, &engine->text));
    set_largest(engine);
    return fv_workspace_fit(&engine->work, engine->backend, take_tensors, engine);
}

fv_err fv_forward_measure(fv_engine *engine, size_t *bytes)
{
    static int32_t some_slot;
    fv_arena dry = fv_arena_dry(engine->work.name);
    FV_TRY(fv_text_pass_create(engine->model, &engine->text));
    engine->features = fv_tensor_2d(NULL, fv_model_precision(engine->model)->activation, 0,
                                    fv_model_shape_of(engine->model)->text.hidden);
    set_largest(engine);
    engine->run.slots = &some_slot;
    FV_TRY(take_tensors(engine, &dry));
    *bytes = dry.peak;
    return FV_OK;
}

/* Computing. */

static fv_err copy_pages(fv_engine *engine)
{
    const fv_pass_plan *p = &engine->pass;
    for (int i = 0; i < p->n_copies; i++)
        FV_TRY(fv_cache_copy(&engine->cache, p->copies[i].from, p->copies[i].to, p->copies[i].n_rows));
    return FV_OK;
}

static fv_err pick_features(fv_engine *engine)
{
    if (engine->pass.n_features == 0)
        return FV_OK;
    FV_TRY(fv_upload_array(engine->backend, engine->feature_rows, engine->pass.feature_rows));
    return fv_gather(
        engine->backend,
        &(fv_gather_args){.table = engine->features, .index = engine->feature_rows, .out = engine->picked});
}

static fv_err compute(fv_engine *engine, fv_tensor *hidden)
{
    fv_pass_plan *p = &engine->pass;
    for (int64_t i = 0; i < p->n; i++)
        for (int64_t axis = 0; axis < 3; axis++)
            p->by_axis[axis * p->n + i] = p->positions[3 * i + axis];
    engine->run = run_of(engine);
    FV_TRY(fv_workspace_fit(&engine->work, engine->backend, take_tensors, engine));
    FV_TRY(copy_pages(engine));
    FV_TRY(pick_features(engine));
    return fv_text_forward(engine->text, &engine->run, engine->picked, &engine->cache.store, hidden);
}

/* The rows that are looked at: those of the draws, then those of the choices. */
static fv_err pick_rows(fv_engine *engine, fv_tensor hidden)
{
    fv_pass_plan *p = &engine->pass;
    memcpy(p->rows, p->draw_rows, (size_t)p->n_draws * sizeof *p->rows);
    memcpy(p->rows + p->n_draws, p->choice_rows, (size_t)p->n_choices * sizeof *p->rows);
    FV_TRY(fv_upload_array(engine->backend, engine->rows, p->rows));
    return fv_gather(engine->backend,
                     &(fv_gather_args){.table = hidden, .index = engine->rows, .out = engine->hidden});
}

static fv_err choose(fv_engine *engine)
{
    fv_pass_plan *p = &engine->pass;
    FV_TRY(fv_head_forward(engine->model, &engine->choice_head,
                           fv_tensor_rows(engine->hidden, p->n_draws, p->n_choices), p->choices,
                           engine->excluded_ids, 1));
    return fv_download_now(engine->backend, engine->choice_head.logprob, p->choice_logprobs);
}

fv_err fv_forward_pass(fv_engine *engine)
{
    const fv_pass_plan *p = &engine->pass;
    fv_tensor hidden;
    FV_TRY(compute(engine, &hidden));
    engine->stats.n_passes++;
    engine->stats.computed_tokens += p->n;
    engine->stats.generated_tokens += p->n_draws;
    if (p->n_draws + p->n_choices > 0)
        FV_TRY(pick_rows(engine, hidden));
    if (p->n_draws > 0)
        FV_TRY(fv_sample_draws(engine));
    return p->n_choices > 0 ? choose(engine) : FV_OK;
}
