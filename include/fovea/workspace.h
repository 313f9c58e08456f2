/* A workspace: an arena over memory of a back end, made to measure. Local.
 *
 *     fv_workspace work = fv_workspace_dry("text");
 *     FV_TRY(plan(&work.arena));                     counts
 *     FV_TRY(fv_workspace_allocate(&work, backend)); exactly what was counted
 *     FV_TRY(plan(&work.arena));                     the same takes again, now real
 */
#ifndef FOVEA_WORKSPACE_H
#define FOVEA_WORKSPACE_H

#include "fovea/backend.h"

typedef struct fv_workspace {
    fv_arena arena;
    fv_backend *backend; /* borrowed */
    void *memory;        /* owned */
} fv_workspace;

fv_workspace fv_workspace_dry(const char *name);
/* Allocate the arena's peak; the arena becomes real and empty. */
fv_err fv_workspace_allocate(fv_workspace *work, fv_backend *backend);
void fv_workspace_fini(fv_workspace *work);

#endif
