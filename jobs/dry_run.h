/* fovea train --dry-run and fovea sft --dry-run: what a run would be, on standard output. */
#ifndef FOVEA_DRY_RUN_H
#define FOVEA_DRY_RUN_H

#include "training.h"

/* Print the layout, the memory of a rank and the first prompt of the run (its answers too, if it has any).
 * first: the group at place 0. After fv_training_prepare_updates. Collective over all processes. */
fv_err fv_dry_run(const fv_training *training, const fv_group *first);

#endif
