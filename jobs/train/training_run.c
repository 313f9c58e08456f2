/* A run and its folder: leased, gone on with, saved. */
#include "jobs/train/training.h"

#include "jobs/jobs.h"

#include "fovea/base/process/allocation.h"
#include "fovea/base/clock.h"
#include "fovea/base/file.h"
#include "fovea/model/hf/identity.h"
#include "fovea/base/log.h"
#include "fovea/base/meter.h"
#include "fovea/base/patience.h"
#include "fovea/base/phase.h"
#include "fovea/base/point.h"
#include "fovea/run/resume.h"
#include "fovea/base/process/stop.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DATA, MODEL, PROMPTS };

static fv_err identify(fv_training *t)
{
    const fv_run_config *run = &t->config.run;
    t->saving.identity[DATA] = fv_rows_identity(&t->questions.rows, fv_dataset_hash(t->questions.dataset));
    FV_TRY(fv_identity_of_folder(run->model, &t->saving.identity[MODEL]));
    return fv_identity_of_file(run->prompts, &t->saving.identity[PROMPTS]);
}

/* What of a progress is the same at every step. */
static fv_err describe(const fv_training *t, fv_progress *out)
{
    fv_buffer text = {0};
    out->seed = (uint64_t)t->config.run.seed;
    out->data_identity = t->saving.identity[DATA];
    out->model_identity = t->saving.identity[MODEL];
    out->prompts_identity = t->saving.identity[PROMPTS];
    fv_err err = fv_settings_print(&fv_train_settings, &t->config, 0, &text);
    out->config = text.data;
    return err;
}

static int is_word(const char *from)
{
    return strcmp(from, "auto") == 0 || strcmp(from, "none") == 0;
}

/* On rank 0. */
static fv_err take_lease(fv_training *t)
{
    char path[PATH_MAX], job[128];
    const fv_run_config *run = &t->config.run;
    FV_TRY(fv_file_path(path, sizeof path, run->out, "metrics.jsonl"));
    FV_CHECK(strcmp(t->config.resume.from, "none") != 0 || !fv_file_exists(path), FV_ERR_ARGUMENT,
             "%s holds a run already: give another folder, remove it, or go on with it (resume: auto)",
             run->out);
    FV_TRY(fv_lease_take(run->out, &t->saving.lease));
    FV_TRY(fv_file_path(path, sizeof path, run->out, "log"));
    if (fv_log_keep(path) != FV_OK)
        FV_LOG_ROOT(WARN, "%s: there is no log in the folder of the run", fv_error_text());
    fv_allocation_describe(job, sizeof job);
    if (job[0])
        FV_LOG_ROOT(INFO, "%s", job);
    return identify(t);
}

/* The checkpoint to go on from; "" if there is none. Those of the folder itself come first: the run that is
 * begun from another one's checkpoint may have been stopped since. */
static fv_err find(fv_training *t, char path[PATH_MAX], int *is_verified)
{
    const char *from = t->config.resume.from;
    FV_TRY(fv_resume_find(&t->saving.lease, t->runtime.world, path));
    *is_verified = path[0] != '\0';
    if (path[0] || is_word(from))
        return FV_OK;
    FV_CHECK(strlen(from) < PATH_MAX, FV_ERR_ARGUMENT, "resume is too long a path");
    strcpy(path, from);
    return FV_OK;
}

static int is_steps(const void *context, const char *key)
{
    (void)context;
    return strcmp(key, "steps") == 0;
}

/* A schedule is made for a number of steps. */
static fv_err warn_of_steps(const fv_training *t, const fv_progress *now, const fv_progress *saved)
{
    fv_buffer steps = {0};
    if (t->config.optimizer.schedule == FV_SCHEDULE_CONSTANT || !saved->config)
        return FV_OK;
    fv_err err = fv_settings_compare(saved->config, now->config, is_steps, NULL, &steps);
    if (err == FV_OK && steps.size)
        FV_LOG_ROOT(WARN, "%s: the rates up to here were not those of a run of so many steps", steps.data);
    fv_buffer_fini(&steps);
    return err;
}

