/* A whole step of reinforcement learning, fv_step as a run makes it: rollout over prompts with an image, a
 * verdict each, advantages, log-probs of a reference, one update. Half of the samples are called right. */
#include "jobs/bench/texts/questions.h"

#include "fovea/model/nn/flops.h"
#include "fovea/model/nn/pages.h"
#include "fovea/train/step/step.h"

#include <stdio.h>

typedef struct step {
    const fv_bench_options *options;
    fv_bench_texts texts;
    fv_bench_questions questions;
    fv_rollout_settings rollout;
    fv_engine *engine;
    fv_judge *judge;
    fv_score_settings score;
    fv_collector collector;
    fv_policy *policy;
    fv_optimizer optimizer;
    fv_reference reference;
    fv_updater *updater;
    fv_trainer trainer;
    double rollout_s, update_s, reference_s; /* of the last step */
} step;

/* Every other sample is right. */
static fv_err submit(fv_judge *judge, const fv_case *asked, fv_waiter waiter)
{
    (void)asked;
    int is_right = judge->counts.n_asked++ % 2 == 0;
    return fv_judge_give(judge, waiter, (fv_verdict){.has_verdict = 1, .score = is_right});
}

static uint64_t row_of(const void *context, int64_t prompt_index)
{
    const step *s = context;
    return (uint64_t)(prompt_index % s->options->prompts);
}

static fv_err open_collector(step *s, fv_bench *bench)
{
    static const fv_judge_table table = {.name = "every other", .submit = submit};
    const fv_bench_options *o = s->options;
    fv_engine_settings settings = fv_bench_rollout_settings(o, &s->texts);
    FV_TRY(fv_engine_create(bench->runtime.model, &settings, &s->engine));
    if (bench->runtime.mesh.tensor->rank == 0)
        FV_TRY(fv_judge_create(&table, NULL, NULL, &s->judge));
    s->rollout =
        (fv_rollout_settings){.dialogue = fv_bench_texts_dialogue(&s->texts, o->prompt, o->generated),
                              .temperature = 1,
                              .top_p = 1};
    s->rollout.dialogue.chat = &s->questions.chat;
    s->rollout.dialogue.prompts = s->questions.prompts;
    s->collector = (fv_collector){
        .mesh = &bench->runtime.mesh, .engine = s->engine, .judge = s->judge, .score = &s->score};
    return FV_OK;
}

static fv_err open_updater(step *s, fv_bench *bench)
{
    const fv_bench_options *o = s->options;
    fv_model *model = bench->runtime.model;
    const fv_optimizer_settings adamw = fv_bench_adamw(o);
    const fv_policy_settings policy = {
        .temperature = 1, .excluded = s->texts.excluded, .n_excluded = s->texts.n_excluded};
    FV_TRY(fv_reference_init(&s->reference, model, o->is_on_host));
    FV_TRY(fv_policy_create(model, &policy, &s->policy));
    FV_TRY(fv_optimizer_init(&s->optimizer, model, bench->runtime.mesh.data, &adamw));
    const fv_updater_args args = {
        .settings = {.loss = FV_LOSS_DEFAULT, .micro_tokens = o->micro_tokens, .save = fv_bench_save(o)},
        .policy = s->policy,
        .optimizer = &s->optimizer,
        .reference = &s->reference,
        .view = fv_prompt_builder_view,
        .want = fv_prompt_builder_want,
        .view_context = &s->questions.builder};
    return fv_updater_create(&args, &s->updater);
}

static fv_err set_trainer(step *s)
{
    const fv_bench_options *o = s->options;
    s->trainer =
        (fv_trainer){.settings = {.plan = {.prompts = o->prompts, .groups = o->prompts},
                                  .advantage = {.eps = FV_ADVANTAGE_EPS, .weights = {.accuracy = 1}}},
                     .prompts = {.builder = &s->questions.builder,
                                 .rollout = &s->rollout,
                                 .n_samples = o->samples,
                                 .keeps_views = 1,
                                 .row_of = row_of,
                                 .row_context = s},
                     .collector = &s->collector,
                     .updater = s->updater};
    FV_TRY(fv_estimator_find("grpo", &s->trainer.settings.advantage.estimator));
    return fv_advantage_check(&s->trainer.settings.advantage);
}

