/* The judge that a configuration names. Local. */
#ifndef FOVEA_JUDGES_H
#define FOVEA_JUDGES_H

#include "fovea/config.h"
#include "fovea/judge.h"

/* asker of n_askers: which one of the processes that judge this is; they share out judge.in_flight. What
 * config holds is borrowed. */
fv_err fv_judges_create(const fv_train_config *config, int asker, int n_askers, fv_judge **out);

#endif
