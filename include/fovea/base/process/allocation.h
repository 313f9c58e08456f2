/* The Slurm allocation that this process runs in. Local.
 *
 * Its end is in SLURM_JOB_END_TIME, or where Slurm does not set that (before 23.11) asked of the controller
 * now and then, by a child process that nobody waits for. */
#ifndef FOVEA_BASE_ALLOCATION_H
#define FOVEA_BASE_ALLOCATION_H

#include "fovea/base/process/child.h"

/* Before a command of the shell that asks Slurm something: what people have set for their own questions, such
 * as SQUEUE_FORMAT or SQUEUE_STATES, does not change ours. */
#define FV_SLURM_PLAIN "unset $(env | sed -n 's/^\\(SQUEUE_[A-Za-z0-9_]*\\)=.*/\\1/p') _; "

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

/* This job as Slurm is told of it: "12", or "12_3" of a task of an array, one of which has the array's number
 * as its own; "" outside of a job. */
void fv_allocation_job(char *out, size_t size);

/* The same for people: "job 12_3, start 2"; "" outside of a job. */
void fv_allocation_describe(char *out, size_t size);

#endif
