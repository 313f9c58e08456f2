/* The launcher that has started this process, if it is Open MPI's: mpirun, or its daemon on another node.
 *
 * Asked to end by TERM, Ctrl-C or a lost terminal, it passes TERM on after a second
 * (odls_base_sigkill_timeout), kills its ranks a second later, whatever they do, and ends with status 1. That
 * is too soon for a save. So a rank that is told TERM by its launcher holds it (SIGSTOP) until all ranks of
 * the run have done what they do before they end. A rank that is killed itself, or fails, leaves a guard that
 * lets the launcher go on. Local. */
#ifndef FOVEA_BASE_LAUNCHER_H
#define FOVEA_BASE_LAUNCHER_H

#include <sys/types.h>

/* Look who has started this process. Without it the others do nothing: a rank that waits for one that was
 * killed, and holds the launcher that would end it, waits for ever, so this is for processes that are watched
 * (watch.h). */
void fv_launcher_find(void);

/* A signal has come from sender: if that is the launcher, hold it. Safe in signal handlers. */
void fv_launcher_hold(pid_t sender);

int fv_launcher_is_known(void);

/* 1: it stands still, or will in a moment. */
int fv_launcher_is_held(void);

/* From now on it is not held. One that is held stays so. */
void fv_launcher_hold_no_more(void);

/* If it is held, it goes on, is not held again, and kills what is left of its ranks. */
void fv_launcher_release(void);

/* The same, and wait a few seconds to be killed: of a rank that has nothing left to do. */
void fv_launcher_obey(void);

/* This process ends in order: whoever else holds the launcher still needs it held. */
void fv_launcher_leave(void);

#endif
