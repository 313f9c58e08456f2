/* The verbs of fovea ckpt that have a file of their own. */
#ifndef FOVEA_JOBS_CKPT_H
#define FOVEA_JOBS_CKPT_H

#include "fovea/base/error.h"

/* Print the tensors of paths[0] and paths[1], checkpoints or model folders, that differ in a bit.
 * FV_ERR_ARGUMENT if there are any, or the models have other shapes. */
fv_err fv_ckpt_diff(char **paths);

#endif
