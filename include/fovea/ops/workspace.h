/* A workspace: an arena over memory of a back end, made to measure. Local. */
#ifndef FOVEA_OPS_WORKSPACE_H
#define FOVEA_OPS_WORKSPACE_H

#include "fovea/ops/backend.h"

/* Starts with a name alone: fv_workspace work = {.name = "text"}. */
typedef struct fv_workspace {
    const char *name; /* for messages; borrowed */
    fv_arena arena;
    fv_backend *backend; /* borrowed */
    void *memory;        /* owned */
    size_t bytes;
} fv_workspace;

/* Takes tensors from arena; the same ones every time that it is run on the same context. */
typedef fv_err (*fv_take)(void *context, fv_arena *arena);

/* Run take on a dry arena to count, see that there is that much memory (it grows, never shrinks), and run
 * take again for real. What was taken before is gone. */
fv_err fv_workspace_fit(fv_workspace *work, fv_backend *backend, fv_take take, void *context);
void fv_workspace_fini(fv_workspace *work); /* back to its name alone */

#endif
