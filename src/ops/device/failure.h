/* Failures of a device, told with the rank, the phase and the call that met them. Local. */
#ifndef FOVEA_OPS_DEVICE_FAILURE_H
#define FOVEA_OPS_DEVICE_FAILURE_H

#include "fovea/base/error.h"

/* Returns err. FV_ERR_DEVICE gets "rank R, phase P, at" before its sentence; other failures stay as they are.
 */
fv_err fv_failure_at(fv_err err, const char *at);

/* The same for a call in which the host waits, with the operation that was queued last. Between these two
 * the watch sees that it does. */
void fv_wait_begin(void);
fv_err fv_wait_end(fv_err err);

#endif
