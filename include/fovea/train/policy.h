/* The policy as a function of its weights: log-probs and entropies of what was generated, and their
 * gradients. Training, supervised training, the reference policy and the check of the same bits all go
 * through here. Collective over the model's tensor group. */
#ifndef FOVEA_TRAIN_POLICY_H
#define FOVEA_TRAIN_POLICY_H

#include "fovea/train/packed.h"

typedef struct fv_policy fv_policy;

typedef struct fv_policy_settings {
    float temperature;       /* as in the rollout; 0 counts as 1 */
    const int32_t *excluded; /* borrowed, (n_excluded): outside every distribution */
    int n_excluded;
} fv_policy_settings;

fv_err fv_policy_create(fv_model *model, const fv_policy_settings *settings, fv_policy **out); /* Local */
void fv_policy_destroy(fv_policy *policy); /* Local. NULL is fine */

/* Memory that a pass over packed takes; of its arrays only grids is read. Local. */
fv_err fv_policy_bytes(fv_policy *policy, const fv_packed *packed, fv_save save, size_t *bytes);

/* Have that memory, so that no pass that takes as much or less allocates any. Local. */
fv_err fv_policy_reserve(fv_policy *policy, const fv_packed *packed, fv_save save);

/* logprobs and entropies (packed->n_logprobs), in the order of packed->targets; entropies may be NULL. The
 * log-probs are the bits that the rollout gave. packed is borrowed until the backward pass. */
fv_err fv_policy_forward(fv_policy *policy, const fv_packed *packed, fv_save save, float *logprobs,
                         float *entropies);

/* Given d objective / d logprobs and, unless NULL, / d entropies: this rank's gradients are added to grads
 * (fv_model_reduce_grads is still to come). After a forward pass that saved. */
fv_err fv_policy_backward(fv_policy *policy, const float *dlogprobs, const float *dentropies,
                          fv_weights *grads);

#endif
