/* What the verbs of fovea sweep share. */
#ifndef FOVEA_JOBS_SWEEP_H
#define FOVEA_JOBS_SWEEP_H

#include "fovea/sweep/sweep.h"

typedef struct fv_sweep_options {
    const char *verb, *file;
    int max_parallel;       /* 0: as many as there are */
    int limit;              /* of the runs that are submitted; 0: all */
    const char *dependency; /* sbatch --dependency; NULL: none */
    const char *launcher;   /* of a run on this machine, e.g. "mpirun -n 2"; "": none */
    int best;               /* rows of the table of collect; 0: all */
    int dry_run;
    char **others; /* (n_others): options of sbatch; borrowed from argv */
    int n_others;
} fv_sweep_options;

/* X(name, what status calls it). */
#define FV_SWEEP_STATES(X)       \
    X(NEW, "not submitted")      \
    X(WAITING, "waiting")        \
    X(RUNNING, "running")        \
    X(REQUEUED, "queued again")  \
    X(FAILED, "failed")          \
    X(CHANGED, "other settings") \
    X(DONE, "done")

typedef enum fv_sweep_state {
#define X(name, text) FV_SWEEP_##name,
    FV_SWEEP_STATES(X)
#undef X
        FV_SWEEP_N_STATES
} fv_sweep_state;
extern const char *const fv_sweep_state_names[FV_SWEEP_N_STATES];

/* What has become of a run. */
typedef struct fv_sweep_item {
    char *name;              /* owned */
    const fv_sweep_run *run; /* NULL: it is no longer in the sweep's file */
    fv_sweep_state state;
    long job, task; /* of its last submission; job 0: there is none */
    int is_other;   /* it was submitted with other settings than the file has now */
    char *log;      /* owned: what it printed, or would; NULL: nowhere */
    char
        *reason; /* owned: one line for people, why it waits, failed or is not as the file says; NULL: none */
} fv_sweep_item;

/* Starts as {0}. */
typedef struct fv_sweep_view {
    const fv_sweep *sweep;
    fv_sweep_item *items; /* owned, (n): the runs of the sweep in their order, then those no longer in it */
    int n;
} fv_sweep_view;

/* From the runs' folders, from OUT/submissions/NUMBER, where `runs` lists the runs of a job array, a line a
 * task, and `job` has its number, and from the queue if there is a Slurm here. A run with a model is done,
 * but CHANGED if its settings are others than the file's now; one that was begun or submitted, has no model
 * and is not in the queue has failed. */
fv_err fv_sweep_look(const fv_sweep *sweep, fv_sweep_view *out);
void fv_sweep_view_fini(fv_sweep_view *view); /* back to {0} */

/* How many runs of the sweep are in a state; *first is one of them. */
int fv_sweep_count(const fv_sweep_view *view, fv_sweep_state state, const fv_sweep_item **first);

/* Tell of the runs that are CHANGED, on standard output. */
void fv_sweep_warn(const fv_sweep_view *view);

/* For fv_sweep_look: the item of a name, a new one (FAILED) if need be; text that takes the place of an
 * item's; jobs and states from submissions and queue; the last line of a log that tells what went wrong (*out
 * stays NULL if there is none). */
fv_err fv_sweep_item_of(fv_sweep_view *view, const char *name, size_t size, int *index);
fv_err fv_sweep_tell(char **text, const char *format, ...) __attribute__((format(printf, 2, 3)));
fv_err fv_sweep_read_queue(fv_sweep_view *view);
fv_err fv_sweep_read_log(const char *path, char **out);

/* The number of a submission's job; 0 if sbatch has not answered, or refused. */
fv_err fv_sweep_read_job(const char *folder, long *job);

/* The last value of every figure in the metrics.jsonl of the run of that name, an object that the caller
 * destroys; empty before the first step. */
fv_err fv_sweep_figures(const fv_sweep *sweep, const char *name, fv_json **out);

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
