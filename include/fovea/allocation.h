/* The Slurm allocation that this process runs in. Local.
 *
 * Its end is in SLURM_JOB_END_TIME, or where Slurm does not set that (before 23.11) asked of the controller
 * now and then, by a child process that nobody waits for. */
#ifndef FOVEA_ALLOCATION_H
#define FOVEA_ALLOCATION_H

#include "fovea/child.h"

typedef struct fv_allocation {
    double end;      /* on fv_clock_now's clock; INFINITY: none is known */
    int asks;        /* the controller; 0: there is none, or nothing to ask */
    double asked;    /* when it was asked last */
    fv_child *child; /* owned: squeue under way; NULL: none */
} fv_allocation;

void fv_allocation_init(fv_allocation *allocation);
void fv_allocation_fini(fv_allocation *allocation);

/* Seconds; INFINITY: no end is known, or not yet. Never waits. */
double fv_allocation_left(fv_allocation *allocation);

/* Time left as squeue prints it (%L): [[DAYS-]HOURS:]MINUTES:SECONDS, in seconds; INFINITY for anything else,
 * such as UNLIMITED. */
double fv_allocation_parse(fv_slice text);

/* What Slurm says of this job, for people: "job 12, task 3, start 2"; "" outside of a job. */
void fv_allocation_describe(char *out, size_t size);

#endif
