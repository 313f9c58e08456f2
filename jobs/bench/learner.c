#include "jobs/bench/learner.h"

#include "fovea/model/nn/flops.h"

#include <stdlib.h>

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

static fv_err open_updater(fv_bench_learner *l, fv_bench *bench)
{
    const fv_bench_options *o = l->options;
    fv_model *model = bench->runtime.model;
    const fv_optimizer_settings adamw = fv_bench_adamw(o);
    const fv_policy_settings policy = {
        .temperature = 1, .excluded = l->texts.excluded, .n_excluded = l->texts.n_excluded};
    FV_TRY(fv_policy_create(model, &policy, &l->policy));
    FV_TRY(fv_optimizer_init(&l->optimizer, model, bench->runtime.mesh.data, &adamw));
    const fv_updater_args args = {.settings = {.loss = FV_LOSS_SUPERVISED,
                                               .micro_tokens = o->micro_tokens,
                                               .save = fv_bench_save(o),
                                               .is_supervised = 1},
                                  .policy = l->policy,
                                  .optimizer = &l->optimizer,
                                  .view = fv_bench_texts_view,
                                  .view_context = &l->texts};
    return fv_updater_create(&args, &l->updater);
}

fv_err fv_bench_learner_init(fv_bench_learner *l, fv_bench *bench, int max_groups)
{
    *l = (fv_bench_learner){.options = &bench->options, .max_groups = max_groups};
    l->groups = calloc((size_t)max_groups, sizeof *l->groups);
    FV_CHECK(l->groups, FV_ERR_MEMORY, "cannot allocate %d groups", max_groups);
    FV_TRY(fv_bench_texts_init(&l->texts, bench, l->options->image));
    return open_updater(l, bench);
}

void fv_bench_learner_fini(fv_bench_learner *l)
{
    fv_updater_destroy(l->updater);
    fv_optimizer_fini(&l->optimizer);
    fv_policy_destroy(l->policy);
    fv_bench_learner_clear(l);
    free(l->groups);
    fv_bench_texts_fini(&l->texts);
    *l = (fv_bench_learner){0};
}

static fv_err write_sample(const fv_bench_learner *l, const fv_bench_lesson *lesson, fv_group *group, int i)
{
    const fv_dialogue dialogue = fv_bench_texts_dialogue(&l->texts, lesson->prompt, (int)lesson->generated);
    uint64_t number = (uint64_t)l->n_groups << 20 | (uint64_t)i;
    fv_tokens ids = {0};
    fv_err err = fv_bench_texts_add(&l->texts, number, lesson->generated, &ids);
    for (int64_t k = 0; k < lesson->generated && err == FV_OK; k++)
        err = fv_response_push(&dialogue, group, &group->responses[i], ids.ids[k], 0);
    group->responses[i].advantage = 1;
    fv_tokens_fini(&ids);
    return err;
}

fv_err fv_bench_learner_add(fv_bench_learner *l, const fv_bench_lesson *lesson)
{
    fv_group *group = &l->groups[l->n_groups];
    FV_TRY(fv_bench_texts_group(&l->texts, lesson->prompt_number, lesson->prompt, lesson->n_samples, group));
    l->n_groups++;
    for (int i = 0; i < lesson->n_samples; i++)
        FV_TRY(write_sample(l, lesson, group, i));
    return FV_OK;
}

void fv_bench_learner_clear(fv_bench_learner *l)
{
    while (l->n_groups > 0)
        fv_group_fini(&l->groups[--l->n_groups]);
}

fv_err fv_bench_learn(void *context)
{
    fv_bench_learner *l = context;
    FV_TRY(fv_update(l->updater, l->groups, l->n_groups, 1e-6, &l->stats));
    FV_CHECK(!l->stats.is_skipped, FV_ERR_NUMERIC, "a number of the gradient was not finite");
    return FV_OK;
}

/* Of a prompt, and of each sample behind it. */
static double flops_of_group(const fv_model_shape *shape, const fv_group *group)
{
    double n = (double)group->prompt.n, patches = (double)fv_grid_patches(group->low);
    double tokens = n, pairs = 0.5 * n * n;
    for (int i = 0; i < group->n_samples; i++) {
        double more = (double)group->responses[i].ids.n - 1; /* the last one is not computed */
        tokens += more;
        pairs += more * (n + 0.5 * more);
    }
    return tokens * fv_flops_of_token(shape) + pairs * fv_flops_of_pair(shape) +
           patches * fv_flops_of_patch(shape) + fv_flops_of_views(shape, patches);
}

double fv_bench_learner_flops(const fv_bench *bench, const fv_bench_learner *l)
{
    double flops = (double)l->stats.n_tokens * fv_flops_of_draw(l->texts.shape);
    for (int i = 0; i < l->n_groups; i++)
        flops += flops_of_group(l->texts.shape, &l->groups[i]);
    return 3 * flops / bench->runtime.mesh.tensor->size;
}
