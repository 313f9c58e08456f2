#include "jobs/train/validation.h"

#include "fovea/base/file.h"
#include "fovea/base/log.h"
#include "fovea/train/metrics.h"
#include "fovea/base/patience.h"
#include "fovea/base/phase.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static fv_eval_mode mode_of(const fv_train_config *config)
{
    if (config->views.prompt == FV_VIEW_HIGH)
        return FV_EVAL_HIGH;
    return config->rollout.max_turns > 1 ? FV_EVAL_POLICY : FV_EVAL_LOW;
}

/* What the configuration leaves open is the folder's choice. */
static fv_err find_penalty(const fv_train_config *config, float *out)
{
    fv_generation_defaults defaults;
    fv_model_shape shape;
    FV_TRY(fv_model_shape_load(config->run.model, &shape, &defaults));
    fv_generation_warn(&defaults, config->run.model);
    *out = config->validate.repetition_penalty > 0 ? config->validate.repetition_penalty
                                                   : defaults.repetition_penalty;
    return FV_OK;
}

fv_err fv_validation_open(fv_validation *v, fv_training *t)
{
    const char *path = t->config.data.validate;
    *v = (fv_validation){.training = t};
    if (!path[0])
        return FV_OK;
    FV_TRY(fv_dataset_open(path, &v->data));
    FV_CHECK(fv_dataset_rows(v->data) > 0, FV_ERR_ARGUMENT, "%s has no rows", path);
    FV_CHECK(fv_dataset_images(v->data) == 0 || fv_dataset_images(t->questions.dataset) > 0, FV_ERR_ARGUMENT,
             "%s has images, but data.train, %s, has none", path, t->config.data.train);
    v->builder = t->rollout.builder;
    v->builder.dataset = v->data;
    FV_TRY(fv_prompt_builder_check_views(&v->builder, path, 0));
    v->what = (fv_evaluation){.mode = mode_of(&t->config),
                              .builder = &v->builder,
                              .rollout = &t->rollout.settings,
                              .n_rows = (int64_t)fv_dataset_rows(v->data),
                              .rows = &v->rows,
                              .shard = 1,
                              .n_shards = 1,
                              .temperature = t->config.validate.temperature};
    FV_TRY(find_penalty(&t->config, &v->what.repetition_penalty));
    t->rollout.has_penalties = v->what.repetition_penalty != 1;
    return FV_OK;
}

fv_err fv_validation_measure(fv_validation *v)
{
    fv_training *t = v->training;
    if (!v->data)
        return FV_OK;
    fv_prompt_builder builder = v->builder;
    fv_dialogue dialogue = t->rollout.dialogue;
    builder.first = fv_eval_first(v->what.mode);
    dialogue.max_turns = fv_eval_turns(v->what.mode, dialogue.max_turns);
    const fv_dialogue_room room = fv_training_room(t, &builder, &dialogue);
    const fv_training_rows what = {
        .data = v->data, .name = t->config.data.validate, .rooms = &room, .n_rooms = 1, .is_judged = 1};
    return fv_training_measure(t, &what, &v->rows);
}

static int is_due(const fv_train_config *config, int64_t step)
{
    const fv_validate_config *validate = &config->validate;
    if (step == 0)
        return validate->before;
    return step == config->run.steps || (validate->every > 0 && step % validate->every == 0);
}

/* Results, on rank 0. */

static fv_err describe(const fv_validation *v, int64_t step, fv_report *report)
{
    const fv_train_config *config = &v->training->config;
    report->model = strdup(config->run.out);
    report->data = strdup(config->data.validate);
    report->settings = fv_json_make_object();
    FV_CHECK(report->model && report->data && report->settings, FV_ERR_MEMORY, "no memory for a report");
    FV_TRY(fv_report_leave_out(report, &v->rows, v->what.n_rows));
    FV_TRY(fv_json_set_text(report->settings, "mode", fv_eval_mode_names[v->what.mode]));
    FV_TRY(fv_json_set_text(report->settings, "verifier", config->reward.verifier));
    FV_TRY(fv_json_set(report->settings, "temperature", fv_json_make_real((double)v->what.temperature)));
    FV_TRY(fv_json_set(report->settings, "repetition_penalty",
                       fv_json_make_real((double)v->what.repetition_penalty)));
    FV_TRY(fv_json_set(report->settings, "rows", fv_json_make_integer(v->what.n_rows)));
    return fv_json_set(report->settings, "step", fv_json_make_integer(step));
}

