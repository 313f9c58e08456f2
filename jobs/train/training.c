#include "jobs/train/training.h"

#include "jobs/jobs.h"

#include "fovea/base/file.h"
#include "fovea/reward/judge/judge_ranks.h"
#include "fovea/run/judge_factory.h"
#include "fovea/base/log.h"
#include "fovea/data/shuffle.h"
#include "fovea/base/point.h"
#include "fovea/base/process/stop.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The command line. */

enum { KEY_DRY_RUN = 0x201, KEY_KEYS, KEY_FOLDER };

const char fv_training_args_doc[] = "CONFIG [KEY=VALUE...]";

static const struct argp_option option_list[] = {
    {"dry-run", KEY_DRY_RUN, NULL, 0, "build everything, tell layout, memory and the first batch, and stop",
     0},
    {"keys", KEY_KEYS, NULL, 0, "print every key with its default and what it is for", 0},
    {"folder", KEY_FOLDER, NULL, 0, "print the folder of the run (out), and stop", 0},
    {0}};

static void print_keys(void)
{
    fv_buffer text = {0};
    fv_err err = fv_settings_print(&fv_train_settings, NULL, 1, &text);
    if (err == FV_OK)
        fputs(text.data, stdout);
    fv_buffer_fini(&text);
    exit(fv_job_finish(err));
}

static void print_folder(const fv_training_options *options)
{
    fv_train_config config;
    fv_err err = fv_settings_read(&fv_train_settings, options->config, options->overrides,
                                  options->n_overrides, &config);
    if (err == FV_OK) {
        puts(config.run.out);
        fv_settings_fini(&fv_train_settings, &config);
    }
    free(options->overrides);
    exit(fv_job_finish(err));
}