static fv_err make_step(void *context)
{
    step *s = context;
    fv_batch batch;
    fv_step_stats stats;
    FV_TRY(fv_step(&s->trainer, 1e-6, &batch, &stats));
    fv_batch_fini(&batch);
    FV_CHECK(stats.n_updates == 1 && stats.n_skipped == 0, FV_ERR_NUMERIC,
             "%d updates of a step, %d of them skipped: expected one", stats.n_updates, stats.n_skipped);
    s->rollout_s = stats.collect.rollout_s;
    s->update_s = stats.update_s;
    s->reference_s = stats.reference_s;
    return FV_OK;
}

static fv_err open_all(step *s, fv_bench *bench)
{
    FV_CHECK(s->options->samples > 1, FV_ERR_ARGUMENT,
             "a step compares samples: --samples is 1, expected 2 or more");
    FV_TRY(fv_bench_texts_init(&s->texts, bench, s->options->image));
    FV_TRY(fv_bench_questions_init(&s->questions, bench, &s->texts));
    FV_TRY(open_collector(s, bench));
    FV_TRY(open_updater(s, bench));
    return set_trainer(s);
}

/* The rollout, and what is trained on: every prompt once, forward under the reference, forward and backward.
 */
static double bound(const fv_bench *bench, const step *s)
{
    const fv_bench_options *o = s->options;
    const fv_model_shape *shape = s->texts.shape;
    double patches = (double)fv_grid_patches(s->texts.low), n = o->prompt, samples = o->samples;
    double each = o->generated, tokens = n + samples * each;
    double pairs = 0.5 * n * n + samples * each * (n + 0.5 * each);
    double flops = tokens * fv_flops_of_token(shape) + samples * each * fv_flops_of_draw(shape) +
                   pairs * fv_flops_of_pair(shape) + patches * fv_flops_of_patch(shape) +
                   fv_flops_of_views(shape, patches);
    return fv_bench_rollout_bound(bench, s->texts.low) +
           fv_bench_bound(bench, 0, 4 * o->prompts * flops / bench->runtime.mesh.tensor->size);
}

/* Counted as is usual: prompt and response of each sample. */
static fv_err measure(fv_bench *bench, step *s)
{
    const fv_bench_options *o = s->options;
    const fv_bench_work work = {NULL, make_step, s};
    fv_bench_figure figure = {.name = "step",
                              .unit = "tokens",
                              .units = (double)o->prompts * o->samples * (o->prompt + o->generated)};
    FV_TRY(open_all(s, bench));
    FV_TRY(fv_bench_measure(bench, &work, &figure.seconds));
    snprintf(figure.what, sizeof figure.what,
             "%d x %d of %d + %d; rollout %.2f s, reference %.2f, update %.2f", o->prompts, o->samples,
             o->prompt, o->generated, s->rollout_s, s->reference_s, s->update_s - s->reference_s);
    figure.bound_s = bound(bench, s);
    return fv_bench_tell(bench, &figure);
}

fv_err fv_bench_step(fv_bench *bench)
{
    step s = {.options = &bench->options};
    fv_err err = measure(bench, &s);
    fv_trainer_drop_step(&s.trainer);
    fv_updater_destroy(s.updater);
    fv_optimizer_fini(&s.optimizer);
    fv_policy_destroy(s.policy);
    fv_reference_fini(&s.reference);
    fv_judge_destroy(s.judge);
    fv_engine_destroy(s.engine);
    fv_bench_questions_fini(&s.questions);
    fv_bench_texts_fini(&s.texts);
    return err;
}