/* Made in the folder of the lease, as all that a run writes. */
static fv_err write_folder(const fv_validation *v, const fv_late_report *late)
{
    const fv_training *t = v->training;
    char all[PATH_MAX], one[PATH_MAX], made[PATH_MAX], name[32];
    snprintf(name, sizeof name, "step_%06lld", (long long)late->step);
    FV_TRY(fv_file_path(all, sizeof all, t->config.run.out, "validation"));
    FV_TRY(fv_file_path(one, sizeof one, all, name));
    FV_TRY(fv_file_path(made, sizeof made, t->saving.lease.own, "validation"));
    FV_TRY(fv_file_remove_tree(made));
    FV_TRY(fv_file_make_folder(all));
    FV_TRY(fv_file_make_folder(made));
    FV_TRY(fv_report_write(&late->report, made));
    return fv_lease_publish(&t->saving.lease, "validation", one);
}

static void drop_oldest(fv_validation *v)
{
    fv_report_fini(&v->late[0].report);
    memmove(v->late, v->late + 1, (size_t)--v->n_late * sizeof *v->late);
}

/* What can be written now; what is left is kept. Fails if the folder is another's. */
static fv_err write_late(fv_validation *v)
{
    int had_to_wait = v->n_late > 1;
    for (; v->n_late > 0; drop_oldest(v)) {
        fv_err err = write_folder(v, &v->late[0]);
        if (err == FV_ERR_IO)
            FV_TRY(fv_lease_check(&v->training->saving.lease));
        if (err == FV_ERR_IO)
            return FV_OK;
        FV_TRY(err);
    }
    if (had_to_wait)
        FV_LOG_RANK(INFO, "validations are written again");
    return FV_OK;
}

/* report is taken. */
static fv_err keep_report(fv_validation *v, int64_t step, fv_report *report)
{
    if (v->n_late == FV_LATE_REPORTS) {
        FV_LOG_RANK(WARN, "the records of the validation after step %lld are lost: %d others wait",
                    (long long)v->late[0].step, FV_LATE_REPORTS);
        drop_oldest(v);
    }
    v->late[v->n_late++] = (fv_late_report){*report, step};
    *report = (fv_report){0};
    FV_TRY(write_late(v));
    if (v->n_late > 0)
        FV_LOG_RANK(WARN, "the records of the validation after step %lld wait in memory: %s", (long long)step,
                    fv_error_text());
    return FV_OK;
}

static fv_err write_figures(const fv_validation *v, int64_t step, const fv_report *report)
{
    fv_summary summary;
    fv_json *object;
    FV_TRY(fv_summary_init(&summary, report));
    const fv_tally all = summary.all;
    fv_summary_fini(&summary);
    const fv_figure figures[] = {
        {"validate_score", fv_tally_score(&all)},
        {"validate_unjudged_share", (double)(all.n_records - all.n_judged) / (double)all.n_records},
        {"validate_call_rate", fv_tally_call_rate(&all)},
        {"validate_visual_share", fv_tally_visual_share(&all)},
        {"validate_response_tokens", fv_tally_response_tokens(&all)},
        {"validate_s", report->seconds}};
    FV_LOG_ROOT(INFO,
                "validation after step %lld: score %.4f, call rate %.4f, visual share %.4f, %.1f tokens an "
                "answer; %lld rows in %.1f s",
                (long long)step, figures[0].value, figures[2].value, figures[3].value, figures[4].value,
                (long long)all.n_records, report->seconds);
    FV_TRY(fv_figures_to_json(figures, sizeof figures / sizeof *figures, &object));
    return fv_journal_metrics(&v->training->saving.journal, step, object);
}

static fv_err record(fv_validation *v, int64_t step, fv_report *report)
{
    FV_TRY(describe(v, step, report));
    FV_TRY(write_figures(v, step, report));
    return keep_report(v, step, report);
}

fv_err fv_validate(fv_validation *v, int64_t step)
{
    fv_report report = {0};
    FV_TRY(write_late(v));
    if (!v->data || v->done == step + 1 || !is_due(&v->training->config, step))
        return FV_OK;
    fv_comm *world = v->training->runtime.world;
    fv_phase_set("validation");
    const fv_collector with = fv_training_collector(v->training);
    fv_batch begun = {0};
    fv_err err = fv_evaluate(&with, &v->what, &begun, &report);
    fv_batch_fini(&begun); /* a validation that was stopped begins again */
    if (err == FV_OK)
        err = fv_comm_agree(world, world->rank == 0 ? record(v, step, &report) : FV_OK);
    fv_report_fini(&report);
    if (err == FV_OK)
        v->done = step + 1;
    return err;
}

void fv_validation_close(fv_validation *v, int is_patient)
{
    fv_patience patience = {0};
    fv_error_kept kept;
    fv_error_keep(&kept);
    while (write_late(v) == FV_OK && v->n_late > 0 && is_patient && fv_patience_wait(&patience))
        continue;
    if (v->n_late > 0)
        FV_LOG_RANK(WARN, "the records of %d validations are lost: %s", v->n_late, fv_error_text());
    while (v->n_late > 0)
        drop_oldest(v);
    fv_error_restore(&kept);
    fv_rows_fini(&v->rows);
    fv_prompt_builder_forget_all(&v->builder);
    fv_dataset_close(v->data);
    *v = (fv_validation){0};
}
