/* What a step is made of, but for its loop (step.c). */
#ifndef FOVEA_SRC_TRAIN_STEP_STEP_INTERNAL_H
#define FOVEA_SRC_TRAIN_STEP_STEP_INTERNAL_H

#include "fovea/train/step/step.h"

/* step_groups.c: the batch's groups. */

/* Append the groups of more, which is empty afterwards. */
fv_err fv_step_append(fv_batch *batch, fv_batch *more);

/* Set the advantages of all responses and what becomes of every group: *statuses (batch->n), grown, and the
 * number of kept ones. */
fv_err fv_step_weigh(const fv_advantage_settings *settings, const fv_batch *batch, fv_group_status **statuses,
                     int *n_kept);

/* The groups that are trained on, in order, as copies that own nothing (kept: batch->n); how many is
 * stats->n_groups. */
void fv_step_select(const fv_step_plan *plan, const fv_batch *batch, const fv_group_status *statuses,
                    fv_group *kept, fv_step_stats *stats);

/* FV_ERR_ARGUMENT: too few responses have a verdict to learn from; says why they have none. */
fv_err fv_step_check_judged(const fv_trainer *trainer, const fv_batch *batch);

/* step_stats.c: what a step adds up. */

void fv_step_add_collected(fv_step_stats *stats, const fv_collect_stats *part);
void fv_step_add_update(fv_step_stats *stats, const fv_update_stats *part);

#endif
