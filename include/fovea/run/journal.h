/* The journal of a run: what happened, step by step, in its folder. Rank 0 writes. Local.
 *
 *   config.yaml         the configuration with all its values
 *   metrics.jsonl       an object a step, and one a validation
 *   trajectories.jsonl  an object for some samples of each step: texts, rewards by part, the row of the data
 *                       set
 *
 * What cannot be written, because the disk is full, say, is kept and tried again with the next line: the run
 * goes on, and no line is torn. What is kept is bounded: FV_JOURNAL_PENDING bytes a file, and then lines are
 * lost, of which the log tells. */
#ifndef FOVEA_RUN_JOURNAL_H
#define FOVEA_RUN_JOURNAL_H

#include "fovea/train/batch.h"
#include "fovea/run/lease.h"
#include "fovea/io/json.h"

enum { FV_JOURNAL_PENDING = 64 << 20 };

/* A file that only grows. */
typedef struct fv_journal_file {
    const fv_lease *lease; /* borrowed */
    char *path, *name;     /* owned: the file, and its name in the folder */
    int descriptor;        /* -1: it could not be begun yet */
    uint64_t written;      /* bytes in the file */
    fv_buffer pending;     /* lines that are not */
    int64_t n_lost;        /* lines, for want of memory */
    int is_failing;        /* has warned */
} fv_journal_file;

/* Starts as {0}. */
typedef struct fv_journal {
    const fv_lease *lease; /* borrowed */
    char *folder;          /* owned */
    fv_buffer config;      /* while it could not be written */
    fv_journal_file metrics, trajectories;
    const char
        *watched; /* borrowed; a figure, with a minus in front if less of it is better; "" or NULL: none */
    double score; /* its last value, larger is better; NaN: none yet */
} fv_journal;

/* How far a run had come in its journal. */
typedef struct fv_journal_position {
    uint64_t metrics, trajectories; /* bytes */
} fv_journal_position;

/* In folder, that of the lease: write config as config.yaml and cut the files back to the whole lines of
 * position
 * ({0}: they begin anew). They are made in the lease's own folder and become new files under the old names: a
 * program that was taken over can neither do that nor write what is seen. Fails if the folder is another's
 * now (fv_lease_check), not for a disk that is full. */
fv_err fv_journal_open(fv_journal *journal, const fv_lease *lease, const char *folder,
                       const fv_buffer *config, const fv_journal_position *position);
/* Back to {0}. Lines that could not be written are tried once more, or with some patience; FV_ERR_IO if any
 * are left. */
fv_err fv_journal_close(fv_journal *journal, int is_patient);

fv_journal_position fv_journal_position_of(const fv_journal *journal);

/* Append {"step": step, ...}; figures is taken, and gets its step. */
fv_err fv_journal_metrics(fv_journal *journal, int64_t step, fv_json *figures);

/* Append the first sample of the first n groups. */
fv_err fv_journal_trajectories(fv_journal *journal, int64_t step, const fv_dialogue *dialogue,
                               const fv_batch *batch, int n);

/* The first and the last value of every figure in a run's metrics.jsonl, as two objects that the caller
 * destroys; empty before the first step. */
fv_err fv_journal_figures(const char *folder, fv_json **first, fv_json **last);

#endif
