/* Repetition made less likely, for evaluation. Log-probs stay those of the model, which another program can
 * compute again. */
#include "fovea/engine/generate.h"
#include "fovea/ops/staging.h"
#include "train/rollout_internal.h"

#include <string.h>

int fv_pass_is_penalized(const fv_rollout *r)
{
    float penalty = r->settings->repetition_penalty;
    return penalty != 0 && penalty != 1;
}

/* Each token once, however often it is there. */
static void penalize(const fv_tokens *ids, float penalty, float *logits, uint8_t *is_seen)
{
    for (size_t i = 0; i < ids->n; i++) {
        int32_t id = ids->ids[i];
        if (!is_seen[id])
            logits[id] = fv_repeated_logit(logits[id], penalty);
        is_seen[id] = 1;
    }
}

static void forget(const fv_tokens *ids, uint8_t *is_seen)
{
    for (size_t i = 0; i < ids->n; i++)
        is_seen[ids->ids[i]] = 0;
}

fv_err fv_pass_penalize(fv_rollout *r)
{
    const fv_pass *p = &r->pass;
    int64_t vocab = r->logits.all.dim[1];
    FV_TRY(fv_download_now(r->backend, r->logits.all, p->changed));
    for (int64_t i = 0; i < p->n_draws; i++) {
        const fv_tokens *prompt = &p->draws[i]->live->group->prompt, *answer = &p->draws[i]->answer->ids;
        float *logits = p->changed + i * vocab;
        penalize(prompt, r->settings->repetition_penalty, logits, p->is_seen);
        penalize(answer, r->settings->repetition_penalty, logits, p->is_seen);
        forget(prompt, p->is_seen);
        forget(answer, p->is_seen);
    }
    return fv_upload_array(r->backend, r->changed, p->changed);
}
