/* Between the sources of comm.h: how this process was started, by its environment. Local. */
#ifndef FOVEA_SRC_COMM_STARTED_H
#define FOVEA_SRC_COMM_STARTED_H

#include "fovea/base/error.h"

typedef struct fv_started {
    int is_of_mpi;       /* by a launcher that MPI asks for the other processes */
    long n;              /* processes that were started together; 0: nobody says */
    const char *told_by; /* the variable that says so */
    const char *mend;    /* how to start them, if MPI finds fewer */
} fv_started;

/* The nearest launcher counts: mpirun sets its variables inside a step of Slurm, whose own are still there. A
 * batch script, which is one process whatever was asked for, is no step. */
fv_started fv_started_look(void);

/* FV_ERR_ARGUMENT if the world has fewer processes than were started: each would be a run of its own. */
fv_err fv_started_check(const fv_started *started, int size);

#endif
