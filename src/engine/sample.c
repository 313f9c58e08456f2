/* What is drawn, and its log-prob. Draws of one temperature, top-k and top-p are one call each. */
#include "engine/engine_internal.h"
#include "fovea/engine/generate.h"

#include <string.h>

fv_err fv_sampling_check(const fv_sampling *s)
{
    FV_CHECK(s->temperature >= 0, FV_ERR_ARGUMENT, "a temperature of %g; 0 or more", s->temperature);
    FV_CHECK(s->top_k >= 0, FV_ERR_ARGUMENT, "top_k of %d; 0 (all) or more", s->top_k);
    FV_CHECK(s->top_p > 0 && s->top_p <= 1, FV_ERR_ARGUMENT, "top_p of %g; above 0, at most 1", s->top_p);
    FV_CHECK(s->repetition_penalty > 0, FV_ERR_ARGUMENT, "a repetition penalty of %g; above 0",
             s->repetition_penalty);
    return FV_OK;
}

/* Repetition made less likely. Log-probs stay those of the model, which another program can compute again. */

/* Each token once, however often it is there. */
static void penalize(const fv_sequence *s, float *logits, uint8_t *is_seen)
{
    for (int64_t i = 0; i < s->n; i++) {
        const fv_sequence *with = fv_sequence_with(s, i);
        int32_t id = with->ids[i - with->first];
        if (!is_seen[id])
            logits[id] = fv_repeated_logit(logits[id], s->sampling.repetition_penalty);
        is_seen[id] = 1;
    }
    for (int64_t i = 0; i < s->n; i++) {
        const fv_sequence *with = fv_sequence_with(s, i);
        is_seen[with->ids[i - with->first]] = 0;
    }
}

static fv_err penalize_all(fv_engine *engine)
{
    const fv_plan *p = &engine->pass;
    int64_t vocab = engine->logits.all.dim[1];
    FV_TRY(fv_download_now(engine->backend, engine->logits.all, p->changed));
    for (int64_t i = 0; i < p->n_draws; i++)
        if (p->draws[i]->sampling.repetition_penalty != 1)
            penalize(p->draws[i], p->changed + i * vocab, p->is_seen);
    return fv_upload_array(engine->backend, engine->changed, p->changed);
}

/* Draws. */

static int is_alike(const fv_sampling *a, const fv_sampling *b)
{
    return a->temperature == b->temperature && a->top_k == b->top_k && a->top_p == b->top_p;
}

static void swap_draws(fv_plan *p, int64_t i, int64_t k)
{
    fv_sequence *draw = p->draws[i];
    int32_t row = p->draw_rows[i];
    float uniform = p->uniforms[i];
    p->draws[i] = p->draws[k], p->draw_rows[i] = p->draw_rows[k], p->uniforms[i] = p->uniforms[k];
    p->draws[k] = draw, p->draw_rows[k] = row, p->uniforms[k] = uniform;
}

/* How many of the draws from first on are like it, after they have been put behind it. */
static int64_t gather_alike(fv_plan *p, int64_t first)
{
    int64_t n = 1;
    for (int64_t i = first + 1; i < p->n_draws; i++)
        if (is_alike(&p->draws[first]->sampling, &p->draws[i]->sampling))
            swap_draws(p, first + n++, i);
    return n;
}

void fv_sample_sort(fv_plan *p)
{
    for (int64_t first = 0; first < p->n_draws;)
        first += gather_alike(p, first);
}

static int64_t count_alike(const fv_plan *p, int64_t first)
{
    int64_t n = 1;
    while (first + n < p->n_draws && is_alike(&p->draws[first]->sampling, &p->draws[first + n]->sampling))
        n++;
    return n;
}

static fv_err draw(fv_engine *engine, int64_t first, int64_t n)
{
    const fv_sampling *s = &engine->pass.draws[first]->sampling;
    fv_tensor logits = engine->settings.has_penalties ? engine->changed : engine->logits.all;
    return fv_sample(engine->backend, &(fv_sample_args){.logits = fv_tensor_rows(logits, first, n),
                                                        .uniform = fv_tensor_rows(engine->uniform, first, n),
                                                        .excluded = engine->head.excluded,
                                                        .ids = fv_tensor_rows(engine->head.targets, first, n),
                                                        .temperature = s->temperature,
                                                        .top_p = s->top_p,
                                                        .top_k = s->top_k});
}

/* Log-probs of draws [first, first + n), which are of one temperature. */
static fv_err look_up(fv_engine *engine, int64_t first, int64_t n)
{
    fv_plan *p = &engine->pass;
    float temperature = p->draws[first]->sampling.temperature;
    FV_TRY(fv_head_from_logits(engine->model, &engine->head, engine->logits.all,
                               temperature > 0 ? 1.0f / temperature : 1.0f));
    FV_TRY(fv_download_now(engine->backend, engine->head.logprob, p->some_logprobs));
    memcpy(p->logprobs + first, p->some_logprobs + first, (size_t)n * sizeof *p->logprobs);
    return FV_OK;
}

fv_err fv_sample_draws(fv_engine *engine)
{
    fv_plan *p = &engine->pass;
    int64_t n;
    FV_TRY(fv_upload_array(engine->backend, engine->uniform, p->uniforms));
    if (engine->settings.n_excluded)
        FV_TRY(fv_upload_array(engine->backend, engine->head.excluded, engine->excluded_ids));
    FV_TRY(fv_model_logits(engine->model, fv_tensor_rows(engine->hidden, 0, p->n_draws), &engine->logits));
    if (engine->settings.has_penalties)
        FV_TRY(penalize_all(engine));
    for (int64_t first = 0; first < p->n_draws; first += n) {
        n = count_alike(p, first);
        FV_TRY(draw(engine, first, n));
    }
    for (int64_t first = 0; first < p->n_draws; first += n) {
        n = count_alike(p, first);
        FV_TRY(look_up(engine, first, n));
    }
    return fv_download_now(engine->backend, engine->head.targets, p->drawn);
}
