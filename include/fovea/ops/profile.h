/* The time that operations take where they run, on back ends that queue them. Local. */
#ifndef FOVEA_OPS_PROFILE_H
#define FOVEA_OPS_PROFILE_H

#include "fovea/ops/backend.h"

/* From now on backend->timer, which becomes zero, holds that time, by the back end's own clock; no graph is
 * recorded or launched, and everything is slower. */
fv_err fv_profile_start(fv_backend *backend);
/* The timers are complete. After a failure too: there is no profile then. */
fv_err fv_profile_stop(fv_backend *backend);

/* Around the call of an operation, with a profile. */
fv_err fv_profile_begin(fv_backend *backend);
fv_err fv_profile_end(fv_backend *backend, fv_op op);

#endif
