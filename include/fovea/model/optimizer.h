/* AdamW over a model's weights, with the gradient clipped by its norm over all ranks. Collective over the
 * tensor group and the data group.
 *
 * Ranks of a data group hold the same weights and share out the optimizer (ZeRO stage 1, Rajbhandari et al.,
 * 2020): each has the moments of its share of the flat buffer, moves the weights of that share, and gives
 * them to the others. */
#ifndef FOVEA_MODEL_OPTIMIZER_H
#define FOVEA_MODEL_OPTIMIZER_H

#include "fovea/model/model.h"

typedef struct fv_optimizer_settings {
    float beta1, beta2, eps, weight_decay;
    float clip;    /* largest norm of the gradient; 0 = no limit */
    int decay_all; /* norms, biases and the embedding decay too, not only matrices of linear maps */
} fv_optimizer_settings;

typedef struct fv_optimizer {
    fv_model *model; /* borrowed */
    fv_comm *data;   /* borrowed: ranks with the same part of the weights */
    fv_optimizer_settings settings;
    int64_t first, n; /* this rank's share of the flat buffers: fv_layout.share */
    int64_t held;     /* of those n, without the padding at the end */
    fv_tensor m, v;   /* (n) moments, fp32; owned */
    int step;         /* steps taken */
} fv_optimizer;

/* Moments start at zero. */
fv_err fv_optimizer_init(fv_optimizer *optimizer, fv_model *model, fv_comm *data,
                         const fv_optimizer_settings *settings);
void fv_optimizer_fini(fv_optimizer *optimizer); /* Local */

/* One step: the gradients of all ranks are added up, in rank order, scaled by clip / norm if norm > clip, and
 * the weights moved by lr. *norm: before clipping. FV_ERR_NUMERIC, on every rank, if it is not finite;
 * nothing has moved then. */
fv_err fv_optimizer_step(fv_optimizer *optimizer, fv_weights *grads, float lr, double *norm);

#endif
