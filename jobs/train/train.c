/* fovea train: reinforcement learning of when to look closer. */
#include "jobs/train/dry_run.h"
#include "jobs/jobs.h"
#include "jobs/terminal.h"
#include "jobs/train/training.h"
#include "jobs/train/validation.h"

#include "fovea/base/log.h"
#include "fovea/base/meter.h"
#include "fovea/train/metrics.h"

#include <stdlib.h>
#include <unistd.h>

typedef struct train {
    fv_training training;
    fv_collector collector;
    fv_trainer trainer;
    fv_validation validation;
    fv_reference reference; /* where the loss needs it */
    int n_skipped;          /* updates in a row that were not finite */
} train;

static fv_err set_trainer(train *t)
{
    const fv_train_config *c = &t->training.config;
    const fv_estimator *estimator;
    FV_TRY(fv_estimator_find(c->advantage.estimator, &estimator));
    t->trainer = (fv_trainer){.settings = {.plan = {.prompts = c->rollout.prompts,
                                                    .groups = c->update.groups,
                                                    .sampling_rounds = c->rollout.sampling_rounds,
                                                    .partial = c->update.partial},
                                           .max_unjudged_share = c->reward.max_unjudged_share,
                                           .advantage = {.estimator = estimator,
                                                         .eps = c->advantage.eps,
                                                         .weights = c->reward.weights}},
                              .prompts = {.builder = &t->training.rollout.builder,
                                          .rollout = &t->training.rollout.settings,
                                          .n_samples = c->rollout.samples,
                                          .has_greedy = fv_estimator_needs_greedy(estimator),
                                          .keeps_views = 1,
                                          .row_of = fv_training_row,
                                          .row_context = &t->training},
                              .collector = &t->collector};
    return fv_advantage_check(&t->trainer.settings.advantage);
}

/* The reference policy is the policy that the run starts from. */
static fv_err keep_reference(train *t)
{
    const fv_train_config *c = &t->training.config;
    if (!fv_loss_needs_reference(&c->loss) && !fv_loss_charges_kl(&c->loss))
        return FV_OK;
    return fv_reference_init(&t->reference, t->training.runtime.model, c->update.reference_on_host);
}

static fv_err prepare(train *t)
{
    FV_TRY(set_trainer(t));
    FV_TRY(fv_validation_open(&t->validation, &t->training));
    return keep_reference(t);
}

static fv_err measure(train *t)
{
    fv_training *training = &t->training;
    const fv_dialogue_room room =
        fv_training_room(training, &training->rollout.builder, &training->rollout.dialogue);
    const fv_training_rows what = {.data = training->questions.dataset,
                                   .name = training->config.data.train,
                                   .rooms = &room,
                                   .n_rooms = 1,
                                   .is_judged = 1};
    FV_TRY(fv_training_measure(training, &what, &training->questions.rows));
    training->questions.trained = training->questions.largest;
    return fv_validation_measure(&t->validation);
}

/* Steps. */

static void tell(const train *t, const fv_json *figures)
{
    static const char *const names[] = {"reward",
                                        "accuracy",
                                        "call_rate",
                                        "response_tokens",
                                        "generated_tokens_per_s",
                                        "update_tokens_per_s"};
    double v[sizeof names / sizeof *names] = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (fv_json_get_real(figures, names[i], &v[i]) != FV_OK)
            return;
    FV_LOG_ROOT(INFO,
                "step %lld of %lld: reward %.3f, accuracy %.3f, call rate %.3f, %.0f tokens a response; "
                "%.0f generated and %.0f updated tokens/s",
                (long long)t->trainer.step, (long long)t->training.config.run.steps, v[0], v[1], v[2], v[3],
                v[4], v[5]);
}

static fv_err record(train *t, const fv_batch *batch, const fv_step_stats *stats, double rate,
                     const fv_memory_figures *memory)
{
    fv_json *figures;
    const fv_train_config *c = &t->training.config;
    const fv_metrics_args args = {.batch = batch,
                                  .stats = stats,
                                  .weights = &c->reward.weights,
                                  .shape = fv_model_shape_of(t->training.runtime.model),
                                  .rate = rate,
                                  .peak_flops = c->log.peak_flops,
                                  .memory = *memory};
    if (t->training.runtime.world->rank != 0)
        return FV_OK;
    FV_TRY(fv_metrics_of_step(&args, &figures));
    tell(t, figures);
    FV_TRY(fv_journal_metrics(&t->training.saving.journal, t->trainer.step, figures));
    return fv_journal_trajectories(&t->training.saving.journal, t->trainer.step,
                                   &t->training.rollout.dialogue, batch, c->log.trajectories);
}

static fv_err check_skips(train *t, const fv_step_stats *stats)
{
    int limit = t->training.config.update.skip_limit;
    if (stats->n_skipped > 0)
        FV_LOG_ROOT(WARN, "step %lld: %d of %d updates skipped: %s", (long long)t->trainer.step,
                    stats->n_skipped, stats->n_updates, fv_error_text());
    t->n_skipped = stats->n_skipped == stats->n_updates ? t->n_skipped + stats->n_skipped : 0;
    FV_CHECK(t->n_skipped <= limit, FV_ERR_NUMERIC,
             "%d updates in a row had numbers that are not finite; update.skip_limit is %d", t->n_skipped,
             limit);
    return FV_OK;
}

