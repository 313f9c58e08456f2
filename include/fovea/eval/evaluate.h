/* Evaluation: one sample of every row of a data set, greedy unless asked otherwise. Collective over the mesh.
 *
 * Whatever is left of the rows goes to whoever is free; no row of what->rows is dropped. Each sample is a
 * function of model, row and settings alone, so neither the number of data ranks nor shards change a record.
 */
#ifndef FOVEA_EVAL_EVALUATE_H
#define FOVEA_EVAL_EVALUATE_H

#include "fovea/train/collect.h"
#include "fovea/train/row_demands.h"
#include "fovea/eval/report.h"
#include "fovea/eval/task.h"

typedef enum fv_eval_mode {
    FV_EVAL_LOW,   /* the low-resolution view, one turn */
    FV_EVAL_HIGH,  /* the high-resolution view, one turn */
    FV_EVAL_POLICY /* the low-resolution view, then the tool */
} fv_eval_mode;

extern const char *const fv_eval_mode_names[]; /* "low", ...; ends with NULL */

/* What a mode shows first, and how many turns it has. Local. */
fv_first_view fv_eval_first(fv_eval_mode mode);
int fv_eval_turns(fv_eval_mode mode, int max_turns);

typedef struct fv_evaluation {
    fv_eval_mode mode;
    const fv_prompt_builder *builder; /* borrowed; its first view is the mode's */
    const fv_rollout_settings
        *rollout;             /* borrowed; of it the dialogue, whose turns are the mode's, and seed */
    int64_t n_rows;           /* the first of the data set */
    const fv_rows *rows;      /* borrowed: those of them that are answered */
    int shard, n_shards;      /* report.h; 1 and 1: all of them */
    float temperature;        /* 0: greedy */
    int n_samples;            /* of a row; 0: 1 */
    int draws_by_row;         /* collect.h: then a sample is a function of its row, whatever else is asked */
    float repetition_penalty; /* rollout.h; 0 or 1: none */
    const char *by; /* the extra field of a row that is its record's source; NULL: the row's own source */
    /* Called on the rank that has it for each record with a verdict, as soon as it is there; it may be handed
     * over again in a later call that goes on from begun. NULL: nobody is told. */
    fv_err (*keep)(void *context, const fv_record *record);
    void *keep_context;
    const fv_task *task; /* borrowed; NULL: none. It places and scores the records, and nobody judges */
} fv_evaluation;

/* Add the samples to *report, whose records are in the order of their rows then, on the first rank of the
 * world; shard, n_shards and seconds are set on all. FV_ERR_ARGUMENT: a shard without rows. begun, the same
 * on every rank: samples of a call that was stopped, or {0}; {0} afterwards, but: FV_STOPPED: a stop was
 * requested (stop.h), and begun holds what there is (fv_collect). */
fv_err fv_evaluate(const fv_collector *with, const fv_evaluation *what, fv_batch *begun, fv_report *report);

#endif
