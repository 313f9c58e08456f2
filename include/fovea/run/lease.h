/* The lease of one running program on a run's folder, so that two of them never write it. Local.
 *
 *     RUN/lock                   who has it: host, process, job, time and epoch, and a lock of the kernel; a
 *                                new file for every lease
 *     RUN/checkpoints/.epoch_N   where lease number N, its epoch, makes what it is going to commit
 *
 * The lock goes when its process ends, however it ends: a stale one is not met. What it cannot tell is a copy
 * of a job that lives on behind a broken network: a requeued job therefore takes the folder from an earlier
 * start of the same job, lock or not. What makes that safe, also where a file system has no locks, is the
 * epoch: a new lease removes the folders of all earlier epochs, and everything is committed by renaming it
 * out of the folder of its epoch, which fails if that is gone. */
#ifndef FOVEA_RUN_LEASE_H
#define FOVEA_RUN_LEASE_H

#include "fovea/comm/comm.h"

#include <limits.h>
#include <stdint.h>

typedef struct fv_lease {
    char checkpoints[PATH_MAX]; /* RUN/checkpoints */
    char own[PATH_MAX];         /* RUN/checkpoints/.epoch_N */
    char lock[PATH_MAX];        /* RUN/lock */
    uint64_t epoch;
    int descriptor; /* of the lock; -1 without one */
} fv_lease;

/* Take the lease of the folder run, which is made if need be, with all that it is in. While another program
 * has it this waits a few seconds, then FV_ERR_ARGUMENT says which. The job is that of allocation.h and
 * SLURM_RESTART_COUNT. */
fv_err fv_lease_take(const char *run, fv_lease *out);

/* Rank 0 has the lease: the paths of its lease become those of all, whose descriptor is -1. FV_ERR_IO names a
 * rank and a host that do not see there what rank 0 has written: the folder is not shared. Collective. */
fv_err fv_lease_share(fv_lease *lease, fv_comm *comm);

/* FV_ERR_ARGUMENT, naming who has it now, if another program has taken the folder. */
fv_err fv_lease_check(const fv_lease *lease);

/* Give the file or folder name of own the name path, in place of what has it. Fails as fv_lease_check does if
 * another program has taken the folder: nothing of path changes then. Else FV_ERR_IO. */
fv_err fv_lease_publish(const fv_lease *lease, const char *name, const char *path);

/* Remove what this epoch has left, and let the folder go. */
void fv_lease_release(fv_lease *lease);

#endif
