#include "jobs/train/dry_run.h"

#include <stdio.h>
#include <stdlib.h>

/* Layout. */

static void print_layout(const fv_training *t)
{
    int tensor = t->runtime.mesh.tensor->size, copies = t->runtime.mesh.data->size;
    printf("layout: %d ranks = %d copies of the model x %d ranks each\n", copies * tensor, copies, tensor);
    for (int copy = 0; copy < copies; copy++) {
        printf("  copy %d: ranks", copy);
        for (int part = 0; part < tensor; part++)
            printf(" %d", copy * tensor + part);
        printf("\n");
    }
    for (int judge = 0; judge < t->config.layout.judge_ranks; judge++)
        printf("  judge %d: rank %d\n", judge, copies * tensor + judge);
}

/* Memory. The run has been opened on the plan back end, which counted what it asked for. */

static int has_rollout(const fv_training *t)
{
    return !fv_updater_args_of(t->learning.updater)->settings.is_supervised || t->config.data.validate[0];
}

enum {
    WEIGHTS,
    GRADIENTS,
    MASTERS,
    MOMENTS,
    REFERENCE,
    HOST_REFERENCE,
    CACHE,
    FEATURES,
    ROLLOUT,
    VISION,
    VIEWS,
    UPDATE,
    TOGETHER,
    TENSORS,
    WORKSPACE,
    N_MEMORIES
};

static fv_err rollout_bytes(const fv_training *t, double bytes[N_MEMORIES])
{
    const fv_engine_settings settings = fv_training_engine_settings(t);
    fv_engine_bytes counted = {0};
    if (has_rollout(t))
        FV_TRY(fv_engine_measure(t->runtime.model, &settings, &counted));
    bytes[CACHE] = (double)counted.cache;
    bytes[FEATURES] = (double)counted.image_rows;
    bytes[ROLLOUT] = (double)counted.pass;
    bytes[VISION] = (double)counted.vision;
    return FV_OK;
}

/* Both views of all groups of a step, the largest ones, as far as the cache takes them. */
static double view_bytes(const fv_training *t, const fv_group *first)
{
    const fv_train_config *c = &t->config;
    int copies = t->runtime.mesh.data->size, patch = t->questions.processor.patch;
    int64_t groups = fv_updater_args_of(t->learning.updater)->settings.is_supervised
                         ? c->update.groups
                         : (int64_t)c->rollout.prompts * (1 + c->rollout.sampling_rounds);
    if (!first->has_image)
        return 0;
    double each =
        (double)(fv_picture_bytes(first->low, patch) + fv_picture_bytes(t->questions.largest_view, patch));
    double all = each * (double)((groups + copies - 1) / copies), room = 1e6 * c->views.cache_megabytes;
    return all < room ? all : room;
}

static fv_err measure(const fv_training *t, const fv_group *first, double bytes[N_MEMORIES])
{
    const fv_layout *layout = fv_model_layout(t->runtime.model);
    const fv_reference *reference = fv_updater_args_of(t->learning.updater)->reference;
    double weights = (double)fv_tensor_span_bytes(fv_model_weights(t->runtime.model)->flat);
    bytes[WEIGHTS] = weights;
    bytes[GRADIENTS] =
        (double)layout->n_flat * (double)fv_dtype_bytes(fv_model_precision(t->runtime.model)->gradient);
    bytes[MASTERS] =
        (double)(t->learning.optimizer.memory.bytes - 2 * fv_tensor_span_bytes(t->learning.optimizer.m));
    bytes[MOMENTS] = 2 * (double)fv_tensor_span_bytes(t->learning.optimizer.m);
    bytes[REFERENCE] = reference && !reference->host ? weights : 0;
    bytes[HOST_REFERENCE] = reference && reference->host ? weights : 0;
    bytes[VIEWS] = view_bytes(t, first);
    FV_TRY(rollout_bytes(t, bytes));
    size_t update;
    const fv_backend_memory *memory = &t->runtime.backend->memory;
    FV_TRY(fv_training_update_bytes(t, first, &update));
    bytes[UPDATE] = (double)update;
    for (int i = 0; i < TOGETHER; i++)
        bytes[TOGETHER] += bytes[i];
    bytes[TENSORS] = (double)memory->peak;
    bytes[WORKSPACE] = (double)memory->workspace;
    return FV_OK;
}

