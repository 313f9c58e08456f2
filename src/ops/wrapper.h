/* What back ends around another one share: how they begin and end, and calls that they only pass on. Local.
 */
#ifndef FOVEA_SRC_OPS_WRAPPER_H
#define FOVEA_SRC_OPS_WRAPPER_H

#include "fovea/ops/backend.h"

/* The state of a wrapper begins with it. */
typedef struct fv_wrapper {
    fv_backend *inner; /* owned */
    fv_backend_table table;
    char name[64]; /* "kind(name of inner)" */
} fv_wrapper;

/* Wrap inner (taken: destroyed if it fails) with a state of state_bytes, all zero but for its fv_wrapper. Of
 * entries that table (copied; its name is the kind) leaves NULL, workspace, plans of attention, host memory,
 * events and synchronize are passed on to inner, and destroy is fv_wrapper_destroy. */
fv_err fv_wrapper_create(fv_backend *inner, const fv_backend_table *table, size_t state_bytes,
                         fv_backend **out);

/* The end of a wrapper's destroy: frees inner, the state and the back end. */
void fv_wrapper_destroy(fv_backend *backend);

#endif
