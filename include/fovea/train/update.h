/* The update stage: from a mini-batch of groups with advantages to moved weights. Collective over the tensor
 * group and the data group.
 *
 * Every rank is given the whole mini-batch. Groups are cut into trees of at most micro_tokens, trees are
 * shared out among the data ranks by their tokens, and each rank goes through its trees in micro-batches,
 * adding gradients up in fp32. Weights of tokens are counted over the whole mini-batch, so neither
 * micro_tokens nor the number of ranks shows in the result beyond the rounding of sums. */
#ifndef FOVEA_TRAIN_UPDATE_H
#define FOVEA_TRAIN_UPDATE_H

#include "fovea/train/loss.h"
#include "fovea/model/optimizer.h"
#include "fovea/train/policy.h"
#include "fovea/model/reference.h"

typedef struct fv_update_settings {
    fv_loss_settings loss;
    int64_t micro_tokens; /* tokens of a micro-batch; a prompt with one sample may exceed it */
    fv_save save;         /* not FV_SAVE_NONE */
    int is_supervised;    /* samples are SFT examples: their own log-probs are taken for the old ones */
} fv_update_settings;

typedef struct fv_updater_args {
    fv_update_settings settings;
    fv_policy *policy;       /* borrowed, as are the next four */
    fv_optimizer *optimizer; /* its model is the policy's */
    fv_reference *reference; /* NULL if neither loss nor reward needs one */
    fv_view_of view;
    fv_want_view want; /* of the same context; NULL: nothing is announced */
    void *view_context;
} fv_updater_args;

typedef struct fv_updater fv_updater;

typedef struct fv_update_stats {
    fv_loss_sums sums;             /* over the mini-batch, all ranks */
    double loss, norm;             /* norm: of the gradient, before clipping */
    int is_skipped;                /* a number was not finite: nothing has moved */
    int64_t n_sequences, n_tokens; /* generated tokens */
    int64_t computed_tokens;       /* through the decoder, on all ranks */
    int64_t vision_patches;        /* through the vision tower, the same */
} fv_update_stats;

/* With a buffer for gradients, for good. */
fv_err fv_updater_create(const fv_updater_args *args, fv_updater **out);
void fv_updater_destroy(fv_updater *updater); /* Local. NULL is fine */
/* Have the host memory for micro-batches of at most that much, and mini-batches of so many samples: no update
 * that takes as much or less allocates any. Local. */
fv_err fv_updater_reserve(fv_updater *updater, const fv_packed_size *most, int64_t samples);
const fv_updater_args *fv_updater_args_of(const fv_updater *updater); /* Local. Borrowed */

/* The loss of supervised training, the mean cross entropy of SFT examples' tokens: with advantages of 1 and
 * is_supervised. */
#define FV_LOSS_SUPERVISED                         \
    ((fv_loss_settings){.ratio = FV_RATIO_CISPO,   \
                        .clip_low = 0.2,           \
                        .clip_high = 0.2,          \
                        .kl = FV_KL_LOW_VAR,       \
                        .kl_place = FV_KL_IN_LOSS, \
                        .mean = FV_MEAN_TOKEN})

/* Samples are those of groups [0, n), each with its advantage and, with the KL in the loss, what
 * fv_update_ask_reference sets. rate: of the optimizer's step. */
fv_err fv_update(fv_updater *updater, const fv_group *groups, int n, double rate, fv_update_stats *stats);

/* On a back end that runs nothing (fv_backend_plan_create), after fv_updater_reserve: ask for all that a
 * micro-batch and a step of the optimizer ask for. packed: of no more than was reserved. */
fv_err fv_updater_rehearse(fv_updater *updater, const fv_packed *packed);

/* Set the log-probs of all samples under the reference policy, on every rank. It is brought in and put back
 * once, so ask about many groups at a time. Greedy samples are not asked about. Added to *tokens: those that
 * went through the decoder, on all ranks. */
fv_err fv_update_ask_reference(fv_updater *updater, const fv_group *groups, int n, int64_t *tokens);

/* With the KL in the reward: the same, and set reward.kl of every sample to what its distance from the
 * reference policy costs. */
fv_err fv_update_charge_kl(fv_updater *updater, const fv_group *groups, int n, int64_t *tokens);

/* The mini-batch's trees for one of n_ranks, in order (trees: room for all samples). Pure; for tests. */
int fv_update_share(const fv_group *groups, int n, int64_t micro_tokens, int rank, int n_ranks,
                    fv_tree *trees, int64_t *scratch);

#endif
