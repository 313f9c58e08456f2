/* The numbers of a step: how many prompts each round of it takes, and how the groups that are kept are cut
 * into mini-batches. Pure. Local. */
#ifndef FOVEA_TRAIN_STEP_STEP_PLAN_H
#define FOVEA_TRAIN_STEP_STEP_PLAN_H

#include <stdint.h>

/* What becomes of groups that do not fill a mini-batch. */
typedef enum fv_partial {
    FV_PARTIAL_KEEP,  /* they are a smaller one, the last */
    FV_PARTIAL_DROP,  /* nothing: only whole mini-batches are trained on */
    FV_PARTIAL_SPREAD /* they are spread over the whole ones, whose sizes then differ by one at most; fewer
                         groups than a mini-batch has are one */
} fv_partial;

typedef struct fv_step_plan {
    int prompts;         /* groups that a step trains on */
    int groups;          /* of a mini-batch: one update of the weights */
    int sampling_rounds; /* how often a step may go back for more prompts in place of dropped groups */
    fv_partial partial;
} fv_step_plan;

/* How many prompts the next round takes when n_kept of n_taken groups were kept; 0: no round is needed, or
 * left. The first takes prompts. The others take what is missing over the share that was kept, and a standard
 * deviation more, so that most often one is enough; all later rounds together take at most sampling_rounds x
 * prompts. */
int64_t fv_step_plan_more(const fv_step_plan *plan, int64_t n_taken, int64_t n_kept);

/* The number of updates that n groups give, and where mini-batch i of them begins; that of i = the number of
 * updates is the number of groups trained on. */
int fv_step_plan_updates(const fv_step_plan *plan, int n);
int fv_step_plan_first(const fv_step_plan *plan, int n, int i);

#endif
