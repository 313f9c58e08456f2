/* Rollout: groups of prompts to samples, through an engine. Collective over the model's tensor group.
 *
 * A prompt is a sequence of the engine that wants nothing, and its samples are forks of it, so it is computed
 * once for a group, as are the features of a view. A draw is a pure function of (seed, step, prompt, sample,
 * place in the response), so neither batching nor the number of ranks changes a token. */
#ifndef FOVEA_TRAIN_ROLLOUT_H
#define FOVEA_TRAIN_ROLLOUT_H

#include "fovea/engine/engine.h"
#include "fovea/train/trajectory.h"

typedef struct fv_rollout_settings {
    fv_dialogue dialogue;
    float temperature;        /* 0 takes the likeliest token */
    int top_k;                /* 0 = all */
    float top_p;              /* 1 = all */
    float repetition_penalty; /* of an engine that has penalties: what is generated follows logits so changed,
                                 log-probs do not; 0 or 1: none, as in training, whose ratios would not be
                                 those of what was generated */
    uint64_t seed;
} fv_rollout_settings;

/* What an engine for rollouts needs, but for images: running samples at once, at least a group's; pass_tokens
 * at least twice that; a dialogue's max_tokens and the excluded ids. fv_rollout_show adds what the images of
 * the groups need, the largest of which is given. */
void fv_rollout_show(fv_engine_settings *settings, fv_grid largest, int merge);

typedef struct fv_rollout_stats {
    int64_t n_groups;
    int64_t n_passes, computed_tokens, generated_tokens, vision_patches, n_evictions; /* fv_engine_stats */
} fv_rollout_stats;

/* Where groups come from and go to. Every rank of the tensor group is given the same. */
typedef struct fv_rollout_source {
    void *context;
    /* The next group, its prompt and grids filled in, its samples empty or as an earlier rollout left them;
     * NULL if there is none any more. */
    fv_err (*next)(void *context, fv_group **group);
    fv_view_of view;
    /* All samples of the group are done. */
    fv_err (*done)(void *context, fv_group *group);
    /* After every pass, with the sums so far; NULL: nothing. For what goes on beside the rollout. *is_over (0
     * before), on every rank of the tensor group at the same pass: the rollout ends here, and groups keep the
     * tokens they have.
     */
    fv_err (*passed)(void *context, const fv_rollout_stats *stats, int *is_over);
} fv_rollout_source;

/* step names the draws, with the settings' seed. Run until next gives no group and all are done, or until
 * passed ends it. The engine has no other sequences. On failure groups that were taken may be unfinished.
 * FV_ERR_ARGUMENT names a setting that makes no sense, or the group that does not fit. stats may be NULL. */
fv_err fv_rollout_run(fv_engine *engine, const fv_rollout_settings *settings, uint32_t step,
                      const fv_rollout_source *source, fv_rollout_stats *stats);

#endif
