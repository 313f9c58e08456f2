/* The watch: a thread beside each rank that knows whether the others are well and how much time is left.
 *
 * The threads talk over connections of their own to rank 0's, so they see what the main threads, which wait
 * in collectives, cannot: a rank that has ended without a word; one that is silent, because it is stopped, or
 * its node or network is away; and ranks that all stand still (phase.h). Then the rank at fault is named with
 * its phase, every rank prints its own and its stack, and all end the process with one status. On rank 0 the
 * thread also reads the time left, and requests a stop (stop.h) while there is time for what is under way and
 * a save. A run that has not stopped 15 s before the end (at most half the margin) is ended, while it can
 * still be queued again. SIGUSR2 is used for the stacks. */
#ifndef FOVEA_COMM_WATCH_WATCH_H
#define FOVEA_COMM_WATCH_WATCH_H

#include "fovea/comm/comm.h"

typedef struct fv_watch_settings {
    double silence_s; /* of a rank, or without a move of any, that ends the run; 0: none does, and ranks are
                         not connected */
    double margin_s;  /* kept free before the end of the allocation, for what was not measured */
    int are_keys;     /* of a configuration, watch.silence_s and watch.margin_s: messages name them */
} fv_watch_settings;

/* What is usual. */
enum { FV_WATCH_SILENCE_S = 600, FV_WATCH_MARGIN_S = 60 };

typedef struct fv_watch fv_watch;

/* status: of a process that the watch ends; EXIT_FAILURE if the allocation ends and nothing was saved in it.
 * From the main threads of all ranks. Collective. FV_ERR_ARGUMENT: so little time is left that the run would
 * have to stop at once. Unless silence_s is 0, TERM from mpirun holds it from now on (launcher.h). */
fv_err fv_watch_start(fv_comm *world, const fv_watch_settings *settings, int status, fv_watch **out);

/* From now on this rank may end without the others. NULL is fine. Local. */
void fv_watch_stop(fv_watch *watch);

/* A save that went well has taken so long. NULL is fine. Local; any thread. */
void fv_watch_saved(fv_watch *watch, double seconds);

/* 1: this rank's watch has requested a stop because the allocation ends. NULL is fine. Local. */
int fv_watch_has_run_out(const fv_watch *watch);

#endif
