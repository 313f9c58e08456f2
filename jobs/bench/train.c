/* A supervised step: packed sequences, each an image and text that is learnt, through the update of training.
 */
#include "jobs/bench/texts.h"

#include "fovea/model/nn/flops.h"
#include "fovea/train/update.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct train {
    const fv_bench_options *options;
    fv_bench_texts texts;
    fv_policy *policy;
    fv_optimizer optimizer;
    fv_updater *updater;
    fv_group *groups; /* owned, (n_lengths) */
    int n_groups;
    fv_update_stats stats; /* of the last step */
} train;

/* A short prompt around the image; the rest is the response. */
static fv_err write_example(train *t, int i)
{
    enum { TEXT = 32 };
    const fv_bench_options *o = t->options;
    int64_t prompt = fv_grid_tokens(t->texts.low, t->texts.shape->vision.merge) + 2 + TEXT;
    int64_t n = o->length + 1 - prompt; /* the last one is not computed */
    fv_tokens ids = {0};
    FV_CHECK(n > 0, FV_ERR_ARGUMENT,
             "sequences of %d tokens have no room for a prompt of %lld: raise --length, or lower --image",
             o->length, (long long)prompt);
    FV_TRY(fv_bench_texts_group(&t->texts, i, prompt, 1, &t->groups[i]));
    t->n_groups++;
    const fv_dialogue dialogue = fv_bench_texts_dialogue(&t->texts, prompt, (int)n);
    fv_err err = fv_bench_texts_add(&t->texts, (uint64_t)i, n, &ids);
    for (int64_t k = 0; k < n && err == FV_OK; k++)
        err = fv_response_push(&dialogue, &t->groups[i], &t->groups[i].responses[0], ids.ids[k], 0);
    t->groups[i].responses[0].advantage = 1;
    fv_tokens_fini(&ids);
    return err;
}

fv_optimizer_settings fv_bench_adamw(const fv_bench_options *o)
{
    return (fv_optimizer_settings){.beta1 = 0.9f,
                                   .beta2 = 0.95f,
                                   .eps = 1e-8f,
                                   .clip = 1,
                                   .master = o->is_split ? FV_MASTER_SPLIT : FV_MASTER_WHOLE,
                                   .moments = o->has_half_moments ? FV_MOMENTS_BF16 : FV_MOMENTS_FP32,
                                   .on_host = o->is_on_host ? FV_ON_HOST_MOMENTS : FV_ON_HOST_NOTHING};
}

fv_save fv_bench_save(const fv_bench_options *o)
{
    return o->recompute ? fv_save_blocks(o->kept_layers) : FV_SAVE_ALL;
}

static fv_err open_updater(train *t, fv_bench *bench)
{
    const fv_bench_options *o = t->options;
    fv_model *model = bench->runtime.model;
    const fv_optimizer_settings adamw = fv_bench_adamw(o);
    const fv_policy_settings policy = {
        .temperature = 1, .excluded = t->texts.excluded, .n_excluded = t->texts.n_excluded};
    FV_TRY(fv_policy_create(model, &policy, &t->policy));
    FV_TRY(fv_optimizer_init(&t->optimizer, model, bench->runtime.mesh.data, &adamw));
    const fv_updater_args args = {.settings = {.loss = FV_LOSS_SUPERVISED,
                                               .micro_tokens = o->micro_tokens,
                                               .save = fv_bench_save(o),
                                               .is_supervised = 1},
                                  .policy = t->policy,
                                  .optimizer = &t->optimizer,
                                  .view = fv_bench_texts_view,
                                  .view_context = &t->texts};
    return fv_updater_create(&args, &t->updater);
}

static fv_err open_all(train *t, fv_bench *bench)
{
    const fv_bench_options *o = t->options;
    t->groups = calloc((size_t)o->n_lengths, sizeof *t->groups);
    FV_CHECK(t->groups, FV_ERR_MEMORY, "cannot allocate %d groups", o->n_lengths);
    for (int i = 0; i < o->n_lengths; i++)
        FV_TRY(write_example(t, i));
    return open_updater(t, bench);
}

static fv_err learn(void *context)
{
    train *t = context;
    FV_TRY(fv_update(t->updater, t->groups, t->n_groups, 1e-6, &t->stats));
    FV_CHECK(!t->stats.is_skipped, FV_ERR_NUMERIC, "a number of the gradient was not finite");
    return FV_OK;
}

/* Of the model: what is computed again does not count. */
static double flops(const fv_bench *bench, const train *t)
{
    const fv_model_shape *shape = t->texts.shape;
    double n = t->options->length, patches = (double)fv_grid_patches(t->texts.low);
    double views = patches * fv_flops_of_patch(shape) + fv_flops_of_views(shape, patches);
    double text = n * fv_flops_of_token(shape) + 0.5 * n * n * fv_flops_of_pair(shape);
    double draws = (double)t->stats.n_tokens * fv_flops_of_draw(shape);
    return 3 * (t->n_groups * (views + text) + draws) / bench->runtime.mesh.tensor->size;
}

static fv_err measure(fv_bench *bench, train *t)
{
    const fv_bench_options *o = t->options;
    const fv_bench_work work = {NULL, learn, t};
    fv_bench_figure figure = {.name = "train", .unit = "tokens"};
    FV_TRY(open_all(t, bench));
    FV_TRY(fv_bench_measure(bench, &work, &figure.seconds));
    figure.units = (double)t->stats.computed_tokens;
    figure.flops = flops(bench, t);
    figure.bound_s = fv_bench_bound(bench, 0, figure.flops);
    snprintf(figure.what, sizeof figure.what, "%d sequences of %d tokens, %d a micro-batch%s", o->n_lengths,
             o->length, o->micro_tokens, o->recompute ? ", recomputed" : "");
    return fv_bench_tell(bench, &figure);
}

fv_err fv_bench_train(fv_bench *bench)
{
    train t = {.options = &bench->options};
    fv_err err = fv_bench_texts_init(&t.texts, bench, bench->options.image);
    if (err == FV_OK)
        err = measure(bench, &t);
    fv_updater_destroy(t.updater);
    fv_optimizer_fini(&t.optimizer);
    fv_policy_destroy(t.policy);
    while (t.n_groups > 0)
        fv_group_fini(&t.groups[--t.n_groups]);
    free(t.groups);
    fv_bench_texts_fini(&t.texts);
    return err;
}
