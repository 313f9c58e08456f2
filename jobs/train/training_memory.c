/* Memory of the update: planned for --dry-run, and reserved before the first step, so that the plan is what a
 * run takes and nothing grows during one. */
#include "jobs/train/training.h"

#include "fovea/base/log.h"

#include <stdlib.h>

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int samples_of(const fv_training *t)
{
    return t->learning.settings.is_supervised ? 1 : t->config.rollout.samples;
}

/* Samples of a mini-batch: all of a step's, if they are spread. */
static int64_t most_samples(const fv_training *t)
{
    const fv_train_config *c = &t->config;
    int64_t groups =
        t->learning.settings.is_supervised ? c->update.groups : most(c->rollout.prompts, c->update.groups);
    return groups * samples_of(t);
}

/* The largest micro-batch that settings and rows allow. A prompt with one sample may exceed micro_tokens; a
 * sample gives one log-prob more than the tokens that are computed of it. */
static fv_packed_size largest_size(const fv_training *t)
{
    int64_t tokens = most(t->config.update.micro_tokens, t->config.rollout.max_tokens);
    int64_t text = most(1, t->questions.rows.least_text), trees = tokens / text + 1;
    int64_t samples = trees * samples_of(t), all = most_samples(t);
    return (fv_packed_size){.trees = trees,
                            .responses = samples < all ? samples : all,
                            .tokens = tokens,
                            .logprobs = tokens + trees * most(0, samples_of(t) - text)};
}

/* As packed, with grids that are the caller's to free. Of trees of so many tokens, those with the largest
 * images have the most views: each of them has its prompt's text, and once the tokens of both views. One more
 * than fit is for the lists of windows, of which small images have more. */
static fv_err largest(const fv_training *t, const fv_packed_size *size, fv_packed *out)
{
    const fv_largest_views *views = &t->questions.trained;
    int merge = t->rollout.dialogue.merge;
    *out = (fv_packed){.run = {.n = size->tokens, .n_segments = size->tokens, .n_spans = 2 * size->tokens},
                       .n_logprobs = size->logprobs};
    if (views->high.t == 0)
        return FV_OK;
    int64_t shown = fv_grid_tokens(views->low, merge) + fv_grid_tokens(views->high, merge);
    int64_t n = size->tokens / (shown + most(1, t->questions.rows.least_text)) + 2;
    out->n_views = (int)(2 * n);
    out->n_features = n * shown;
    out->run.n_features = size->tokens; /* every sample may show the view */
    out->grids = malloc((size_t)out->n_views * sizeof *out->grids);
    FV_CHECK(out->grids, FV_ERR_MEMORY, "cannot allocate the grids of %d views", out->n_views);
    for (int i = 0; i < out->n_views; i++)
        out->grids[i] = i % 2 ? views->high : views->low;
    return FV_OK;
}

fv_err fv_training_largest(const fv_training *t, fv_packed *out)
{
    const fv_packed_size size = largest_size(t);
    return largest(t, &size, out);
}

fv_err fv_training_reserve(const fv_training *t)
{
    const fv_packed_size size = largest_size(t);
    fv_packed packed;
    FV_TRY(largest(t, &size, &packed));
    fv_err err = fv_policy_reserve(t->learning.policy, &packed, t->learning.settings.save);
    free(packed.grids);
    FV_TRY(err);
    return fv_updater_reserve(t->learning.updater, &size, most_samples(t));
}

/* The plan. */

static fv_err update_bytes(const fv_training *t, fv_save save, double *out)
{
    fv_packed packed;
    size_t bytes = 0;
    FV_TRY(fv_training_largest(t, &packed));
    fv_err err = fv_policy_bytes(t->learning.policy, &packed, save, &bytes);
    free(packed.grids);
    *out = (double)bytes;
    return err;
}

