/* The mesh: how the ranks of a run are laid out. Collective over the world.
 *
 * Ranks r T to r T + T - 1 are one tensor group and hold one copy of the model in T parts; ranks with the
 * same place in their tensor groups are one data group and hold the same part. */
#ifndef FOVEA_COMM_MESH_H
#define FOVEA_COMM_MESH_H

#include "fovea/comm/comm.h"

typedef struct fv_mesh {
    fv_comm *world;  /* borrowed */
    fv_comm *tensor; /* owned; size T */
    fv_comm *data;   /* owned; size world / T */
} fv_mesh;

/* FV_ERR_ARGUMENT if T does not divide the ranks, with the arithmetic. */
fv_err fv_mesh_init(fv_mesh *mesh, fv_comm *world, int tensor);
void fv_mesh_fini(fv_mesh *mesh); /* Local */

#endif
