/* What is drawn, and its log-prob.
 *
 * A draw is the Gumbel maximum over all ids, so ranks look at their own part of the vocabulary, logits are
 * made a chunk at a time and thrown away, and only the best id and a few sums of every rank are put together.
 * Draws that top-k, top-p or a repetition penalty filter need whole rows of logits; they take the same
 * numbers from the same keys, so a filter that leaves everything changes nothing. */
#include "engine/engine_internal.h"
#include "fovea/engine/generate.h"

fv_err fv_sampling_check(const fv_sampling *s)
{
    FV_CHECK(s->temperature >= 0, FV_ERR_ARGUMENT, "a temperature of %g; 0 or more", s->temperature);
    FV_CHECK(s->top_k >= 0, FV_ERR_ARGUMENT, "top_k of %d; 0 (all) or more", s->top_k);
    FV_CHECK(s->top_p > 0 && s->top_p <= 1, FV_ERR_ARGUMENT, "top_p of %g; above 0, at most 1", s->top_p);
    FV_CHECK(s->repetition_penalty > 0, FV_ERR_ARGUMENT, "a repetition penalty of %g; above 0",
             s->repetition_penalty);
    return FV_OK;
}

int fv_sampling_is_filtered(const fv_sampling *s)
{
    return s->top_k > 0 || s->top_p < 1 || s->repetition_penalty != 1;
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
    const fv_pass_plan *p = &engine->pass;
    int64_t vocab = engine->logits.all.dim[1];
    FV_TRY(fv_download_now(engine->backend, engine->logits.all, p->changed));
    for (int64_t i = 0; i < p->n_awaited; i++)
        if (p->awaited[i].sequence->sampling.repetition_penalty != 1)
            penalize(p->awaited[i].sequence, p->changed + i * vocab, p->is_seen);
    return fv_upload_array(engine->backend, engine->changed, p->changed);
}

/* Logits that are drawn from. */
static fv_err filter(fv_engine *engine)
{
    FV_TRY(engine->pass.has_penalty
               ? penalize_all(engine)
               : fv_copy(engine->backend, &(fv_copy_args){.in = engine->logits.all, .out = engine->changed}));
    return fv_vocab_filter(engine->backend,
                           &(fv_vocab_filter_args){.inv_temperature = engine->head.inv_temperature,
                                                   .top_k = engine->top_k,
                                                   .top_p = engine->top_p,
                                                   .excluded = engine->head.excluded,
                                                   .logits = engine->changed});
}

/* Draws. */

static fv_err draw_filtered(fv_engine *engine, fv_tensor hidden)
{
    const fv_head_draws *draws = &engine->head_draws;
    FV_TRY(fv_model_logits(engine->model, hidden, &engine->logits));
    FV_TRY(filter(engine));
    FV_TRY(fv_sample(engine->backend, &(fv_sample_args){.logits = engine->changed,
                                                        .inv_temperature = engine->head.inv_temperature,
                                                        .draws = draws->draws,
                                                        .excluded = engine->head.excluded,
                                                        .value = draws->value,
                                                        .z = draws->z,
                                                        .ids = engine->head.targets}));
    return fv_head_from_logits(engine->model, &engine->head, engine->logits.all);
}

fv_err fv_sample_draws(fv_engine *engine, fv_tensor hidden)
{
    return engine->pass.is_filtered ? draw_filtered(engine, hidden)
                                    : fv_head_draw(engine->model, &engine->head, hidden, &engine->head_draws);
}
