/* fovea eval: a model's greedy answers to a data set, scored; or the shards of such an evaluation joined. */
#include "jobs/eval/begun.h"
#include "jobs/eval/options.h"
#include "jobs/eval/output.h"
#include "jobs/jobs.h"
#include "jobs/texts.h"

#include "fovea/comm/watch/watch.h"
#include "fovea/eval/evaluate.h"
#include "fovea/model/hf/identity.h"
#include "fovea/base/log.h"
#include "fovea/base/meter.h"
#include "fovea/base/process/stop.h"
#include "fovea/model/nn/pages.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_TURNS = 2,
    MAX_IMAGES = 2,
    CACHE_BYTES = 1 << 30, /* of views of the rows under way */
    HOST_BYTES = 1 << 30   /* of an engine where nobody knows what there is room for */
};

typedef struct eval {
    fv_eval_options *options;
    fv_task task; /* {0} if there is none */
    fv_runtime runtime;
    fv_watch *watch;
    fv_texts texts;
    fv_processor processor;
    fv_view_cache *view_cache; /* NULL: the data has no images */
    fv_dataset *dataset;
    fv_judge *judge;
    fv_engine *engine;
    int64_t max_tokens;
    fv_rows rows; /* of dataset: those that are asked */
    fv_evaluation what;
    fv_report report;
    fv_batch begun; /* samples under way of an evaluation that was interrupted, */
    fv_report done; /* on the first rank its records, */
    fv_rows left;   /* and the rows that they are not of */
    fv_buffer head;
    fv_begun_log log;
    int is_kept; /* the results are there already */
} eval;

/* Preparation. */

static float penalty_of(const eval *e, const fv_generation_defaults *defaults)
{
    double asked = e->options->repetition_penalty;
    return asked >= 0 ? (float)asked : defaults->repetition_penalty;
}

static void set_sizes(eval *e, const fv_generation_defaults *defaults)
{
    const fv_eval_options *o = e->options;
    int64_t rows = (int64_t)fv_dataset_rows(e->dataset);
    int64_t positions = fv_model_shape_of(e->runtime.model)->text.max_positions;
    e->what = (fv_evaluation){.mode = o->mode,
                              .n_rows = o->limit && o->limit < rows ? o->limit : rows,
                              .rows = &e->left,
                              .shard = o->shard,
                              .n_shards = o->n_shards,
                              .repetition_penalty = penalty_of(e, defaults),
                              .temperature = o->temperature,
                              .n_samples = o->n_samples,
                              .draws_by_row = 1,
                              .by = o->by,
                              .task = o->task ? &e->task : NULL};
    e->max_tokens = o->max_tokens ? o->max_tokens : positions < 32768 ? positions : 32768;
}

static fv_err open_data(eval *e)
{
    const fv_view_cache_settings settings = {.processor = &e->processor,
                                             .transparency = e->options->views.transparency,
                                             .filter = e->options->views.filter,
                                             .n_workers = fv_view_workers(e->runtime.backend->n_threads),
                                             .max_bytes = CACHE_BYTES};
    FV_TRY(fv_dataset_open(e->options->data, &e->dataset));
    return fv_dataset_images(e->dataset) > 0 ? fv_view_cache_create(&settings, &e->view_cache) : FV_OK;
}

static fv_err prepare(eval *e)
{
    const fv_eval_options *o = e->options;
    if (o->task)
        FV_TRY(fv_task_load(o->task, NULL, 0, &e->task));
    FV_TRY(fv_eval_options_complete(e->options, &e->task));
    const char *model = o->runtime.model;
    fv_generation_defaults defaults;
    fv_model_shape shape;
    FV_TRY(fv_model_shape_load(model, &shape, &defaults));
    fv_generation_warn(&defaults, model);
    FV_TRY(fv_texts_open(&e->texts, model, o->prompts));
    FV_TRY(fv_runtime_load_processor(&e->runtime, model, &e->texts.chat, &e->processor));
    FV_TRY(open_data(e));
    if (!o->task)
        FV_TRY(fv_judge_verifier_create(o->verifier, &e->judge));
    set_sizes(e, &defaults);
    int positions = fv_model_shape_of(e->runtime.model)->text.max_positions;
    FV_CHECK(e->max_tokens <= positions, FV_ERR_ARGUMENT,
             "--max-tokens is %lld, but %s has positions for %d tokens", (long long)e->max_tokens, model,
             positions);
    return FV_OK;
}

