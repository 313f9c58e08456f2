/* How much of the time a device has nothing to do, because the host has not yet said what is next: a thread
 * of its own asks again and again whether all that was queued to compute has run. Local. */
#ifndef FOVEA_OPS_IDLE_H
#define FOVEA_OPS_IDLE_H

#include "fovea/ops/backend.h"

typedef struct fv_idle fv_idle;

/* *out NULL: nobody can tell (the back end runs an operation when it is called). backend is borrowed. */
fv_err fv_idle_start(fv_backend *backend, fv_idle **out);
void fv_idle_stop(fv_idle *idle); /* NULL is fine */

/* Answers so far, and those of them that the device had nothing to do. idle NULL: none. */
typedef struct fv_idle_counts {
    int64_t n, n_idle;
} fv_idle_counts;
fv_idle_counts fv_idle_look(fv_idle *idle);

/* The share of the time between two looks; NaN: nobody answered. */
double fv_idle_share(fv_idle_counts from, fv_idle_counts to);

#endif
