/* The journal of a run: what happened, step by step, in its folder. Rank 0 writes. Local.
 *
 *   config.yaml         the configuration with all its values
 *   metrics.jsonl       an object a step, and one a validation
 *   trajectories.jsonl  an object for some answers of each step: texts, rewards by part, the row of the data
 *                       set
 *
 * A line that cannot be written, because the disk is full, say, is kept and tried again with the next: the
 * run goes on, and no line is torn. */
#ifndef FOVEA_JOURNAL_H
#define FOVEA_JOURNAL_H

#include "fovea/batch.h"
#include "fovea/json.h"

/* A file that only grows. */
typedef struct fv_journal_file {
    char *path; /* owned */
    int descriptor;
    uint64_t written;  /* bytes in the file */
    fv_buffer pending; /* lines that are not */
    int is_failing;    /* has warned */
} fv_journal_file;

/* Starts as {0}. */
typedef struct fv_journal {
    fv_journal_file metrics, trajectories;
    const char
        *watched; /* borrowed; a figure, with a minus in front if less of it is better; "" or NULL: none */
    double score; /* its last value, larger is better; NaN: none yet */
} fv_journal;

/* How far a run had come in its journal. */
typedef struct fv_journal_place {
    uint64_t metrics, trajectories; /* bytes */
} fv_journal_place;

/* In a folder that is there: write config as config.yaml and cut the files back to place ({0}: they begin
 * anew). They become new files under the old names, so that a program which still has the old ones open
 * writes nothing more that is seen. */
fv_err fv_journal_open(fv_journal *journal, const char *folder, const fv_buffer *config,
                       const fv_journal_place *place);
/* Back to {0}. FV_ERR_IO if lines are left that could not be written. */
fv_err fv_journal_close(fv_journal *journal);

/* Lines not written yet are counted. */
fv_journal_place fv_journal_place_of(const fv_journal *journal);

/* Append {"step": step, ...}; figures is taken, and gets its step. */
fv_err fv_journal_metrics(fv_journal *journal, int64_t step, fv_json *figures);

/* Append the first answer of the first n groups. */
fv_err fv_journal_trajectories(fv_journal *journal, int64_t step, const fv_dialogue *dialogue,
                               const fv_batch *batch, int n);

/* The first and the last value of every figure in a run's metrics.jsonl, as two objects that the caller
 * destroys; empty before the first step. */
fv_err fv_journal_figures(const char *folder, fv_json **first, fv_json **last);

#endif
