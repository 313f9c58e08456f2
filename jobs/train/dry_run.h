/* fovea train --dry-run and fovea sft --dry-run: what a run would be, on standard output. */
#ifndef FOVEA_JOBS_DRY_RUN_H
#define FOVEA_JOBS_DRY_RUN_H

#include "jobs/train/training.h"

/* Print the layout, the memory of a rank, the first prompt of the run (its samples too, if it has any) and a
 * line a prompt of the first batch. groups (n): those of prompts 0 to n - 1. After
 * fv_training_prepare_updates. Collective over all processes. */
fv_err fv_dry_run(const fv_training *training, const fv_group *groups, int n);

#endif
