/* fovea sft: supervised training on SFT examples written from a data set. */
#include "jobs/train/dry_run.h"
#include "jobs/jobs.h"
#include "jobs/terminal.h"
#include "jobs/train/training.h"
#include "jobs/train/validation.h"

#include "fovea/base/clock.h"
#include "fovea/train/sft_example.h"
#include "fovea/base/log.h"
#include "fovea/base/meter.h"
#include "fovea/train/metrics.h"
#include "fovea/base/phase.h"
#include "fovea/base/rng.h"

#include <stdlib.h>

typedef struct sft {
    fv_training training;
    fv_sft_example example, plain_example;
    fv_validation validation;
    fv_prompts *plain_prompts; /* NULL: every example knows the tool */
    fv_group *groups;          /* (config.update.groups) */
    int n_groups;
    int64_t next_prompt, step;
} sft;

static void forget(sft *s)
{
    while (s->n_groups > 0)
        fv_group_fini(&s->groups[--s->n_groups]);
}

/* The example of a prompt index: with the tool; or without it, from the low-resolution view or from the
 * high-resolution one. */
static fv_err write_example(const sft *s, int64_t prompt_index, fv_group *out)
{
    const fv_training *t = &s->training;
    const fv_rng_key key = {
        .seed = (uint64_t)t->config.run.seed, .step = 1, .prompt = (uint64_t)prompt_index};
    uint64_t row = fv_training_row(t, prompt_index);
    fv_prompt_builder builder = t->rollout.builder;
    fv_dialogue dialogue = t->rollout.dialogue;
    if (!s->plain_prompts || fv_rng_uniform(key, 0) >= t->config.sft.plain_share)
        return fv_sft_example_group(&s->example, &builder, &dialogue, prompt_index, row, out);
    builder.prompts = dialogue.prompts = s->plain_prompts;
    builder.first = fv_rng_uniform(key, 1) < 0.5f ? FV_FIRST_LOW : FV_FIRST_HIGH;
    dialogue.max_turns = 1;
    return fv_sft_example_group(&s->plain_example, &builder, &dialogue, prompt_index, row, out);
}

/* Every rank writes the same SFT examples. */
static fv_err write_examples(sft *s)
{
    for (int i = 0; i < s->training.config.update.groups; i++, s->next_prompt++) {
        fv_group *group = &s->groups[s->n_groups];
        FV_TRY(write_example(s, s->next_prompt, group));
        group->responses[0].advantage = 1;
        s->n_groups++;
    }
    return FV_OK;
}

static fv_err write_metrics(sft *s, const fv_update_stats *stats, double rate, double seconds,
                            const fv_memory_figures *memory)
{
    fv_json *figures;
    const fv_figure all[] = {{"loss", stats->loss},
                             {"gradient_norm", stats->norm},
                             {"learning_rate", rate},
                             {"tokens", (double)stats->n_tokens},
                             {"updates_skipped", stats->is_skipped},
                             {"seconds", seconds},
                             {"tokens_per_s", (double)stats->computed_tokens / seconds},
                             {"peak_megabytes", memory->peak_megabytes},
                             {"tensor_megabytes", memory->tensor_megabytes},
                             {"tensor_allocations", memory->tensor_allocations}};
    FV_TRY(fv_figures_to_json(all, sizeof all / sizeof *all, &figures));
    return fv_journal_metrics(&s->training.saving.journal, s->step, figures);
}

static fv_err tell(sft *s, const fv_update_stats *stats, double rate, double seconds,
                   const fv_memory_figures *memory)
{
    int64_t steps = s->training.config.run.steps, every = steps > 20 ? steps / 20 : 1;
    if (s->training.runtime.world->rank != 0)
        return FV_OK;
    if (s->step % every == 0 || s->step == steps)
        FV_LOG_ROOT(INFO, "step %lld of %lld: loss %.4f, %.0f tokens/s", (long long)s->step, (long long)steps,
                    stats->loss, (double)stats->computed_tokens / seconds);
    return write_metrics(s, stats, rate, seconds, memory);
}

static fv_err step(sft *s)
{
    const fv_train_config *config = &s->training.config;
    fv_comm *world = s->training.runtime.world;
    fv_update_stats stats;
    fv_memory_figures memory;
    double from = fv_clock_now(), rate = fv_rate_at(&config->optimizer, s->step + 1, config->run.steps);
    fv_phase_set("examples");
    FV_TRY(fv_comm_agree(world, write_examples(s)));
    fv_phase_set("update");
    FV_TRY(fv_update(s->training.learning.updater, s->groups, s->n_groups, rate, &stats));
    forget(s);
    fv_prompt_builder_forget_all(&s->training.rollout.builder);
    fv_meter_advance(++s->step);
    double seconds = fv_clock_now() - from;
    FV_TRY(fv_memory_look(s->training.runtime.backend, world, &memory));
    return fv_comm_agree(world, tell(s, &stats, rate, seconds, &memory));
}

