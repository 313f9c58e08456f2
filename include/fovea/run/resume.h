/* Going on from a checkpoint. Collective over the world. */
#ifndef FOVEA_RUN_RESUME_H
#define FOVEA_RUN_RESUME_H

#include "fovea/run/lease.h"
#include "fovea/comm/mesh.h"
#include "fovea/model/optimizer.h"
#include "fovea/run/progress.h"

#include <limits.h>

/* The newest whole checkpoint of a run whose lease is taken and shared, every byte of which is compared with
 * its checksums: its path, or "" if the folder has none at all. Damaged ones that are newer are warned of and
 * renamed to damaged_..., so that they are in nobody's way, while the run is still this lease's.
 * FV_ERR_FORMAT if all are damaged. */
fv_err fv_resume_find(const fv_lease *lease, fv_comm *world, char path[PATH_MAX]);

/* Weights and moments of the checkpoint at path, whatever layout wrote it, and its progress, compared with
 * now (fv_progress_check, fv_progress_adopt); that of an imported one is {0}. Bytes are compared with their
 * checksums if that was not done before. FV_ERR_SHAPE, FV_ERR_FORMAT and FV_ERR_ARGUMENT name what does not
 * fit; model and optimizer can then only be destroyed. */
typedef struct fv_resume_args {
    const char *path;
    int is_verified;
    const fv_mesh *mesh;
    fv_optimizer *optimizer; /* and its model */
    const fv_progress *now;
    const char *accept;  /* a list of settings: fv_progress_check, */
    fv_buffer *accepted; /* whose answers are appended here, on every rank, */
    fv_buffer *idle;     /* and here */
} fv_resume_args;
fv_err fv_resume_load(const fv_resume_args *args, fv_progress *progress);

#endif