static void print_memory(const double bytes[N_MEMORIES])
{
    static const char *const names[] = {"weights",
                                        "gradients",
                                        "the optimizer but for moments",
                                        "moments of AdamW",
                                        "reference policy",
                                        "reference policy, on the host",
                                        "key-value cache",
                                        "features of images",
                                        "largest pass of the rollout",
                                        "its largest image",
                                        "views of a step, on the host",
                                        "largest micro-batch of the update",
                                        "together",
                                        "of that, tensors",
                                        "workspace of operations"};
    printf("memory of a rank, in bytes, at most:\n");
    for (int i = 0; i < N_MEMORIES; i++)
        printf("  %-34s %16.0f\n", names[i], bytes[i]);
}

/* The prompt. */

static void print_view(const fv_training *t, fv_grid grid, int64_t row)
{
    int patch = t->questions.processor.patch;
    printf("[row %lld's image at %d x %d pixels: %lld tokens]", (long long)row, grid.w * patch,
           grid.h * patch, (long long)fv_grid_tokens(grid, t->rollout.dialogue.merge));
}

/* Text as the model reads it; the tokens of an image are one reference to it. */
static fv_err print_ids(const fv_training *t, const fv_tokens *ids, fv_grid grid, int64_t row)
{
    fv_buffer text = {0};
    fv_err err = FV_OK;
    for (size_t i = 0, n; i < ids->n && err == FV_OK; i += n) {
        int is_image = ids->ids[i] == t->texts.chat.image_pad;
        for (n = 1; i + n < ids->n && (ids->ids[i + n] == t->texts.chat.image_pad) == is_image;)
            n++;
        if (is_image) {
            print_view(t, grid, row);
            continue;
        }
        text.size = 0;
        err = fv_tokenizer_decode(t->texts.tokenizer, ids->ids + i, n, 0, &text);
        if (err == FV_OK)
            fwrite(text.data, 1, text.size, stdout);
    }
    fv_buffer_fini(&text);
    return err;
}

static fv_err print_prompt(const fv_training *t, const fv_group *group)
{
    printf("the first prompt: row %lld of %s, %zu tokens\n", (long long)group->row, t->config.data.train,
           group->prompt.n);
    FV_TRY(print_ids(t, &group->prompt, group->low, group->row));
    printf("\n");
    for (int i = 0; i < group->n_samples && group->responses[i].ids.n > 0; i++) {
        printf("the response to it: %zu tokens\n", group->responses[i].ids.n);
        FV_TRY(print_ids(t, &group->responses[i].ids, group->high, group->row));
        printf("\n");
    }
    return FV_OK;
}

static void print_batch(const fv_training *t, const fv_group *groups, int n)
{
    int merge = t->rollout.dialogue.merge;
    printf("the first batch: %d prompts, %d samples of each\n", n, groups[0].n_samples);
    for (int i = 0; i < n; i++) {
        const fv_group *g = &groups[i];
        printf("  row %-8lld prompt of %zu tokens", (long long)g->row, g->prompt.n);
        if (g->has_image)
            printf(", %lld of them an image that the tool shows in %lld",
                   (long long)fv_grid_tokens(g->low, merge), (long long)fv_grid_tokens(g->high, merge));
        printf("\n");
    }
}

fv_err fv_dry_run(const fv_training *t, const fv_group *groups, int n)
{
    fv_comm *world = t->runtime.world;
    double bytes[N_MEMORIES] = {0};
    FV_TRY(fv_comm_agree(world, measure(t, &groups[0], bytes)));
    for (int i = 0; i < N_MEMORIES; i++)
        FV_TRY(fv_comm_all_reduce_max(world, &bytes[i]));
    if (world->rank != 0)
        return FV_OK;
    print_layout(t);
    print_memory(bytes);
    FV_TRY(print_prompt(t, &groups[0]));
    print_batch(t, groups, n);
    return FV_OK;
}