static fv_err prepare(sft *s)
{
    const fv_train_config *config = &s->training.config;
    const fv_sft_config *c = &config->sft;
    s->example = (fv_sft_example){.answer = c->answer,
                                  .call = c->call[0] && config->rollout.max_turns > 1 ? c->call : NULL,
                                  .call_share = c->call_share,
                                  .seed = (uint64_t)config->run.seed};
    FV_TRY(fv_sft_example_check(&s->example));
    s->plain_example = s->example;
    s->plain_example.call = NULL;
    if (c->plain_prompts[0])
        FV_TRY(fv_prompts_load(c->plain_prompts, &s->plain_prompts));
    FV_TRY(fv_validation_open(&s->validation, &s->training));
    s->groups = calloc((size_t)config->update.groups, sizeof *s->groups);
    FV_CHECK(s->groups, FV_ERR_MEMORY, "cannot allocate %d groups", config->update.groups);
    return FV_OK;
}

/* A prompt index is an example of one of these. */
static fv_err measure(sft *s)
{
    fv_training *t = &s->training;
    fv_prompt_builder builders[] = {t->rollout.builder, t->rollout.builder, t->rollout.builder};
    fv_dialogue dialogues[] = {t->rollout.dialogue, t->rollout.dialogue};
    int n = s->plain_prompts ? 3 : 1;
    builders[1].prompts = builders[2].prompts = dialogues[1].prompts = s->plain_prompts;
    builders[1].first = FV_FIRST_LOW;
    builders[2].first = FV_FIRST_HIGH;
    dialogues[1].max_turns = 1;
    fv_sft_example_room rooms[3];
    fv_measurer measurers[3];
    for (int i = 0; i < n; i++) {
        rooms[i] =
            (fv_sft_example_room){i ? &s->plain_example : &s->example, &builders[i], &dialogues[i > 0]};
        measurers[i] = (fv_measurer){fv_sft_example_measure, &rooms[i]};
    }
    const fv_training_rows what = {
        .data = t->questions.dataset, .name = t->config.data.train, .others = measurers, .n_others = n};
    FV_TRY(fv_training_measure(t, &what, &t->questions.rows));
    for (int i = 0; i < n; i++)
        fv_prompt_builder_largest(&builders[i], t->questions.rows.kept, t->questions.rows.n,
                                  &t->questions.trained);
    return fv_validation_measure(&s->validation);
}

static fv_err dry_run(sft *s)
{
    FV_TRY(fv_comm_agree(s->training.runtime.world, write_examples(s)));
    return fv_dry_run(&s->training, s->groups, s->n_groups);
}

static void describe(void *context, fv_progress *out)
{
    const sft *s = context;
    *out = (fv_progress){.is_supervised = 1,
                         .step = (uint64_t)s->step,
                         .next_prompt = (uint64_t)s->next_prompt,
                         .validated_step = (uint64_t)s->validation.done};
}

static fv_err advance(void *context)
{
    sft *s = context;
    FV_TRY(fv_validate(&s->validation, s->step));
    if (s->step < s->training.config.run.steps)
        FV_TRY(step(s));
    return fv_validate(&s->validation, s->step);
}

static fv_err run(sft *s, const fv_training_options *options)
{
    fv_training *t = &s->training;
    fv_progress progress;
    FV_TRY(fv_training_open(t, options));
    if (!options->dry_run)
        FV_TRY(fv_training_watch(t));
    FV_TRY(fv_comm_agree(t->runtime.world, prepare(s)));
    FV_TRY(measure(s));
    FV_TRY(fv_training_prepare_updates(t, &FV_LOSS_SUPERVISED, 1, NULL));
    FV_TRY(fv_comm_agree(t->runtime.world, fv_training_reserve(t)));
    if (s->validation.data)
        FV_TRY(fv_training_open_engine(t));
    if (options->dry_run)
        return dry_run(s);
    FV_TRY(fv_training_begin(t, 1, &progress));
    s->step = (int64_t)progress.step;
    s->next_prompt = (int64_t)progress.next_prompt;
    s->validation.done = (int64_t)progress.validated_step;
    fv_progress_fini(&progress);
    const fv_training_work work = {s, &s->step, advance, describe};
    return fv_training_go(t, &work);
}

int fv_job_sft(int argc, char **argv)
{
    const struct argp_child children[] = {{&fv_training_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {.children = children,
                              .args_doc = fv_training_args_doc,
                              .doc =
                                  "Teach a model from the answers of a data set: the tokens of SFT examples "
                                  "(section sft of the configuration), in the same dialogue that "
                                  "`fovea train` uses."};
    fv_training_options options = {.check = fv_sft_config_check};
    fv_terminal_parse(&argp, argc, argv, &options);
    sft s = {0};
    fv_err err = run(&s, &options);
    forget(&s);
    free(s.groups);
    fv_prompts_destroy(s.plain_prompts);
    fv_validation_close(&s.validation, err == FV_OK);
    int status = fv_training_finish(&s.training, err);
    free(options.overrides);
    return status;
}
