/* Between the sources of comm.h: a process whose launcher is gone. Local. */
#ifndef FOVEA_SRC_COMM_WATCH_ORPHAN_H
#define FOVEA_SRC_COMM_WATCH_ORPHAN_H

#include "fovea/base/error.h"

#include <pthread.h>
#include <sys/types.h>

typedef struct fv_orphan_guard {
    pid_t parent;
    int bell[2]; /* a pipe; closed: the guard ends */
    pthread_t thread;
} fv_orphan_guard;

/* From now on the process ends with EXIT_FAILURE and a sentence when what has started it does. */
fv_err fv_orphan_guard_start(fv_orphan_guard *guard);
void fv_orphan_guard_stop(fv_orphan_guard *guard);

#endif