/* What was accepted goes into the log and, a line each time, into the run's folder. */
static fv_err record(const fv_training *t, uint64_t step, const fv_buffer *accepted, const fv_buffer *idle)
{
    char path[PATH_MAX];
    if (idle->size)
        FV_LOG_ROOT(WARN, "resume.accept names what does not differ from the checkpoint: %s", idle->data);
    if (!accepted->size)
        return FV_OK;
    FV_LOG_ROOT(INFO, "accepted: %s", accepted->data);
    FV_TRY(fv_file_path(path, sizeof path, t->config.run.out, "accepted"));
    FILE *file = fopen(path, "a");
    FV_CHECK(file, FV_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    int is_written = fprintf(file, "step %llu: %s\n", (unsigned long long)step, accepted->data) > 0;
    FV_CHECK(fclose(file) == 0 && is_written, FV_ERR_IO, "cannot write %s: %s", path, strerror(errno));
    return FV_OK;
}

/* Weights, moments and progress; on rank 0 what is to be told of differences. */
static fv_err load_all(fv_training *t, fv_resume_args *args, fv_progress *progress)
{
    fv_buffer accepted = {0}, idle = {0};
    args->accepted = &accepted, args->idle = &idle;
    fv_err err = fv_resume_load(args, progress);
    if (err == FV_OK && t->runtime.world->rank == 0)
        err = record(t, progress->step, &accepted, &idle);
    fv_buffer_fini(&accepted);
    fv_buffer_fini(&idle);
    return fv_comm_agree(t->runtime.world, err);
}

static fv_err load(fv_training *t, const char *path, int is_verified, fv_progress *now, fv_progress *progress)
{
    double from = fv_clock_now();
    FV_TRY(fv_comm_agree(t->runtime.world, describe(t, now)));
    fv_resume_args args = {.path = path,
                           .is_verified = is_verified,
                           .mesh = &t->runtime.mesh,
                           .optimizer = &t->learning.optimizer,
                           .now = now,
                           .accept = t->config.resume.accept};
    FV_TRY(load_all(t, &args, progress));
    FV_TRY(warn_of_steps(t, now, progress));
    t->saving.saved_step = is_verified ? (int64_t)progress->step : -1;
    FV_LOG_ROOT(INFO, "going on from %s, step %llu, after %.1f s", path, (unsigned long long)progress->step,
                fv_clock_now() - from);
    return FV_OK;
}

/* A checkpoint of another folder has nothing to say about this one's journal. */
static fv_err open_journal(fv_training *t, const fv_progress *progress, int is_own)
{
    fv_progress now = {0};
    fv_journal_position position = {0};
    if (is_own)
        position = (fv_journal_position){progress->metrics_bytes, progress->trajectories_bytes};
    fv_err err = describe(t, &now);
    if (err == FV_OK) {
        const fv_buffer config = {.data = now.config, .size = strlen(now.config)};
        err = fv_journal_open(&t->saving.journal, &t->saving.lease, t->config.run.out, &config, &position);
    }
    t->saving.journal.watched = t->config.save.best_by;
    fv_progress_fini(&now);
    return err;
}

static fv_err open_saver(fv_training *t)
{
    const fv_saver_args args = {.lease = &t->saving.lease,
                                .mesh = &t->runtime.mesh,
                                .optimizer = &t->learning.optimizer,
                                .model = t->config.run.model,
                                .retention = t->config.save.retention,
                                .watch = t->saving.watch};
    return fv_saver_create(&args, &t->saving.saver);
}

static fv_err begin(fv_training *t, fv_progress *now, fv_progress *progress)
{
    fv_comm *world = t->runtime.world;
    char path[PATH_MAX];
    int is_own;
    FV_TRY(fv_comm_agree(world, world->rank == 0 ? take_lease(t) : FV_OK));
    FV_TRY(fv_comm_agree(world, fv_point("lease")));
    FV_TRY(fv_comm_broadcast(world, t->saving.identity, sizeof t->saving.identity, 0));
    FV_TRY(fv_lease_share(&t->saving.lease, world));
    FV_TRY(find(t, path, &is_own));
    if (path[0])
        FV_TRY(load(t, path, is_own, now, progress));
    FV_TRY(fv_comm_agree(world, world->rank == 0 ? open_journal(t, progress, is_own) : FV_OK));
    return open_saver(t);
}

fv_err fv_training_begin(fv_training *t, int is_supervised, fv_progress *progress)
{
    fv_progress now = {.is_supervised = (uint64_t)is_supervised};
    *progress = (fv_progress){0};
    fv_err err = begin(t, &now, progress);
    fv_progress_fini(&now);
    if (err != FV_OK)
        fv_progress_fini(progress);
    else if (t->runtime.world->rank == 0)
        fv_meter_start("step", (int64_t)progress->step, t->config.run.steps);
    return err;
}

/* Saving. */

static int is_due(const fv_training *t, const fv_progress *progress, int is_ending)
{
    int64_t step = (int64_t)progress->step, every = t->config.save.every;
    if (step == t->saving.saved_step && progress->batch.n == 0 && progress->begun.n == 0)
        return t->saving.is_due;
    return is_ending || t->saving.is_due || (every > 0 && step % every == 0);
}

static fv_err complete(fv_training *t, fv_progress *progress)
{
    fv_journal_position position = fv_journal_position_of(&t->saving.journal);
    progress->metrics_bytes = position.metrics;
    progress->trajectories_bytes = position.trajectories;
    progress->optimizer_step = (uint64_t)t->learning.optimizer.step;
    progress->score = t->runtime.world->rank == 0 ? t->saving.journal.score : (double)NAN;
    t->saving.journal.score = (double)NAN;
    return describe(t, progress);
}

static fv_err begin_save(fv_training *t, fv_progress *progress)
{
    int is_begun;
    int64_t step = (int64_t)progress->step;
    FV_TRY(fv_comm_agree(t->runtime.world, complete(t, progress)));
    FV_TRY(fv_saver_begin(t->saving.saver, progress, &is_begun));
    t->saving.saved_step = step;
    t->saving.is_due = !is_begun;
    return FV_OK;
}

/* Started again, a run that has saved something goes on from there. */
static fv_err refuse_unsaved(const fv_training *t)
{
    const char *out = t->config.run.out;
    if (fv_saver_successes(t->saving.saver) > 0)
        return FV_FAIL(FV_STOPPED,
                       "no further checkpoint of %s can be saved: stopped; started again, the run goes on "
                       "from the last one",
                       out);
    return FV_FAIL(
        FV_ERR_IO,
        "no checkpoint of %s can be saved: what came after the one before is lost; see the warnings, "
        "and give it room, or another folder as out",
        out);
}

/* A disk that is full for a moment is waited for. */
static fv_err end_save(fv_training *t)
{
    fv_patience patience = {0};
    for (int is_well, is_begun;;) {
        FV_TRY(fv_saver_wait(t->saving.saver, &is_well));
        if (is_well && !t->saving.is_due)
            return FV_OK;
        if (!fv_patience_wait(&patience))
            return refuse_unsaved(t);
        FV_TRY(fv_saver_again(t->saving.saver, &is_begun));
        t->saving.is_due = !is_begun;
    }
}

/* Whether so many steps have gone by while saves failed that no more may. */
static int has_too_much(fv_training *t, int64_t step)
{
    int64_t most = t->config.save.max_unsaved;
    if (fv_saver_failures(t->saving.saver) == 0)
        t->saving.failing_from = -1;
    else if (t->saving.failing_from < 0)
        t->saving.failing_from = step;
    int is_too_much = most > 0 && t->saving.failing_from >= 0 && step - t->saving.failing_from >= most;
    if (is_too_much)
        FV_LOG_ROOT(WARN, "nothing could be saved for %lld steps (save.max_unsaved): trying a last time",
                    (long long)(step - t->saving.failing_from));
    return is_too_much;
}

static fv_err save(fv_training *t, fv_progress *progress, int is_ending, int *is_saved)
{
    int has_failed;
    int64_t step = (int64_t)progress->step;
    fv_phase_set("save");
    FV_TRY(fv_saver_poll(t->saving.saver, &has_failed));
    t->saving.is_due |= has_failed;
    *is_saved = is_due(t, progress, is_ending);
    if (*is_saved)
        FV_TRY(begin_save(t, progress));
    return is_ending || has_too_much(t, step) ? end_save(t) : FV_OK;
}

/* The model as a folder, in place of the one that an earlier end of this run has left. */
static fv_err try_model(fv_training *t)
{
    char made[PATH_MAX], path[PATH_MAX];
    const fv_run_config *run = &t->config.run;
    fv_comm *world = t->runtime.world;
    FV_TRY(fv_file_path(made, sizeof made, t->saving.lease.own, "model"));
    FV_TRY(fv_file_path(path, sizeof path, run->out, "model"));
    FV_TRY(fv_comm_agree(world, world->rank == 0 ? fv_file_remove_tree(made) : FV_OK));
    FV_TRY(fv_optimizer_save(&t->learning.optimizer, run->model, made, FV_F32));
    return fv_comm_agree(world, world->rank == 0 ? fv_lease_publish(&t->saving.lease, "model", path) : FV_OK);
}

static fv_err save_model(fv_training *t)
{
    fv_patience patience = {0};
    fv_err err;
    for (int is_told = 0; (err = try_model(t)) == FV_ERR_IO; is_told = 1) {
        if (!is_told)
            FV_LOG_ROOT(WARN, "the model cannot be written yet: %s", fv_error_text());
        if (!fv_patience_wait(&patience))
            break;
    }
    return err;
}

/* Going. */

static fv_err agree_stop(const fv_training *t, int *is_stopping)
{
    double is_requested = fv_stop_requested();
    FV_TRY(fv_comm_all_reduce_max(t->runtime.world, &is_requested));
    *is_stopping = is_requested > 0;
    return FV_OK;
}

static fv_err save_now(fv_training *t, const fv_training_work *work, int is_ending, int *is_saved)
{
    fv_progress progress = {0};
    work->describe(work->context, &progress);
    fv_err err = save(t, &progress, is_ending, is_saved);
    fv_progress_fini(&progress);
    return err;
}

/* Time that is too short for anything would be too short again. */
static fv_err check_use(const fv_training *t, int64_t n_steps, int is_saved)
{
    int is_in_vain = n_steps == 0 && !is_saved && fv_watch_has_run_out(t->saving.watch);
    FV_CHECK(!is_in_vain, FV_ERR_ARGUMENT,
             "the allocation ends before anything new could be done and saved; its time must be longer than "
             "a step and a save (sbatch --time)");
    return FV_OK;
}

fv_err fv_training_go(fv_training *t, const fv_training_work *work)
{
    int64_t steps = t->config.run.steps, first = *work->step;
    (void)fv_stop_requested(); /* the first place: until here nothing is gained that could be saved */
    for (int is_stopping = 0, is_done = 0, is_saved = 0; !is_done;) {
        fv_err err = work->advance(work->context);
        if (err != FV_STOPPED)
            FV_TRY(err);
        FV_TRY(fv_comm_agree(t->runtime.world, fv_point("done")));
        FV_TRY(agree_stop(t, &is_stopping));
        is_done = err == FV_OK && *work->step >= steps;
        FV_TRY(save_now(t, work, is_stopping || is_done, &is_saved));
        if (!is_stopping || is_done)
            continue;
        FV_TRY(fv_comm_agree(t->runtime.world, check_use(t, *work->step - first, is_saved)));
        return FV_FAIL(FV_STOPPED, "stopped after step %lld of %lld; started again, the run goes on",
                       (long long)*work->step, (long long)steps);
    }
    FV_TRY(fv_comm_agree(t->runtime.world, fv_point("end")));
    FV_TRY(save_model(t));
    return fv_comm_agree(t->runtime.world, t->runtime.world->rank == 0 ? fv_training_print_table(t) : FV_OK);
}
