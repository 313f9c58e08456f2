/* What the verbs of fovea sweep share. */
#ifndef FOVEA_JOBS_SWEEP_H
#define FOVEA_JOBS_SWEEP_H

#include "fovea/sweep.h"

typedef struct fv_sweep_options {
    const char *verb, *file;
    int max_parallel;       /* 0: as many as there are */
    const char *dependency; /* sbatch --dependency; NULL: none */
    const char *launcher;   /* of a run on this machine, e.g. "mpirun -n 2"; "": none */
    int best;               /* rows of the table of collect; 0: all */
    int dry_run;
    char **others; /* (n_others): options of sbatch; borrowed from argv */
    int n_others;
} fv_sweep_options;

/* X(name, what status calls it). */
#define FV_SWEEP_STATES(X)      \
    X(NEW, "not submitted")     \
    X(WAITING, "waiting")       \
    X(RUNNING, "running")       \
    X(REQUEUED, "queued again") \
    X(FAILED, "failed")         \
    X(DONE, "done")

typedef enum fv_sweep_state {
#define X(name, text) FV_SWEEP_##name,
    FV_SWEEP_STATES(X)
#undef X
        FV_SWEEP_N_STATES
} fv_sweep_state;
extern const char *const fv_sweep_state_names[FV_SWEEP_N_STATES];

/* Of every run (n_runs), from its folder, and from the queue if there is a Slurm here: a run with a model is
 * done; one with a folder that neither has a model nor is in the queue has failed. */
fv_err fv_sweep_look(const fv_sweep *sweep, fv_sweep_state *states);

/* The last value of every figure in the run's metrics.jsonl, an object that the caller destroys; empty before
 * the first step. */
fv_err fv_sweep_figures(const fv_sweep *sweep, const fv_sweep_run *run, fv_json **out);

/* Append what a command of the shell prints; *status is its exit status. */
fv_err fv_sweep_shell(const char *command, fv_buffer *out, int *status);

/* Append text as one word of the shell, and a blank. */
fv_err fv_sweep_quote(const char *text, fv_buffer *out);

/* Verbs. */
fv_err fv_sweep_status(const fv_sweep *sweep, const fv_sweep_options *options);
fv_err fv_sweep_submit(const fv_sweep *sweep, const fv_sweep_options *options);
fv_err fv_sweep_retry(const fv_sweep *sweep, const fv_sweep_options *options);
fv_err fv_sweep_collect(const fv_sweep *sweep, const fv_sweep_options *options);
fv_err fv_sweep_run_here(const fv_sweep *sweep, const fv_sweep_options *options);

#endif
