/* Whether a back end computes rightly here: seconds, before anything depends on it. Local. */
#ifndef FOVEA_OPS_SELF_TEST_H
#define FOVEA_OPS_SELF_TEST_H

#include "fovea/ops/backend.h"

/* Copies there and back, a product whose numbers are known, and rows whose bits must be the same alone, among
 * others and again. FV_ERR_DEVICE says what came out wrong, and what to do. Of a device: at most two seconds.
 */
fv_err fv_backend_self_test(fv_backend *backend);

#endif
