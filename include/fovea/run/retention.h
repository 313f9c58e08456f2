/* Which checkpoints of a run are kept. Local. */
#ifndef FOVEA_RUN_RETENTION_H
#define FOVEA_RUN_RETENTION_H

#include "fovea/run/lease.h"

/* The last `last` (1 or more), those whose step is a multiple of every (0: none) and, with best, the one with
 * the largest score (progress.h). */
typedef struct fv_retention {
    int last;
    int64_t every;
    int best;
} fv_retention;

/* Remove the others, up to the checkpoint of step newest, which has just been committed and stays. A folder
 * loses its name before what is in it. */
fv_err fv_retention_prune(const fv_retention *retention, const fv_lease *lease, uint64_t newest);

/* Pure, for tests: whether number i of n steps (ascending) is kept; best: its index, or -1. */
int fv_retention_keeps(const fv_retention *retention, const uint64_t *steps, int n, int i, int best);

#endif
