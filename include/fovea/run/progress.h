/* What a run has to know to go on, beside weights and moments: /state of a checkpoint. Local.
 *
 *     state/<name>        one number each: the counts of FV_PROGRESS_COUNTS, U64, and score, F64
 *     state/config        the resolved configuration, a text; its XXH3 hash is the attribute config_hash
 *     state/batch/...     the step under way: groups with their rewards (fv_batch_write),
 *     state/begun/...     and groups that were being generated
 *
 * A field that is missing is an error: nothing starts from a part of what it needs. */
#ifndef FOVEA_RUN_PROGRESS_H
#define FOVEA_RUN_PROGRESS_H

#include "fovea/train/batch.h"
#include "fovea/io/hdf5/hdf5.h"

/* X(member) */
#define FV_PROGRESS_COUNTS(X)                                                                          \
    X(is_supervised)                                                                                   \
    X(step)            /* steps done */                                                                \
    X(next_prompt)     /* prompts taken from the data set */                                           \
    X(optimizer_step)  /* of AdamW */                                                                  \
    X(sampling_round)  /* of the step under way */                                                     \
    X(skipped_updates) /* in a row */                                                                  \
    X(validated_step)  /* the last that was validated, plus 1; 0: none */                              \
    X(metrics_bytes)   /* of metrics.jsonl and trajectories.jsonl */                                   \
    X(trajectories_bytes)                                                                              \
    X(seed)                                                                                            \
    X(data_identity) /* of the data set, the model that the run began with and the prompts (hashes) */ \
    X(model_identity)                                                                                  \
    X(prompts_identity)

typedef struct fv_progress {
#define X(member) uint64_t member;
    FV_PROGRESS_COUNTS(X)
#undef X
    double score; /* by which the best checkpoint is kept; NaN: none */
    char *config; /* owned */
    fv_batch batch, begun;
} fv_progress;

fv_err fv_progress_write(const fv_progress *progress, fv_hdf5 *file);
fv_err fv_progress_read(const fv_hdf5 *file, fv_progress *out);
void fv_progress_fini(fv_progress *progress); /* back to {0} */

/* The score alone. */
fv_err fv_progress_read_score(const fv_hdf5 *file, double *out);

/* That a run which is described by now may go on from saved: FV_ERR_ARGUMENT names what differs, with both
 * values. Settings that change no bit of a run, or are there to be changed, are not compared. accept is a
 * list (settings.h) of the settings that are meant to differ; data.train, model and prompts stand for the
 * contents of what they name; backend is accepted without being named. Appended, with ", " between them: to
 * accepted what of them differs, "KEY is NOW, was BEFORE"; to idle the names of the others. */
fv_err fv_progress_check(const fv_progress *saved, const fv_progress *now, const char *accept,
                         fv_buffer *accepted, fv_buffer *idle);

/* Begin the step under way anew if what was accepted makes other samples than saved holds, so that no step
 * has samples of two kinds: its prompts come again. */
fv_err fv_progress_adopt(fv_progress *saved, const fv_progress *now, const char *accept);

#endif
