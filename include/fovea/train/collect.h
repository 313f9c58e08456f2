/* Scored responses to rows of a data set, from all ranks: rollout and reward, joined. Used by training and
 * evaluation. Collective over the mesh.
 *
 * Tensor groups take prompts from one counter, so none idles while prompts wait; each scores what it rolled
 * out; then every rank receives all groups, ordered by prompt index. */
#ifndef FOVEA_TRAIN_COLLECT_H
#define FOVEA_TRAIN_COLLECT_H

#include "fovea/train/batch.h"
#include "fovea/comm/mesh.h"
#include "fovea/train/rollout.h"
#include "fovea/train/score.h"
#include "fovea/train/prompt_builder.h"

/* Who samples and who judges. */
typedef struct fv_collector {
    const fv_mesh *mesh; /* borrowed, as is all behind pointers */
    fv_engine *engine;
    fv_judge *judge; /* NULL: the first rank of the tensor group asks for all of it */
    const fv_score_settings *score;
    /* Called for each group that is done, with the verdicts (fv_group_size) that its samples have so far, on
     * the first rank of the tensor group. NULL: nobody is told. */
    fv_err (*done)(void *context, fv_group *group, const fv_verdict *verdicts);
    void *done_context;
} fv_collector;

/* What is asked, and how it is answered. */
typedef struct fv_collect_args {
    fv_prompt_builder *builder; /* borrowed, as is all behind pointers */
    const fv_rollout_settings *rollout;
    uint32_t step;    /* names the draws */
    int64_t first, n; /* prompts [first, first + n) */
    int n_samples;    /* of a prompt */
    int has_greedy;   /* a group has a greedy sample besides */
    int keeps_views;  /* until the caller forgets them (fv_prompt_builder_forget_all); else as long as a group
                         is under way */
    /* Draws are named by rows, which rise with their prompt indices, and not by those: those of a row are the
     * same whatever else is asked. */
    int draws_by_row;
    /* The row of a prompt. */
    uint64_t (*row_of)(const void *context, int64_t prompt_index);
    const void *row_context;
} fv_collect_args;

typedef struct fv_collect_stats {
    fv_rollout_stats rollout;  /* of all ranks */
    fv_judge_counts judge;     /* of all ranks */
    double rollout_s, judge_s; /* seconds, the longest of all ranks; judge_s: after the rollout */
} fv_collect_stats;

/* batch becomes the groups of the prompts asked, in their order, the same on every rank.
 *
 * FV_STOPPED if a stop was requested (stop.h) of any rank before all were answered: every rank's begun then
 * holds the groups taken up so far, prompts [first, first + begun->n), with the tokens they have; batch and
 * stats are empty, and the judge can only be destroyed. A later call, of a run of any layout, goes on from
 * there to the same tokens. begun is taken; {0}: nothing has begun. */
fv_err fv_collect(const fv_collector *collector, const fv_collect_args *args, fv_batch *begun,
                  fv_batch *batch, fv_collect_stats *stats);

#endif
