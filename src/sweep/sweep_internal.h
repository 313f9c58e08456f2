/* What the files of sweeps share. */
#ifndef FOVEA_SRC_SWEEP_SWEEP_INTERNAL_H
#define FOVEA_SRC_SWEEP_SWEEP_INTERNAL_H

#include "fovea/sweep/sweep.h"

/* Add a run, of which values is taken, unless it is excepted or there already. except: an array or NULL. */
fv_err fv_sweep_add(fv_sweep *sweep, const fv_json *except, fv_json *values);

/* Whether the configuration takes the settings of every run. */
fv_err fv_sweep_check(const fv_sweep *sweep);

#endif
