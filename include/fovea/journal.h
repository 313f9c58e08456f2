/* The journal of a run: what happened, step by step, in its folder. Rank 0 writes. Local.
 *
 *   config.yaml         the configuration with all its values
 *   metrics.jsonl       an object a step, and one a validation
 *   trajectories.jsonl  an object for some answers of each step: texts, rewards by part, the row of the data
 * set
 */
#ifndef FOVEA_JOURNAL_H
#define FOVEA_JOURNAL_H

#include "fovea/batch.h"
#include "fovea/json.h"

typedef struct fv_journal {
    FILE *metrics, *trajectories; /* owned */
} fv_journal;

/* Make the folder (its parent must exist), with config as config.yaml. FV_ERR_ARGUMENT if it holds a run. */
fv_err fv_journal_open(fv_journal *journal, const char *folder, const fv_buffer *config);
fv_err fv_journal_close(fv_journal *journal); /* back to {0}; a failed write can show only here */

/* Append {"step": step, ...}; figures is taken, and gets its step. */
fv_err fv_journal_metrics(fv_journal *journal, int64_t step, fv_json *figures);

/* Append the first answer of the first n groups. */
fv_err fv_journal_trajectories(fv_journal *journal, int64_t step, const fv_dialogue *dialogue,
                               const fv_batch *batch, int n);

#endif
