#include "jobs/train/dry_run.h"

#include <stdio.h>

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

enum { WORKSPACE = FV_MEMORY_PARTS, TOGETHER, TENSORS, N_LINES };

static fv_err measure(const fv_training *t, double bytes[N_LINES])
{
    const fv_backend_memory *memory = &t->runtime.backend->memory;
    FV_TRY(fv_training_rehearse(t));
    FV_TRY(fv_training_memory(t, bytes));
    bytes[WORKSPACE] = (double)memory->workspace;
    bytes[TOGETHER] = bytes[WORKSPACE];
    for (int i = 0; i < FV_MEMORY_PARTS; i++)
        bytes[TOGETHER] += bytes[i];
    bytes[TENSORS] = (double)memory->peak;
    return FV_OK;
}

static void print_memory(const double bytes[N_LINES])
{
    static const char *const words[] = {
#define X(name, words) words,
        FV_MEMORY_LIST(X)
#undef X
            "workspace of operations",
        "together", "of that, tensors"};
    printf("memory of a rank, in bytes, at most:\n");
    for (int i = 0; i < N_LINES; i++)
        printf("  %-34s %16.0f\n", words[i], bytes[i]);
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
    double bytes[N_LINES] = {0};
    FV_TRY(fv_comm_agree(world, measure(t, bytes)));
    for (int i = 0; i < N_LINES; i++)
        FV_TRY(fv_comm_all_reduce_max(world, &bytes[i]));
    if (world->rank != 0)
        return FV_OK;
    print_layout(t);
    print_memory(bytes);
    printf("layers that keep their activations: %d\n", fv_training_kept_layers(t));
    FV_TRY(print_prompt(t, &groups[0]));
    print_batch(t, groups, n);
    return FV_OK;
}
