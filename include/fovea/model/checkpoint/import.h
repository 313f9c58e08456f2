/* From a model folder to a checkpoint. Local. */
#ifndef FOVEA_MODEL_CHECKPOINT_IMPORT_H
#define FOVEA_MODEL_CHECKPOINT_IMPORT_H

#include "fovea/base/error.h"

/* Make an empty folder a checkpoint of step 0 from a model folder: one shard of one rank, the moments zeros.
 * A block of numbers is in memory at a time. */
fv_err fv_checkpoint_import(const char *model, const char *folder);

#endif
