/* Memory of the update: planned for --dry-run, and reserved before the first step, so that the plan is what a
 * run takes and nothing grows during one. */
#include "jobs/train/training.h"

#include <stdlib.h>

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* The largest micro-batch: as many tokens as the settings allow, all of them generated, in trees like the
 * first group, each of which shows both views. Its grids are the caller's to free. */
static fv_err largest(const fv_training *t, const fv_group *first, fv_packed *out)
{
    const fv_train_config *c = &t->config;
    int64_t tokens = most(c->update.micro_tokens, c->rollout.max_tokens), merge = t->rollout.dialogue.merge;
    int64_t of_views = fv_grid_tokens(first->low, (int)merge) + fv_grid_tokens(first->high, (int)merge);
    int64_t n_trees = most(1, tokens / ((int64_t)first->prompt.n + of_views + 1));
    *out =
        (fv_packed){.run = {.n = tokens, .n_segments = tokens, .n_spans = 2 * tokens}, .n_logprobs = tokens};
    if (!first->has_image)
        return FV_OK;
    out->n_views = (int)(2 * n_trees);
    out->n_features = out->run.n_features = n_trees * of_views;
    out->grids = malloc((size_t)out->n_views * sizeof *out->grids);
    FV_CHECK(out->grids, FV_ERR_MEMORY, "cannot allocate the grids of %d views", out->n_views);
    for (int i = 0; i < out->n_views; i++)
        out->grids[i] = i % 2 ? first->high : first->low;
    return FV_OK;
}

fv_err fv_training_update_bytes(const fv_training *t, const fv_group *first, size_t *bytes)
{
    fv_packed packed;
    FV_TRY(largest(t, first, &packed));
    fv_err err = fv_policy_bytes(t->learning.policy, &packed,
                                 fv_updater_args_of(t->learning.updater)->settings.save, bytes);
    free(packed.grids);
    return err;
}

fv_err fv_training_reserve(const fv_training *t, const fv_group *first)
{
    fv_packed packed;
    FV_TRY(largest(t, first, &packed));
    fv_err err = fv_policy_reserve(t->learning.policy, &packed,
                                   fv_updater_args_of(t->learning.updater)->settings.save);
    free(packed.grids);
    return err;
}
