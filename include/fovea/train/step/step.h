/* One step of training: data set -> rollout -> reward -> advantage -> update. Collective over the mesh. */
#ifndef FOVEA_TRAIN_STEP_STEP_H
#define FOVEA_TRAIN_STEP_STEP_H

#include "fovea/ops/idle.h"
#include "fovea/train/advantage.h"
#include "fovea/train/collect.h"
#include "fovea/train/step/step_plan.h"
#include "fovea/train/update.h"

typedef struct fv_step_settings {
    fv_step_plan plan;
    double max_unjudged_share; /* of the samples of a step; with more of them without a verdict it fails */
    fv_advantage_settings advantage;
} fv_step_settings;

/* A run under way. All that is behind pointers is borrowed. */
typedef struct fv_trainer {
    fv_step_settings settings;
    const fv_collector *collector;
    fv_collect_args prompts; /* how they are asked; which ones, and for which step, a step says itself */
    fv_updater *updater;
    fv_idle *idle;       /* over this rank's device; NULL: nobody asks */
    int64_t step;        /* steps done */
    int64_t next_prompt; /* prompts taken from the data set */
    /* The step under way, if it was stopped; owned, the same on every rank. */
    fv_batch batch;     /* its groups so far, with their rewards, */
    fv_batch begun;     /* groups from next_prompt on that were being generated, */
    int sampling_round; /* and the sampling round that they are of */
} fv_trainer;

typedef struct fv_step_stats {
    fv_collect_stats collect;                  /* over the sampling rounds since this start */
    int n_groups;                              /* trained on */
    int n_no_signal, n_no_verdict;             /* groups dropped */
    int n_spare;                               /* groups with a signal that are left over */
    int n_updates, n_skipped;                  /* mini-batches; those with a number that was not finite */
    fv_update_stats first;                     /* of the first update: the samples are fresh */
    fv_update_stats sum;                       /* losses, norms and sums of all updates added up */
    int64_t reference_tokens;                  /* through the reference policy's decoder, on all ranks, */
    double reference_s;                        /* and the seconds of it */
    double update_s, step_s;                   /* step_s: of all of it */
    fv_idle_counts sampling_idle, update_idle; /* of this rank's device, before the update and in it */
} fv_step_stats;

/* rate: of the optimizer. batch receives all groups of the step, dropped ones included, for whoever reports
 * on them; the caller releases it. With too few groups left after all sampling rounds the step trains on
 * those there are (plan.partial); with none it moves nothing.
 *
 * FV_STOPPED if a stop was requested (stop.h) during the rollout: batch is empty, the step under way is in
 * the trainer, and another call, or another run whose trainer is given the same, finishes it to the same
 * bits. */
fv_err fv_step(fv_trainer *trainer, double rate, fv_batch *batch, fv_step_stats *stats);

/* Release the step under way. Local. */
void fv_trainer_drop_step(fv_trainer *trainer);

#endif
