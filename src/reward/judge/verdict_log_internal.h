/* What the parts of the verdict log share. */
#ifndef FOVEA_SRC_REWARD_JUDGE_VERDICT_LOG_INTERNAL_H
#define FOVEA_SRC_REWARD_JUDGE_VERDICT_LOG_INTERNAL_H

#include "fovea/base/buffer.h"
#include "fovea/reward/judge/verdict_log.h"

#include <limits.h>

typedef struct fv_logged {
    fv_verdict_key key;
    double score;
} fv_logged;

/* A line of the journal. */
typedef struct fv_logged_record {
    fv_logged verdict;
    uint64_t check;
} fv_logged_record;

struct fv_verdict_log {
    char folder[PATH_MAX];
    int rank, journal; /* descriptor; -1: nothing has been added */
    fv_logged *items;  /* owned, (n), oldest first */
    int64_t n, capacity, max;
    int64_t *slots; /* owned, (n_slots): places in items; -1: empty */
    int64_t n_slots;
    fv_logged *fresh; /* owned, (n_fresh): added here and not shared yet */
    int64_t n_fresh, fresh_capacity;
    int64_t n_unfolded; /* in journals, of all ranks */
    int64_t whole;      /* bytes of the journal that are written */
    fv_buffer waiting;  /* records that could not be written yet */
    int is_failing;     /* has warned */
};

/* Remember; one that is there is replaced. */
fv_err fv_verdict_log_put(fv_verdict_log *log, const fv_logged *verdict);

fv_err fv_verdict_log_read(fv_verdict_log *log);  /* all of the folder, which may be empty */
fv_err fv_verdict_log_write(fv_verdict_log *log); /* verdicts.h5, of rank 0 */
/* To the journal. A disk that is full is no failure: what cannot be written waits. */
fv_err fv_verdict_log_append(fv_verdict_log *log, const fv_logged *verdict);
fv_err fv_verdict_log_flush(fv_verdict_log *log);   /* what waits, if it can be written now */
fv_err fv_verdict_log_restart(fv_verdict_log *log); /* the journal, empty */

#endif
