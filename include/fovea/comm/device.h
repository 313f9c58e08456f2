/* Which GPU a rank computes on.
 *
 * A process sees the devices that the driver shows it, and where there is no driver those of the list
 * CUDA_VISIBLE_DEVICES, which Slurm sets for --gres, --gpus-per-task and the like. Ranks of one node that see
 * the same devices share them out: the first takes the first, the second the second. A rank that sees devices
 * of its own takes the first of them. The driver tells devices apart by their UUIDs, for every rank may see
 * another one as number 0. */
#ifndef FOVEA_COMM_DEVICE_H
#define FOVEA_COMM_DEVICE_H

#include "fovea/comm/comm.h"

typedef struct fv_device {
    int index;     /* in what this process sees; -1: it has none */
    int n_visible; /* that this process sees */
    char name[64]; /* its entry in CUDA_VISIBLE_DEVICES or its index, and where there is a driver the
                      beginning of its UUID; "none" */
    char host[64];
} fv_device;

/* FV_ERR_ARGUMENT, with the arithmetic, if ranks that see devices are left without one; *out is filled in
 * then, too. Where none are seen none are taken, and that is fine. Collective. */
fv_err fv_device_choose(fv_comm *world, fv_device *out);

#endif
