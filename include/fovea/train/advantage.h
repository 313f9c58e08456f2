/* Advantages: how much better a sample is than what it is compared with. Local.
 *
 * Of the rewards R of a group, the n samples of one prompt, with mean m and unbiased standard deviation s:
 *
 *   grpo          (R - m) / (s + eps)
 *                 DeepSeekMath, Shao et al., 2024, section 4.1.2
 *   dr_grpo       R - m
 *                 Understanding R1-Zero-like training, Liu et al., 2025
 *   rloo          R - mean of the n - 1 others
 *                 Back to basics, Ahmadian et al., 2024
 *   remax         R - reward of the greedy sample
 *                 ReMax, Li et al., 2023, algorithm 1
 *   reinforce_pp  (R - M) / (S + eps), with mean M and unbiased standard deviation S of all samples of
 *                 the batch's kept groups, each once whatever its length
 *                 REINFORCE++, Hu et al., 2025
 *
 * A group is kept if its task rewards, the rewards before a KL, differ: they are compared before anything is
 * subtracted or divided, and numbers that rounding alone tells apart are the same. (VisionThink's program
 * drops groups whose task rewards have a standard deviation below 1e-4.) With remax the greedy sample is one
 * of the group; single samples of reinforce_pp are compared with the other samples of the batch.
 *
 * A batch is all groups of one training step, over all ranks. Rewards are gathered before (they are few), in
 * the order of the prompts; every rank then computes the advantages of the whole batch: all sums are in
 * double and run in that order on one processor, so they are the same bits at any number of ranks or
 * micro-batches. */
#ifndef FOVEA_TRAIN_ADVANTAGE_H
#define FOVEA_TRAIN_ADVANTAGE_H

#include "fovea/reward/reward.h"

typedef struct fv_estimator fv_estimator;

/* By name. FV_ERR_ARGUMENT lists the names there are. */
fv_err fv_estimator_find(const char *name, const fv_estimator **out);
const char *fv_estimator_name(const fv_estimator *estimator);
int fv_estimator_least_samples(const fv_estimator *estimator); /* of a group: 2 if they are compared */
int fv_estimator_needs_greedy(const fv_estimator *estimator);  /* remax: one greedy sample a prompt */

typedef struct fv_advantage_settings {
    const fv_estimator *estimator; /* by default grpo */
    double eps;                    /* above 0; default FV_ADVANTAGE_EPS */
    fv_reward_weights weights;
} fv_advantage_settings;
#define FV_ADVANTAGE_EPS 1e-6

fv_err fv_advantage_check(const fv_advantage_settings *settings);

/* What becomes of a group. Only kept groups are trained on. */
typedef enum fv_group_status {
    FV_GROUP_KEPT,
    FV_GROUP_NO_VERDICT, /* a sample, or the greedy one where it is needed, has none */
    FV_GROUP_NO_SIGNAL   /* task rewards that are all the same, or a single sample */
} fv_group_status;

typedef struct fv_advantage_args {
    const fv_reward *rewards; /* (starts[n_groups]) of the batch, group after group */
    const int64_t *starts;    /* (n_groups + 1), rising from 0: group g is [starts[g], starts[g + 1]) */
    int64_t n_groups;
    const fv_reward *greedy;   /* (n_groups); NULL if the estimator needs none */
    double *advantages;        /* out, (starts[n_groups]); 0 in groups that are not kept */
    fv_group_status *statuses; /* out, (n_groups) */
} fv_advantage_args;

/* Groups that are not kept take no part in anything. All but reinforce_pp look at one group at a time, so
 * that the statuses of new groups are known before the batch is full. FV_ERR_NUMERIC names a sample whose
 * reward is not finite; FV_ERR_ARGUMENT: no greedy samples where they are needed, an empty group. */
fv_err fv_advantage_compute(const fv_advantage_settings *settings, const fv_advantage_args *args);

#endif