static void add_override(fv_training_options *out, const char *text, struct argp_state *state)
{
    const char **grown = realloc(out->overrides, (size_t)(out->n_overrides + 1) * sizeof *grown);
    if (!grown)
        argp_failure(state, FV_EXIT_FAILED, 0, "cannot allocate a list of %d settings", out->n_overrides + 1);
    out->overrides = grown;
    out->overrides[out->n_overrides++] = text;
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    fv_training_options *out = state->input;
    switch (key) {
    case KEY_DRY_RUN:
        out->dry_run = 1;
        return 0;
    case KEY_KEYS:
        print_keys();
        return 0;
    case KEY_FOLDER:
        out->wants_folder = 1;
        return 0;
    case ARGP_KEY_ARG:
        if (!out->config)
            out->config = argument;
        else if (strchr(argument, '='))
            add_override(out, argument, state);
        else
            argp_error(state, "\"%s\" is no KEY=VALUE", argument);
        return 0;
    case ARGP_KEY_END:
        if (!out->config)
            argp_error(state, "a configuration is required");
        if (out->wants_folder)
            print_folder(out);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp fv_training_argp = {.options = option_list, .parser = parse};

/* Building. */

static fv_err read_config(fv_training *t, const fv_training_options *options)
{
    fv_err err = fv_settings_read(&fv_train_settings, options->config, options->overrides,
                                  options->n_overrides, &t->config);
    t->has_config = err == FV_OK;
    FV_TRY(err);
    t->is_selection = options->is_selection;
    if (options->is_selection) {
        t->config.rollout.max_turns = 1;
        t->config.views.prompt = FV_VIEW_LOW;
    }
    return options->check(&t->config, t->runtime.world->size);
}

static fv_err open_views(fv_training *t)
{
    const fv_views_config *c = &t->config.views;
    FV_TRY(
        fv_runtime_load_processor(&t->runtime, t->config.run.model, &t->texts.chat, &t->questions.processor));
    const fv_view_cache_settings settings = {
        .processor = &t->questions.processor,
        .transparency = c->bounds.transparency,
        .filter = c->bounds.filter,
        .n_workers = c->workers >= 0 ? c->workers : fv_view_workers(t->runtime.backend->n_threads),
        .max_bytes = (size_t)c->cache_megabytes * 1000000};
    return fv_view_cache_create(&settings, &t->questions.view_cache);
}

static fv_err open_texts(fv_training *t)
{
    const fv_run_config *run = &t->config.run;
    FV_TRY(fv_texts_open(&t->texts, run->model, run->prompts));
    FV_TRY(fv_dataset_open(t->config.data.train, &t->questions.dataset));
    FV_CHECK(fv_dataset_rows(t->questions.dataset) > 0, FV_ERR_ARGUMENT, "%s has no rows",
             t->config.data.train);
    return fv_dataset_images(t->questions.dataset) > 0 ? open_views(t) : FV_OK;
}

static fv_err set_stages(fv_training *t)
{
    const fv_train_config *c = &t->config;
    const fv_model_shape *shape = fv_model_shape_of(t->runtime.model);
    t->rollout.builder =
        (fv_prompt_builder){.dataset = t->questions.dataset,
                            .processor = &t->questions.processor,
                            .prompts = t->texts.prompts,
                            .chat = &t->texts.chat,
                            .cache = t->questions.view_cache,
                            .views = c->views.bounds,
                            .first = c->views.prompt == FV_VIEW_HIGH ? FV_FIRST_HIGH : FV_FIRST_LOW};
    t->rollout.dialogue = (fv_dialogue){.prompts = t->texts.prompts,
                                        .chat = &t->texts.chat,
                                        .merge = shape->vision.merge,
                                        .max_turns = c->rollout.max_turns,
                                        .max_images = c->rollout.max_images,
                                        .max_turn_tokens = c->rollout.max_turn_tokens,
                                        .max_tokens = c->rollout.max_tokens};
    FV_CHECK(c->rollout.max_tokens <= shape->text.max_positions, FV_ERR_ARGUMENT,
             "rollout.max_tokens is %lld, but %s has positions for %d tokens",
             (long long)c->rollout.max_tokens, c->run.model, shape->text.max_positions);
    FV_TRY(fv_dialogue_check(&t->rollout.dialogue));
    return fv_prompt_builder_check_views(&t->rollout.builder, c->data.train, t->is_selection);
}

static void set_rollout(fv_training *t)
{
    const fv_rollout_config *c = &t->config.rollout;
    t->rollout.settings = (fv_rollout_settings){.dialogue = t->rollout.dialogue,
                                                .temperature = c->temperature,
                                                .top_k = c->top_k,
                                                .top_p = c->top_p,
                                                .seed = (uint64_t)t->config.run.seed};
}

fv_engine_settings fv_training_engine_settings(const fv_training *t)
{
    const fv_rollout_config *c = &t->config.rollout;
    fv_engine_settings settings = {.name = "rollout",
                                   .max_running = c->max_running,
                                   .max_tokens = c->max_tokens,
                                   .pass_tokens = c->pass_tokens,
                                   .cache_pages = c->cache_pages,
                                   .has_filters = t->rollout.has_penalties || c->top_k > 0 || c->top_p < 1,
                                   .excluded = t->texts.vision_ids,
                                   .n_excluded = t->texts.n_vision_ids};
    fv_rollout_show(&settings, t->questions.largest.high, t->rollout.dialogue.merge);
    return settings;
}

fv_err fv_training_open_engine(fv_training *t)
{
    const fv_engine_settings settings = fv_training_engine_settings(t);
    return fv_comm_agree(t->runtime.world, fv_engine_create(t->runtime.model, &settings, &t->rollout.engine));
}

fv_collector fv_training_collector(const fv_training *t)
{
    return (fv_collector){.mesh = &t->runtime.mesh,
                          .engine = t->rollout.engine,
                          .judge = t->judging.judge,
                          .score = &t->judging.score};
}

static fv_err open_judge(fv_training *t)
{
    const fv_reward_config *c = &t->config.reward;
    const fv_mesh *mesh = &t->runtime.mesh;
    t->judging.score = (fv_score_settings){.format = c->format,
                                           .extraction = c->extraction,
                                           .tool_penalty = c->tool_penalty,
                                           .accuracy_weight = c->weights.accuracy,
                                           .overlong = c->overlong};
    if (mesh->tensor->rank > 0)
        return FV_OK; /* the first rank of a tensor group judges for all of it */
    const fv_judge_asker asker = {.rank = mesh->data->rank,
                                  .n = mesh->data->size,
                                  .backend = t->runtime.backend,
                                  .mailbox = t->judging.mailbox};
    return fv_judge_factory_create(&t->config, &asker, &t->judging.judge);
}

static fv_err build(fv_training *t)
{
    FV_TRY(open_texts(t));
    FV_TRY(set_stages(t));
    set_rollout(t);
    return open_judge(t);
}

static fv_runtime_options runtime_options(const fv_training *t)
{
    const fv_run_config *run = &t->config.run;
    int has_wide_judge =
        t->config.reward.judge == FV_JUDGE_LOCAL && fv_judge_precision_of(&t->config) != FV_PRECISION_BF16;
    return (fv_runtime_options){
        .model = run->model,
        .backend = run->backend,
        .kernels = run->kernels[0] ? run->kernels : NULL,
        .threads = run->threads,
        .tensor = t->config.layout.tensor,
        .precision = run->precision,
        .chunks = t->config.layout.chunks,
        .is_plan = t->is_plan,
        .needs_fp32 = has_wide_judge
                          ? "there is a GPU, but a local judge computes in fp32 (judge.precision=bf16)"
                          : NULL};
}

static fv_err open_trainer(fv_training *t)
{
    const fv_runtime_options options = runtime_options(t);
    FV_TRY(fv_runtime_open(&t->runtime, &options));
    t->config.run.backend = t->runtime.backend_kind; /* what the run is known by */
    return fv_comm_agree(t->runtime.world, build(t));
}

static fv_err open_judging(fv_training *t)
{
    fv_runtime_options options = runtime_options(t);
    options.is_plan = 0; /* a plan counts the memory of those that train */
    fv_log_init(t->runtime.all->rank, FV_LOG_INFO);
    FV_TRY(fv_point("start"));
    FV_TRY(fv_runtime_open_backend(&t->runtime, &options));
    return fv_judge_factory_create_served(&t->config, t->runtime.world->rank, t->runtime.backend,
                                          &t->judging.judge);
}

/* Ranks that judge start beside those that train. */
static fv_err open_both(fv_training *t)
{
    FV_TRY(fv_mailbox_create(t->runtime.world, &t->judging.mailbox));
    FV_TRY(fv_runtime_part_judges(&t->runtime, t->config.layout.judge_ranks));
    return fv_comm_agree(t->runtime.all, t->runtime.is_judge ? open_judging(t) : open_trainer(t));
}

fv_err fv_training_open(fv_training *t, const fv_training_options *options)
{
    t->saving.lease.descriptor = -1;
    t->saving.saved_step = t->saving.failing_from = -1;
    t->is_plan = options->dry_run;
    fv_err handled = fv_stop_on_signals(); /* MPI_Init takes a while, and keeps what it finds */
    FV_TRY(fv_comm_world(&t->runtime.world));
    FV_TRY(fv_comm_agree(t->runtime.world, handled));
    FV_TRY(fv_comm_agree(t->runtime.world, read_config(t, options)));
    return t->config.layout.judge_ranks > 0 ? open_both(t) : open_trainer(t);
}

fv_err fv_training_watch(fv_training *t)
{
    return fv_watch_start(fv_runtime_all(&t->runtime), &t->config.watch, FV_EXIT_AGAIN, &t->saving.watch);
}

fv_err fv_training_judge(fv_training *t)
{
    const fv_layout_config *layout = &t->config.layout;
    int n_trainers = t->runtime.all->size - layout->judge_ranks;
    return fv_judge_serve(t->judging.judge, t->judging.mailbox, n_trainers / layout->tensor);
}

/* Examples are taught at temperature 1, and samples at the one they were generated with. */
static fv_err open_policy(fv_training *t)
{
    int is_supervised = t->learning.settings.is_supervised;
    const fv_policy_settings settings = {.temperature = is_supervised ? 1 : t->config.rollout.temperature,
                                         .excluded = t->texts.vision_ids,
                                         .n_excluded = t->texts.n_vision_ids};
    return fv_policy_create(t->runtime.model, &settings, &t->learning.policy);
}

static fv_err open_updater(fv_training *t, fv_updater_args *args)
{
    fv_optimizer_settings adamw = t->config.optimizer.adamw;
    adamw.seed = (uint64_t)t->config.run.seed;
    FV_TRY(fv_optimizer_init(&t->learning.optimizer, t->runtime.model, t->runtime.mesh.data, &adamw));
    FV_TRY(fv_optimizer_load(&t->learning.optimizer, t->config.run.model));
    args->policy = t->learning.policy;
    return fv_updater_create(args, &t->learning.updater);
}

fv_err fv_training_prepare_updates(fv_training *t, const fv_loss_settings *loss, int is_supervised,
                                   fv_reference *reference)
{
    fv_run_learning *l = &t->learning;
    l->settings = (fv_update_settings){
        .loss = *loss, .micro_tokens = t->config.update.micro_tokens, .is_supervised = is_supervised};
    l->reference = reference;
    FV_TRY(fv_comm_agree(t->runtime.world, open_policy(t)));
    FV_TRY(fv_training_choose_save(t));
    fv_updater_args args = {.settings = l->settings,
                            .optimizer = &l->optimizer,
                            .reference = reference,
                            .view = fv_prompt_builder_view,
                            .want = fv_prompt_builder_want,
                            .view_context = &t->rollout.builder};
    return fv_comm_agree(t->runtime.world, open_updater(t, &args));
}

uint64_t fv_training_row(const void *context, int64_t prompt_index)
{
    const fv_training *t = context;
    uint64_t n = t->questions.rows.n, at = (uint64_t)prompt_index;
    return t->questions.rows
        .kept[fv_shuffle_row((uint64_t)t->config.run.seed, (uint32_t)(at / n), n, at % n)];
}

/* What has ended the run is told, not what fails afterwards. */
static fv_err close_journal(fv_training *t, fv_err err)
{
    fv_error_kept kept;
    fv_error_keep(&kept);
    fv_err closed = fv_journal_close(&t->saving.journal, err == FV_OK);
    if (err == FV_OK)
        return closed;
    fv_judge_destroy(t->judging.judge);
    t->judging.judge = NULL;
    fv_error_restore(&kept);
    return err;
}

int fv_training_finish(fv_training *t, fv_err err)
{
    fv_saver_destroy(t->saving.saver);
    fv_runtime_free_launcher(&t->runtime, err);
    fv_watch_stop(t->saving.watch);
    err = close_journal(t, err);
    fv_lease_release(&t->saving.lease);
    fv_updater_destroy(t->learning.updater);
    fv_optimizer_fini(&t->learning.optimizer);
    fv_policy_destroy(t->learning.policy);
    fv_engine_destroy(t->rollout.engine);
    fv_judge_destroy(t->judging.judge);
    fv_judge_demands_close(t->judging.demands);
    fv_rows_fini(&t->questions.rows);
    fv_mailbox_destroy(t->judging.mailbox);
    fv_view_cache_destroy(t->questions.view_cache);
    fv_dataset_close(t->questions.dataset);
    fv_texts_close(&t->texts);
    if (t->has_config)
        fv_settings_fini(&fv_train_settings, &t->config);
    return fv_runtime_finish(&t->runtime, err);
}
