/* What this process is doing, for whoever watches it (watch.h). Local; any thread may ask.
 *
 * Names are static storage. Whatever shows that the process gets on counts as a move: a new phase, a
 * collective entered or left, an operation. */
#ifndef FOVEA_BASE_PHASE_H
#define FOVEA_BASE_PHASE_H

#include <stdint.h>

typedef struct fv_phase {
    const char *name;      /* of the part of the program, e.g. "rollout" */
    const char *inside;    /* the collective or the wait for a device that the main thread is in; NULL: it
                              computes */
    const char *operation; /* of a back end, the last that was called; NULL: none was */
    uint64_t n_moves;
} fv_phase;

void fv_phase_set(const char *name);
void fv_phase_enter(const char *collective);
void fv_phase_leave(void);
void fv_phase_move(void);
void fv_phase_operation(const char *name); /* is called; a move */
fv_phase fv_phase_get(void);

#endif