/* All that the samples follow from, as it is written into the report. */

static fv_err set_hashes(const eval *e, fv_json *settings)
{
    uint64_t model, prompts;
    FV_TRY(fv_identity_of_folder(e->options->runtime.model, &model));
    FV_TRY(fv_identity_of_file(e->options->prompts, &prompts));
    FV_TRY(fv_json_set_hash(settings, "model_hash", model));
    FV_TRY(fv_json_set_hash(settings, "data_hash", fv_dataset_hash(e->dataset)));
    return fv_json_set_hash(settings, "prompts_hash", prompts);
}

static fv_err set_numbers(const eval *e, fv_json *settings)
{
    const fv_eval_options *o = e->options;
    const struct {
        const char *key;
        int64_t value;
    } numbers[] = {{"rows", e->what.n_rows},
                   {"tensor", e->runtime.mesh.tensor->size},
                   {"max_turn_tokens", o->max_turn_tokens},
                   {"max_tokens", e->max_tokens},
                   {"min_pixels", o->views.min_pixels},
                   {"max_pixels", o->views.max_pixels}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        FV_TRY(fv_json_set(settings, numbers[i].key, fv_json_make_integer(numbers[i].value)));
    return FV_OK;
}

static fv_err set_draws(const fv_eval_options *o, fv_json *settings)
{
    FV_TRY(fv_json_set(settings, "samples", fv_json_make_integer(o->n_samples)));
    FV_TRY(fv_json_set(settings, "seed", fv_json_make_integer(o->seed)));
    return fv_json_set(settings, "temperature", fv_json_make_real((double)o->temperature));
}

static fv_err describe(eval *e)
{
    const fv_eval_options *o = e->options;
    fv_report *report = &e->report;
    report->model = strdup(o->runtime.model);
    report->data = strdup(o->data);
    report->settings = fv_json_make_object();
    FV_CHECK(report->model && report->data && report->settings, FV_ERR_MEMORY, "no memory for a report");
    FV_TRY(fv_json_set_text(report->settings, "mode", fv_eval_mode_names[o->mode]));
    FV_TRY(o->task ? fv_task_describe(&e->task, report->settings)
                   : fv_json_set_text(report->settings, "verifier", o->verifier->name));
    FV_TRY(fv_json_set_text(report->settings, "extraction", fv_extraction_names[o->extraction]));
    FV_TRY(fv_json_set_text(report->settings, "transparency",
                            o->views.transparency == FV_ALPHA_WHITE ? "white" : "drop"));
    if (o->views.filter != FV_VIEW_BICUBIC)
        FV_TRY(fv_json_set_text(report->settings, "filter", fv_view_filter_names[o->views.filter]));
    if (o->views.tool != FV_TOOL_VIEW_WHOLE)
        FV_TRY(fv_json_set_text(report->settings, "tool_view", fv_tool_view_names[o->views.tool]));
    FV_TRY(fv_json_set_text(report->settings, "precision", fv_precision_names[o->runtime.precision]));
    FV_TRY(fv_json_set_text(report->settings, "backend", fv_backend_kind_names[e->runtime.backend_kind]));
    if (e->what.repetition_penalty != 1)
        FV_TRY(fv_json_set(report->settings, "repetition_penalty",
                           fv_json_make_real((double)e->what.repetition_penalty)));
    if (o->by)
        FV_TRY(fv_json_set_text(report->settings, "by", o->by));
    FV_TRY(set_hashes(e, report->settings));
    FV_TRY(fv_report_leave_out(report, &e->rows, e->what.n_rows));
    if (o->temperature > 0)
        FV_TRY(set_draws(o, report->settings));
    return set_numbers(e, report->settings);
}

/* Evaluation. */

static fv_rollout_settings rollout_of(eval *e)
{
    const fv_eval_options *o = e->options;
    return (fv_rollout_settings){
        .dialogue = {.prompts = e->texts.prompts,
                     .chat = &e->texts.chat,
                     .merge = e->processor.merge,
                     .max_turns = MAX_TURNS,
                     .max_images = MAX_IMAGES,
                     .max_turn_tokens = o->max_turn_tokens,
                     .max_tokens = e->max_tokens},
        .seed = (uint64_t)o->seed,
    };
}

/* For all samples at once, or as many as all ranks have room for. */
static fv_err fit_cache(eval *e, fv_engine_settings *settings)
{
    fv_comm *world = e->runtime.world;
    double room = 0;
    fv_err err = fv_runtime_room(&e->runtime, &room);
    if (err == FV_OK)
        err = fv_engine_fit_cache(e->runtime.model, room > 0 ? room : HOST_BYTES, settings);
    FV_TRY(fv_comm_agree(world, err));
    double least = -settings->cache_pages;
    FV_TRY(fv_comm_all_reduce_max(world, &least));
    settings->cache_pages = (int)-least;
    return FV_OK;
}

static int smaller(int64_t a, int b)
{
    return a < b ? (int)a : b;
}

static int given(int option, int otherwise)
{
    return option > 0 ? option : otherwise;
}

static fv_engine_settings settings_of(const eval *e)
{
    const fv_eval_options *o = e->options;
    int on_gpu = e->runtime.backend_kind == FV_BACKEND_CUDA;
    int pass_tokens = given(o->pass_tokens, on_gpu ? 8192 : 1024);
    int usual = smaller(on_gpu ? 256 : 16, pass_tokens);
    int running = given(o->max_running, o->n_samples > usual ? o->n_samples : usual);
    int64_t pages = (int64_t)(running + 1) * fv_pages_for(e->max_tokens);
    return (fv_engine_settings){.name = "evaluation",
                                .max_running = running,
                                .max_tokens = e->max_tokens,
                                .pass_tokens = pass_tokens,
                                .cache_pages = given(o->cache_pages, smaller(pages, FV_MAX_PAGES)),
                                .has_filters = e->what.repetition_penalty != 1,
                                .excluded = e->texts.vision_ids,
                                .n_excluded = e->texts.n_vision_ids};
}

static fv_err open_engine(eval *e, const fv_prompt_builder *builder)
{
    fv_largest_views largest = {0};
    fv_engine_settings settings = settings_of(e);
    fv_prompt_builder_largest(builder, e->rows.kept, e->rows.n, &largest);
    fv_rollout_show(&settings, largest.high, e->processor.merge);
    if (!e->options->cache_pages)
        FV_TRY(fit_cache(e, &settings));
    fv_rollout_show(&settings, largest.high, e->processor.merge);
    return fv_comm_agree(e->runtime.world, fv_engine_create(e->runtime.model, &settings, &e->engine));
}

static fv_prompt_builder builder_of(const eval *e)
{
    return (fv_prompt_builder){.dataset = e->dataset,
                               .processor = &e->processor,
                               .prompts = e->texts.prompts,
                               .chat = &e->texts.chat,
                               .cache = e->view_cache,
                               .views = e->options->views,
                               .first = fv_eval_first(e->options->mode)};
}

static fv_err evaluate(eval *e)
{
    const fv_rollout_settings rollout = rollout_of(e);
    const fv_score_settings score = {.extraction = e->options->extraction};
    fv_prompt_builder builder = builder_of(e);
    fv_comm *world = e->runtime.world;
    FV_TRY(fv_comm_agree(world, fv_prompt_builder_check_views(&builder, e->options->data, 0)));
    FV_TRY(open_engine(e, &builder));
    const fv_collector with = {
        .mesh = &e->runtime.mesh, .engine = e->engine, .judge = e->judge, .score = &score};
    e->what.builder = &builder;
    e->what.rollout = &rollout;
    return fv_evaluate(&with, &e->what, &e->begun, &e->report);
}

/* All rows of the evaluation, whatever the shard: all shards leave out the same. */
static fv_err measure(eval *e)
{
    const fv_eval_options *o = e->options;
    fv_rollout_settings rollout = rollout_of(e);
    const fv_prompt_builder builder = builder_of(e);
    rollout.dialogue.max_turns = fv_eval_turns(o->mode, MAX_TURNS);
    const fv_dialogue_room room = {.builder = &builder,
                                   .dialogue = &rollout.dialogue,
                                   .cache_pages =
                                       o->cache_pages ? o->cache_pages : fv_pages_for(e->max_tokens),
                                   .tokens = "--max-tokens",
                                   .pages = "--cache-pages"};
    const fv_measurer measurer = {fv_dialogue_measure, &room};
    const fv_measure what = {.dataset = e->dataset,
                             .name = o->data,
                             .n_rows = (uint64_t)e->what.n_rows,
                             .measurers = &measurer,
                             .n_measurers = 1,
                             .too_long = o->too_long,
                             .pixels = "--max-pixels",
                             .skip = "--too-long skip"};
    return fv_rows_measure(&what, e->runtime.world, &e->rows);
}

/* Going. */

static fv_err begin(eval *e)
{
    const fv_eval_options *o = e->options;
    if (o->task)
        FV_TRY(fv_task_check_rows(&e->task, e->dataset, o->data, &e->rows));
    FV_TRY(describe(e));
    e->report.shard = o->shard;
    e->report.n_shards = o->n_shards;
    return fv_output_begin(&e->report, o->out, o->keeps, &e->is_kept);
}

static fv_err read_begun(eval *e)
{
    const fv_model_shape *shape = fv_model_shape_of(e->runtime.model);
    fv_err err = fv_begun_read(e->options->out, &e->report, &e->begun);
    if (err == FV_OK)
        err = fv_batch_check(&e->begun, shape->text.vocab, e->processor.merge);
    if (err == FV_ERR_FORMAT || err == FV_ERR_IO)
        return fv_error_prefix(err, "cannot go on with %s/begun.h5, remove it to begin anew",
                               e->options->out);
    FV_TRY(err);
    FV_TRY(fv_begun_read_records(e->options->out, &e->report, &e->done));
    return fv_begun_head(&e->report, &e->head);
}

/* What an evaluation that was interrupted has found, on every rank. */
static fv_err take_up(eval *e)
{
    fv_comm *world = e->runtime.world;
    FV_TRY(fv_comm_agree(world, world->rank == 0 ? read_begun(e) : FV_OK));
    FV_TRY(fv_batch_share(&e->begun, world));
    FV_TRY(fv_begun_share(&e->done, &e->rows, world, &e->begun, &e->left));
    if (e->begun.n > 0 || e->done.n > 0)
        FV_LOG_ROOT(INFO, "going on with %zu samples of an evaluation that was interrupted",
                    (size_t)e->begun.n + e->done.n);
    FV_TRY(fv_begun_log_init(&e->log, e->options->out, &e->head, world));
    e->what.keep = fv_begun_keep;
    e->what.keep_context = &e->log;
    return FV_OK;
}

static int64_t tokens_of(const fv_batch *batch)
{
    int64_t n = 0;
    for (const fv_group *g = batch->groups; g < batch->groups + batch->n; g++)
        for (int i = 0; i < fv_group_size(g); i++)
            n += (int64_t)g->responses[i].ids.n;
    return n;
}

/* Time that is too short for one token would be too short again. */
static fv_err save_begun(eval *e, int64_t n_before)
{
    FV_TRY(fv_begun_write(&e->begun, &e->report, e->options->out));
    FV_CHECK(tokens_of(&e->begun) > n_before || !fv_watch_has_run_out(e->watch), FV_ERR_ARGUMENT,
             "the allocation ends before anything was generated; its time must be longer (sbatch --time)");
    return FV_FAIL(FV_STOPPED, "interrupted with %zu samples, which are kept in %s; started again it goes on",
                   (size_t)e->begun.n + e->done.n, e->options->out);
}

/* FV_STOPPED, when what there is has been saved. */
static fv_err stop(eval *e, int64_t n_before)
{
    fv_comm *world = e->runtime.world;
    double is_interrupt = fv_stop_signal() == SIGINT;
    FV_TRY(fv_comm_all_reduce_max(world, &is_interrupt));
    e->runtime.ends_by_interrupt = is_interrupt > 0;
    return fv_comm_agree(world, world->rank == 0 ? save_begun(e, n_before) : FV_STOPPED);
}

/* All records, those from before among them. */
static fv_err write_results(eval *e)
{
    for (size_t i = 0; i < e->done.n; i++)
        FV_TRY(fv_report_add(&e->report, &e->done.records[i]));
    fv_report_sort(&e->report);
    return fv_output_write(&e->report, e->options->out);
}

static fv_err go(eval *e)
{
    fv_comm *world = e->runtime.world;
    FV_TRY(take_up(e));
    int64_t n_before = tokens_of(&e->begun);
    if (world->rank == 0)
        fv_meter_start(NULL, 0, 0);
    fv_err err = evaluate(e);
    fv_meter_stop();
    if (err == FV_STOPPED)
        return stop(e, n_before);
    FV_TRY(err);
    fv_begun_log_close(&e->log); /* what it could not write the results have */
    return fv_comm_agree(world, world->rank == 0 ? write_results(e) : FV_OK);
}

static fv_err run(eval *e)
{
    static const fv_watch_settings watch = {.silence_s = FV_WATCH_SILENCE_S, .margin_s = FV_WATCH_MARGIN_S};
    FV_TRY(fv_stop_on_signals()); /* MPI_Init takes a while */
    FV_TRY(fv_runtime_open(&e->runtime, &e->options->runtime));
    fv_comm *world = e->runtime.world;
    FV_TRY(fv_watch_start(world, &watch, FV_EXIT_AGAIN, &e->watch));
    FV_TRY(fv_comm_agree(world, prepare(e)));
    FV_TRY(measure(e));
    FV_TRY(fv_comm_agree(world, world->rank == 0 ? begin(e) : FV_OK));
    FV_TRY(fv_comm_broadcast(world, &e->is_kept, sizeof e->is_kept, 0));
    return e->is_kept ? FV_OK : go(e);
}

static int finish(eval *e, fv_err err)
{
    fv_runtime_free_launcher(&e->runtime, err);
    fv_watch_stop(e->watch);
    fv_report_fini(&e->report);
    fv_batch_fini(&e->begun);
    fv_report_fini(&e->done);
    fv_begun_log_close(&e->log);
    fv_buffer_fini(&e->head);
    fv_rows_fini(&e->left);
    fv_rows_fini(&e->rows);
    fv_engine_destroy(e->engine);
    fv_judge_destroy(e->judge);
    fv_view_cache_destroy(e->view_cache);
    fv_dataset_close(e->dataset);
    fv_texts_close(&e->texts);
    fv_task_fini(&e->task);
    return fv_runtime_finish(&e->runtime, err);
}

/* Merging. */

static fv_err load_shards(const fv_eval_options *o, fv_report *shards)
{
    for (int i = 0; i < o->n_folders; i++)
        FV_TRY(fv_report_load(o->folders[i], &shards[i]));
    return FV_OK;
}

static fv_err merge(const fv_eval_options *o)
{
    fv_report whole = {0}, *shards = calloc((size_t)o->n_folders, sizeof *shards);
    fv_err err = FV_OK;
    int is_kept;
    FV_CHECK(shards, FV_ERR_MEMORY, "cannot allocate %d reports", o->n_folders);
    FV_TRY_DONE(load_shards(o, shards));
    FV_TRY_DONE(fv_report_merge(shards, (const char *const *)o->folders, o->n_folders, &whole));
    FV_TRY_DONE(fv_output_begin(&whole, o->merge, o->keeps, &is_kept));
    if (!is_kept)
        FV_TRY_DONE(fv_output_write(&whole, o->merge));
done:
    fv_report_fini(&whole);
    for (int i = 0; i < o->n_folders; i++)
        fv_report_fini(&shards[i]);
    free(shards);
    return err;
}

int fv_job_eval(int argc, char **argv)
{
    fv_eval_options options;
    fv_eval_options_parse(argc, argv, &options);
    if (options.merge)
        return fv_job_finish(merge(&options));
    eval e = {.options = &options};
    return finish(&e, run(&e));
}
