/* AdamW over a model's weights, with the gradient clipped by its norm over all ranks. Collective over the
 * tensor group. */
#ifndef FOVEA_OPTIMIZER_H
#define FOVEA_OPTIMIZER_H

#include "fovea/model.h"

typedef struct fv_optimizer_settings {
    float beta1, beta2, eps, weight_decay;
    float clip; /* largest norm of the gradient; 0 = no limit */
} fv_optimizer_settings;

typedef struct fv_optimizer {
    fv_model *model; /* borrowed */
    fv_optimizer_settings settings;
    fv_weights m, v; /* moments, fp32 */
    int step;        /* steps taken */
} fv_optimizer;

/* Moments start at zero. */
fv_err fv_optimizer_init(fv_optimizer *optimizer, fv_model *model, const fv_optimizer_settings *settings);
void fv_optimizer_fini(fv_optimizer *optimizer);

/* One step: the gradients of all ranks are reduced (fv_model_reduce_grads), scaled by clip / norm if norm >
 * clip, and the weights moved by lr. *norm: before clipping. FV_ERR_NUMERIC if it is not finite; nothing has
 * moved then. */
fv_err fv_optimizer_step(fv_optimizer *optimizer, fv_weights *grads, float lr, double *norm);

#endif