static fv_err rollout_bytes(const fv_training *t, double bytes[FV_MEMORY_PARTS])
{
    const fv_engine_settings settings = fv_training_engine_settings(t);
    fv_engine_bytes counted = {0};
    if (!t->learning.settings.is_supervised || t->config.data.validate[0])
        FV_TRY(fv_engine_measure(t->runtime.model, &settings, &counted));
    bytes[FV_MEMORY_CACHE] = (double)counted.cache;
    bytes[FV_MEMORY_FEATURES] = (double)counted.image_rows;
    bytes[FV_MEMORY_ROLLOUT] = (double)counted.pass;
    bytes[FV_MEMORY_VISION] = (double)counted.vision;
    return FV_OK;
}

static fv_err optimizer_bytes(const fv_training *t, double bytes[FV_MEMORY_PARTS])
{
    const fv_optimizer_settings *adamw = &t->config.optimizer.adamw;
    int copies = t->runtime.mesh.data->size;
    size_t device, host;
    FV_TRY(fv_optimizer_bytes(t->runtime.model, copies, adamw, &device, &host));
    double moments = (double)fv_model_layout(t->runtime.model)->n_flat / copies *
                     (adamw->moments == FV_MOMENTS_BF16 ? 4 : 8);
    bytes[FV_MEMORY_MOMENTS] = adamw->on_host == FV_ON_HOST_NOTHING ? moments : 0;
    bytes[FV_MEMORY_MASTERS] = (double)device - bytes[FV_MEMORY_MOMENTS];
    bytes[FV_MEMORY_STATE_ON_HOST] = (double)host;
    return FV_OK;
}

/* Both views of all groups of a step, the largest ones, as far as the cache takes them. */
static double view_bytes(const fv_training *t)
{
    const fv_train_config *c = &t->config;
    const fv_largest_views *views = &t->questions.trained;
    int copies = t->runtime.mesh.data->size, patch = t->questions.processor.patch;
    int64_t groups = t->learning.settings.is_supervised
                         ? c->update.groups
                         : (int64_t)c->rollout.prompts * (1 + c->rollout.sampling_rounds);
    double each = (double)(fv_picture_bytes(views->low, patch) + fv_picture_bytes(views->high, patch));
    double all = each * (double)((groups + copies - 1) / copies), room = 1e6 * c->views.cache_megabytes;
    return all < room ? all : room;
}

fv_err fv_training_memory(const fv_training *t, double bytes[FV_MEMORY_PARTS])
{
    const fv_model *model = t->runtime.model;
    const fv_reference *reference = t->learning.reference;
    double weights = (double)fv_tensor_span_bytes(fv_model_weights(model)->flat);
    bytes[FV_MEMORY_WEIGHTS] = weights;
    bytes[FV_MEMORY_GRADIENTS] =
        (double)fv_model_layout(model)->n_flat * (double)fv_dtype_bytes(fv_model_precision(model)->gradient);
    bytes[FV_MEMORY_REFERENCE] = !reference        ? 0
                                 : reference->host ? (double)fv_reference_slot_bytes(reference)
                                                   : weights;
    bytes[FV_MEMORY_REFERENCE_ON_HOST] = reference && reference->host ? weights : 0;
    bytes[FV_MEMORY_VIEWS] = view_bytes(t);
    FV_TRY(optimizer_bytes(t, bytes));
    FV_TRY(rollout_bytes(t, bytes));
    return update_bytes(t, t->learning.settings.save, &bytes[FV_MEMORY_UPDATE]);
}

/* The choice. */

/* 0: there is no limit that is known. */
static fv_err limit_of(const fv_training *t, double *out)
{
    double room;
    *out = 1e9 * t->config.run.memory_gigabytes;
    if (*out > 0)
        return FV_OK;
    FV_TRY(fv_runtime_room(&t->runtime, &room));
    *out = room > 0 ? room + (double)t->runtime.backend->memory.bytes : 0;
    return FV_OK;
}

static double tensors_of(const double bytes[FV_MEMORY_PARTS])
{
    double sum = 0;
    for (int i = 0; i < FV_MEMORY_TENSORS; i++)
        sum += bytes[i];
    return sum;
}

