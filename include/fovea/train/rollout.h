/* Rollout: groups of prompts to answers, by continuous batching. Collective over the model's tensor group.
 *
 * Each pass computes the next token of every answer under way and, with what room is left, pieces of prompts
 * and of the tool's turns. A group's prompt is computed once and read by all its answers; the features of a
 * view are computed once for a group. When the cache is full the youngest sequences give up their rows and
 * are computed again later, to the same bits. A draw is a pure function of (seed, step, prompt, sample, place
 * in the answer), so neither batching nor the number of ranks changes a token. */
#ifndef FOVEA_TRAIN_ROLLOUT_H
#define FOVEA_TRAIN_ROLLOUT_H

#include "fovea/model/model.h"
#include "fovea/train/trajectory.h"

typedef struct fv_rollout_settings {
    fv_dialogue dialogue;
    float temperature;        /* 0 takes the likeliest token */
    int top_k;                /* 0 = all */
    float top_p;              /* 1 = all */
    float repetition_penalty; /* what is drawn follows logits so changed (generate.h), log-probs do not; 0 or
                                 1: none, as in training, whose ratios would not be those of what was drawn */
    uint64_t seed;
    uint32_t step;           /* names the draws, with seed */
    const int32_t *excluded; /* borrowed, (n_excluded): never drawn, and outside every log-prob */
    int n_excluded;
    int max_running; /* answers at once; at least a group's */
    int pass_tokens; /* tokens of a pass at most; at least 2 max_running */
    int cache_pages; /* of the key-value cache (cache.h); at least one prompt with one answer must fit */
} fv_rollout_settings;

typedef struct fv_rollout_stats {
    int64_t n_passes, n_groups;
    int64_t computed_tokens; /* through the decoder, those computed again included */
    int64_t generated_tokens;
    int64_t vision_patches;
    int64_t n_evictions; /* sequences that gave up their rows */
} fv_rollout_stats;

/* Where groups come from and go to. Every rank of the tensor group is given the same. */
typedef struct fv_rollout_source {
    void *context;
    /* The next group, its prompt and grids filled in, its answers empty or as an earlier rollout left them;
     * NULL if there is none any more. */
    fv_err (*next)(void *context, fv_group **group);
    fv_view_of view;
    /* All answers of the group are done. */
    fv_err (*done)(void *context, fv_group *group);
    /* After every pass, with the sums so far; NULL: nothing. For what goes on beside the rollout. *is_over (0
     * before), on every rank of the tensor group at the same pass: the rollout ends here, and groups keep the
     * tokens they have.
     */
    fv_err (*passed)(void *context, const fv_rollout_stats *stats, int *is_over);
} fv_rollout_source;

/* Run until next gives no group and all are done, or until passed ends it. On failure groups that were taken
 * may be unfinished. FV_ERR_ARGUMENT names a setting that makes no sense, or the group that does not fit.
 * stats may be NULL. */
fv_err fv_rollout_run(fv_model *model, const fv_rollout_settings *settings, const fv_rollout_source *source,
                      fv_rollout_stats *stats);

/* Memory of the largest pass that the settings allow, but for the vision tower's. Local. */
fv_err fv_rollout_bytes(fv_model *model, const fv_rollout_settings *settings, size_t *bytes);

#endif