static fv_err step(train *t)
{
    const fv_train_config *c = &t->training.config;
    fv_comm *world = t->training.runtime.world;
    fv_batch batch;
    fv_step_stats stats;
    fv_memory_figures memory;
    double rate = fv_rate_at(&c->optimizer, t->trainer.step + 1, c->run.steps);
    FV_TRY(fv_step(&t->trainer, rate, &batch, &stats));
    fv_meter_advance(t->trainer.step);
    fv_err err = fv_memory_look(t->training.runtime.backend, world, &memory);
    if (err == FV_OK)
        err = fv_comm_agree(world, record(t, &batch, &stats, rate, &memory));
    fv_batch_fini(&batch);
    FV_TRY(err);
    return check_skips(t, &stats);
}

/* The prompts of the first step. */
static fv_err first_batch(const fv_training *t, fv_batch *batch)
{
    for (int64_t prompt_index = 0; prompt_index < t->config.rollout.prompts; prompt_index++) {
        fv_group group;
        fv_row row;
        FV_TRY(fv_prompt_builder_group(&t->rollout.builder, prompt_index, fv_training_row(t, prompt_index),
                                       t->config.rollout.samples, &group, &row));
        fv_row_fini(&row);
        FV_TRY(fv_batch_add(batch, &group));
    }
    return FV_OK;
}

static fv_err dry_run(train *t)
{
    const fv_training *training = &t->training;
    fv_batch batch = {0};
    fv_err err = fv_comm_agree(training->runtime.world, first_batch(training, &batch));
    if (err == FV_OK)
        err = fv_dry_run(training, batch.groups, batch.n);
    fv_batch_fini(&batch);
    return err;
}

/* Where the run was. */
static void restore(train *t, fv_progress *from)
{
    t->trainer.step = (int64_t)from->step;
    t->trainer.next_prompt = (int64_t)from->next_prompt;
    t->trainer.sampling_round = (int)from->sampling_round;
    t->trainer.batch = from->batch;
    t->trainer.begun = from->begun;
    t->n_skipped = (int)from->skipped_updates;
    t->validation.done = (int64_t)from->validated_step;
    from->batch = from->begun = (fv_batch){0};
    fv_progress_fini(from);
}

static void describe(void *context, fv_progress *out)
{
    train *t = context;
    *out = (fv_progress){.step = (uint64_t)t->trainer.step,
                         .next_prompt = (uint64_t)t->trainer.next_prompt,
                         .sampling_round = (uint64_t)t->trainer.sampling_round,
                         .batch = t->trainer.batch,
                         .begun = t->trainer.begun,
                         .skipped_updates = (uint64_t)t->n_skipped,
                         .validated_step = (uint64_t)t->validation.done};
    t->trainer.batch = t->trainer.begun = (fv_batch){0};
}

static fv_err advance(void *context)
{
    train *t = context;
    FV_TRY(fv_validate(&t->validation, t->trainer.step));
    if (t->trainer.step < t->training.config.run.steps)
        FV_TRY(step(t));
    return fv_validate(&t->validation, t->trainer.step);
}

static fv_err run(train *t, const fv_training_options *options)
{
    fv_training *training = &t->training;
    fv_progress progress;
    FV_TRY(fv_training_open(training, options));
    if (!options->dry_run)
        FV_TRY(fv_training_watch(training));
    if (training->runtime.is_judge)
        return fv_training_judge(training);
    FV_TRY(fv_comm_agree(training->runtime.world, prepare(t)));
    FV_TRY(measure(t));
    FV_TRY(fv_training_prepare_updates(training, &training->config.loss, 0,
                                       t->reference.model ? &t->reference : NULL));
    FV_TRY(fv_comm_agree(training->runtime.world, fv_training_reserve(training)));
    FV_TRY(fv_training_open_engine(training));
    if (options->dry_run)
        return dry_run(t);
    t->collector = fv_training_collector(training);
    t->trainer.updater = training->learning.updater;
    FV_TRY(fv_training_begin(training, 0, &progress));
    restore(t, &progress);
    const fv_training_work work = {t, &t->trainer.step, advance, describe};
    FV_TRY(fv_idle_start(training->runtime.backend, &t->trainer.idle));
    return fv_training_go(training, &work);
}

static int finish(train *t, fv_err err)
{
    fv_idle_stop(t->trainer.idle);
    fv_reference_fini(&t->reference);
    fv_validation_close(&t->validation, err == FV_OK);
    fv_trainer_drop_step(&t->trainer);
    return fv_training_finish(&t->training, err);
}

int fv_job_train(int argc, char **argv)
{
    const struct argp_child children[] = {{&fv_training_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {.children = children,
                              .args_doc = fv_training_args_doc,
                              .doc = "Teach a vision-language model by reinforcement learning when to look "
                                     "closer. KEY=VALUE replaces a value of the configuration."};
    fv_training_options options = {.check = fv_train_config_check};
    fv_terminal_parse(&argp, argc, argv, &options);
    train t = {0};
    int status = finish(&t, run(&t, &options));
    free(options.overrides);
    return status;
}