/* What would make room, of what is not set yet. */
static const char *mend_of(const fv_train_config *c, const fv_reference *reference)
{
    if (c->optimizer.adamw.on_host == FV_ON_HOST_NOTHING)
        return "set optimizer.on_host: moments, or lower";
    if (reference && !reference->host)
        return "set update.reference_on_host: true, or lower";
    if (!c->update.recompute || c->update.kept_layers > 0)
        return "set update.recompute: true and update.kept_layers: 0, or lower";
    return "lower";
}

static fv_err refuse(const fv_training *t, const double bytes[FV_MEMORY_PARTS], double limit)
{
    double of_rollout = bytes[FV_MEMORY_CACHE] + bytes[FV_MEMORY_FEATURES] + bytes[FV_MEMORY_ROLLOUT] +
                        bytes[FV_MEMORY_VISION];
    return FV_FAIL(
        FV_ERR_ARGUMENT,
        "a rank would hold %.3g GB of tensors, and there is room for %.3g: weights %.3g + gradients "
        "%.3g + optimizer %.3g + reference policy %.3g + rollout %.3g + largest micro-batch %.3g; "
        "%s update.micro_tokens, rollout.cache_pages or rollout.pass_tokens",
        tensors_of(bytes) / 1e9, limit / 1e9, bytes[FV_MEMORY_WEIGHTS] / 1e9,
        bytes[FV_MEMORY_GRADIENTS] / 1e9, (bytes[FV_MEMORY_MASTERS] + bytes[FV_MEMORY_MOMENTS]) / 1e9,
        bytes[FV_MEMORY_REFERENCE] / 1e9, of_rollout / 1e9, bytes[FV_MEMORY_UPDATE] / 1e9,
        mend_of(&t->config, t->learning.reference));
}

static int layers_of(const fv_training *t)
{
    const fv_model_shape *shape = fv_model_shape_of(t->runtime.model);
    return shape->text.n_layers > shape->vision.depth ? shape->text.n_layers : shape->vision.depth;
}

int fv_training_kept_layers(const fv_training *t)
{
    int n = t->learning.settings.save - FV_SAVE_INPUTS, all = layers_of(t);
    return n < all ? n : all;
}

/* As many layers keep their activations as there is room for; behind all of them come the head's logits. */
static fv_err keep_layers(fv_training *t, double bytes[FV_MEMORY_PARTS], double limit)
{
    double others = tensors_of(bytes) - bytes[FV_MEMORY_UPDATE];
    int all = layers_of(t);
    for (int n = all + 1; n > 0; n--) {
        double update;
        fv_save save = n > all ? FV_SAVE_ALL : fv_save_blocks(n);
        FV_TRY(update_bytes(t, save, &update));
        if (others + update > limit)
            continue;
        t->learning.settings.save = save;
        bytes[FV_MEMORY_UPDATE] = update;
        break;
    }
    return FV_OK;
}

static fv_err choose(fv_training *t, double *limit)
{
    const fv_update_config *c = &t->config.update;
    double bytes[FV_MEMORY_PARTS];
    t->learning.settings.save =
        c->recompute ? fv_save_blocks(c->kept_layers > 0 ? c->kept_layers : 0) : FV_SAVE_ALL;
    FV_TRY(limit_of(t, limit));
    FV_TRY(fv_training_memory(t, bytes));
    if (*limit == 0)
        return FV_OK;
    if (tensors_of(bytes) > *limit)
        return refuse(t, bytes, *limit);
    return c->recompute && c->kept_layers < 0 ? keep_layers(t, bytes, *limit) : FV_OK;
}

/* The choice of the rank with the least room. */
fv_err fv_training_choose_save(fv_training *t)
{
    fv_comm *world = t->runtime.world;
    double limit = 0;
    FV_TRY(fv_comm_agree(world, choose(t, &limit)));
    double least = -t->learning.settings.save;
    FV_TRY(fv_comm_all_reduce_max(world, &least));
    t->learning.settings.save = (fv_save)-least;
    if (limit > 0)
        FV_LOG_ROOT(INFO, "with %.3g GB for tensors, %d of %d layers keep their activations", limit / 1e9,
                    fv_training_kept_layers(t), layers_of(t));
    return FV_OK;
}
