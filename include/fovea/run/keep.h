/* Which checkpoints of a run are kept. Local. */
#ifndef FOVEA_RUN_KEEP_H
#define FOVEA_RUN_KEEP_H

#include "fovea/run/claim.h"

/* The last `last` (1 or more), those whose step is a multiple of every (0: none) and, with best, the one with
 * the largest score (progress.h). */
typedef struct fv_keep {
    int last;
    int64_t every;
    int best;
} fv_keep;

/* Remove the others, up to the checkpoint of step newest, which has just been committed and stays. A folder
 * loses its name before what is in it. */
fv_err fv_keep_prune(const fv_keep *keep, const fv_claim *claim, uint64_t newest);

/* Pure, for tests: whether number i of n steps (ascending) is kept; best: its index, or -1. */
int fv_keep_wants(const fv_keep *keep, const uint64_t *steps, int n, int i, int best);

#endif
