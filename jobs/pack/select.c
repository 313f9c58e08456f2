#include "jobs/pack/select.h"

#include "jobs/jobs.h"
#include "jobs/pack/selected.h"
#include "jobs/train/training.h"

#include "fovea/base/file.h"
#include "fovea/model/hf/identity.h"
#include "fovea/base/log.h"
#include "fovea/base/meter.h"
#include "fovea/base/point.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

typedef struct job {
    const fv_pack_select_options *options;
    fv_training training;
    char path[PATH_MAX]; /* of the selection's file */
    fv_line_file file;   /* of rank 0 */
    fv_selection selection;
    uint64_t *rows; /* owned, (n_rows): those to be looked at */
    int64_t n_rows, n_done;
    int64_t generated_tokens;
} job;

/* What the results follow from. */

static fv_err set_hashes(const job *j, fv_json *what)
{
    const fv_training *t = &j->training;
    uint64_t model, prompts;
    FV_TRY(fv_identity_of_folder(t->config.run.model, &model));
    FV_TRY(fv_identity_of_file(t->config.run.prompts, &prompts));
    FV_TRY(fv_json_set_hash(what, "data_hash", fv_dataset_hash(t->questions.dataset)));
    FV_TRY(fv_json_set_hash(what, "model_hash", model));
    return fv_json_set_hash(what, "prompts_hash", prompts);
}

static fv_err set_config(const job *j, fv_json *what)
{
    fv_buffer text = {0};
    fv_err err = fv_settings_print(&fv_train_settings, &j->training.config, 0, &text);
    if (err == FV_OK)
        err = fv_json_set_text(what, "config", text.data);
    fv_buffer_fini(&text);
    return err;
}

static fv_err describe(const job *j, fv_json *what)
{
    const fv_pack_select_options *o = j->options;
    const fv_train_config *c = &j->training.config;
    char shard[32];
    snprintf(shard, sizeof shard, "%d/%d", o->shard, o->n_shards);
    FV_TRY(fv_json_set(what, "format", fv_json_make_integer(FV_SELECTION_FORMAT)));
    FV_TRY(fv_json_set_text(what, "shard", shard));
    FV_TRY(fv_json_set_text(what, "data", c->data.train));
    FV_TRY(fv_json_set(what, "rows",
                       fv_json_make_integer((int64_t)fv_dataset_rows(j->training.questions.dataset))));
    FV_TRY(fv_json_set(what, "samples", fv_json_make_integer(c->rollout.samples)));
    FV_TRY(fv_json_set(what, "gain", fv_json_make_integer(o->gain)));
    if (j->training.runtime.world->rank == 0) /* which alone has the file */
        FV_TRY(set_hashes(j, what));
    return set_config(j, what);
}

/* Preparation. */

static fv_err begin_selection(job *j)
{
    const fv_training *t = &j->training;
    fv_json *what = fv_json_make_object();
    fv_err err = describe(j, what);
    if (err != FV_OK)
        fv_json_destroy(what);
    FV_TRY(err);
    return fv_selection_init(&j->selection, what, (int64_t)fv_dataset_rows(t->questions.dataset));
}

static fv_err prepare(job *j)
{
    const fv_training *t = &j->training;
    const fv_train_config *c = &t->config;
    const fv_pack_select_options *o = j->options;
    FV_CHECK(fv_dataset_images(t->questions.dataset) > 0, FV_ERR_ARGUMENT,
             "%s has no images: its rows have no two views to choose between", c->data.train);
    FV_CHECK(o->gain <= c->rollout.samples, FV_ERR_ARGUMENT,
             "--gain is %d, but rollout.samples is %d: no row can gain more", o->gain, c->rollout.samples);
    FV_CHECK((int64_t)fv_dataset_rows(t->questions.dataset) >= o->shard, FV_ERR_ARGUMENT,
             "--shard %d/%d of %s with %llu rows has none", o->shard, o->n_shards, c->data.train,
             (unsigned long long)fv_dataset_rows(t->questions.dataset));
    int n = snprintf(j->path, sizeof j->path, "%s%s", o->out, o->n_shards > 1 ? "" : ".selection");
    FV_CHECK(n < (int)sizeof j->path, FV_ERR_ARGUMENT, "--out is too long a path: %s", o->out);
    return begin_selection(j);
}

/* Rows of the shard that are too long. */
static fv_err leave_out(job *j)
{
    static const fv_selected left_out = {FV_SELECTED_LEFT_OUT, FV_SELECTED_NOT_ASKED, 0};
    fv_selection *s = &j->selection;
    for (uint64_t row = (uint64_t)s->shard - 1; row < (uint64_t)s->n_rows; row += (uint64_t)s->n_shards)
        if (s->rows[row].low == FV_SELECTED_OPEN && !fv_rows_has(&j->training.questions.rows, row))
            FV_TRY(fv_selection_append(s, &j->file, &row, &left_out, 1));
    return FV_OK;
}

/* On rank 0, before the work begins: what is in the way shows now. */
static fv_err open_output(job *j)
{
    const fv_train_config *c = &j->training.config;
    if (c->reward.judge != FV_JUDGE_VERIFIER && !c->judge.log[0])
        FV_TRY(fv_file_make_folders(c->run.out));
    FV_TRY(fv_selection_open(&j->selection, j->path, &j->file));
    return leave_out(j);
}

/* Either view alone. */
static fv_err measure(job *j)
{
    fv_training *t = &j->training;
    fv_prompt_builder builders[] = {t->rollout.builder, t->rollout.builder};
    fv_dialogue dialogue = t->rollout.dialogue;
    builders[0].first = FV_FIRST_LOW;
    builders[1].first = FV_FIRST_HIGH;
    dialogue.max_turns = 1;
    const fv_dialogue_room rooms[] = {fv_training_room(t, &builders[0], &dialogue),
                                      fv_training_room(t, &builders[1], &dialogue)};
    const fv_training_rows what = {.data = t->questions.dataset,
                                   .name = t->config.data.train,
                                   .rooms = rooms,
                                   .n_rooms = 2,
                                   .is_judged = 1};
    return fv_training_measure(t, &what, &t->questions.rows);
}

static int is_known(const fv_selection *s, uint64_t row)
{
    return s->rows[row].low != FV_SELECTED_OPEN && s->rows[row].unjudged == 0;
}

/* Rows of the shard with an image that nothing is known of, or that have a sample without a verdict. */
static fv_err list_rows(job *j)
{
    const fv_selection *s = &j->selection;
    fv_view_size image, target;
    j->rows = malloc(((size_t)s->n_rows + 1) * sizeof *j->rows);
    FV_CHECK(j->rows, FV_ERR_MEMORY, "cannot allocate a list of %lld rows", (long long)s->n_rows);
    for (uint64_t row = (uint64_t)s->shard - 1; row < (uint64_t)s->n_rows; row += (uint64_t)s->n_shards) {
        if (fv_dataset_sizes(j->training.questions.dataset, row, &image, &target) == 0)
            continue;
        j->rows[j->n_rows] = row;
        j->n_rows += !is_known(s, row);
        j->n_done += is_known(s, row);
    }
    return FV_OK;
}

static fv_err open_all(job *j)
{
    fv_comm *world = j->training.runtime.world;
    fv_selection *s = &j->selection;
    FV_TRY(fv_comm_agree(world, prepare(j)));
    FV_TRY(measure(j));
    FV_TRY(fv_comm_agree(world, world->rank == 0 ? open_output(j) : FV_OK));
    FV_TRY(fv_comm_broadcast(world, s->rows, (size_t)s->n_rows * sizeof *s->rows, 0));
    FV_TRY(fv_comm_agree(world, list_rows(j)));
    if (world->rank == 0)
        fv_meter_start("row", j->n_done, j->n_done + j->n_rows);
    if (j->n_done)
        FV_LOG_ROOT(INFO, "going on from %s: %lld rows are known, %lld are not", j->path,
                    (long long)j->n_done, (long long)j->n_rows);
    return FV_OK;
}

/* The work. */

/* Too many samples without a verdict, of all that is known, when enough is. */
static fv_err check_judged(const job *j)
{
    const fv_selection *s = &j->selection;
    double most = j->training.config.reward.max_unjudged_share;
    int64_t n_samples = 0, n_unjudged = 0, n_rows = 0;
    for (int64_t i = 0; i < s->n_rows; i++) {
        const fv_selected *row = &s->rows[i];
        if (row->low == FV_SELECTED_OPEN || row->low == FV_SELECTED_LEFT_OUT)
            continue;
        n_rows++;
        n_samples += s->n_samples * (row->high == FV_SELECTED_NOT_ASKED ? 1 : 2);
        n_unjudged += row->unjudged;
    }
    double share = n_samples ? (double)n_unjudged / (double)n_samples : 0;
    FV_CHECK(share <= most || (n_rows < FV_SELECT_MOST && j->n_rows > 0), FV_ERR_ARGUMENT,
             "the judge gave no verdict on %lld of %lld samples of %lld rows, a share of %.3f; "
             "reward.max_unjudged_share is %g",
             (long long)n_unjudged, (long long)n_samples, (long long)n_rows, share, most);
    return FV_OK;
}

/* Some times what runs at once: a stop loses no more, and ranks seldom wait for each other. */
static int rows_of_chunk(const job *j)
{
    enum { TIMES = 4, LEAST = 16 };
    const fv_rollout_config *c = &j->training.config.rollout;
    int64_t n = (int64_t)TIMES * (c->max_running / c->samples) * j->training.runtime.mesh.data->size;
    n = n < LEAST ? LEAST : n > FV_SELECT_MOST ? FV_SELECT_MOST : n;
    return (int)(n < j->n_rows ? n : j->n_rows);
}

static fv_err record(job *j, const uint64_t *rows, const fv_selected *found, int n)
{
    if (j->training.runtime.world->rank == 0)
        return fv_selection_append(&j->selection, &j->file, rows, found, n);
    for (int i = 0; i < n; i++)
        j->selection.rows[rows[i]] = found[i];
    return FV_OK;
}

static fv_err select_chunk(job *j, const fv_collector *with, const uint64_t *rows, int n)
{
    fv_selected found[FV_SELECT_MOST];
    const fv_training *t = &j->training;
    const fv_select_args args = {.builder = &t->rollout.builder,
                                 .rollout = &t->rollout.settings,
                                 .n_samples = t->config.rollout.samples,
                                 .gain = j->options->gain};
    FV_TRY(fv_select(with, &args, rows, n, found, &j->generated_tokens));
    FV_TRY(fv_comm_agree(with->mesh->world, record(j, rows, found, n)));
    FV_TRY(fv_comm_agree(with->mesh->world, fv_point("selected")));
    j->n_rows -= n;
    j->n_done += n;
    fv_meter_advance(j->n_done);
    return check_judged(j);
}

/* Time that is too short for anything would be too short again. */
static fv_err stop(const job *j, int64_t n_before)
{
    int is_in_vain = j->n_done == n_before && fv_watch_has_run_out(j->training.saving.watch);
    FV_TRY(fv_comm_agree(j->training.runtime.world,
                         is_in_vain ? FV_FAIL(FV_ERR_ARGUMENT,
                                              "the allocation ends before any row was done; its time must be "
                                              "longer (sbatch --time)")
                                    : FV_OK));
    return FV_FAIL(FV_STOPPED, "stopped after %lld of %lld rows; started again, the selection goes on",
                   (long long)j->n_done, (long long)(j->n_done + j->n_rows));
}

static fv_err select_rows(job *j)
{
    fv_training *t = &j->training;
    const fv_collector with = fv_training_collector(t);
    int64_t n_before = j->n_done;
    for (const uint64_t *rows = j->rows; j->n_rows > 0;) {
        int n = rows_of_chunk(j);
        fv_err err = select_chunk(j, &with, rows, n);
        if (err == FV_STOPPED)
            return stop(j, n_before);
        FV_TRY(err);
        rows += n;
        FV_LOG_ROOT(INFO, "%lld of %lld rows", (long long)j->n_done, (long long)(j->n_done + j->n_rows));
    }
    return check_judged(j);
}

/* On rank 0. */
static fv_err commit(job *j)
{
    const fv_pack_select_options *o = j->options;
    FV_TRY(fv_line_file_close(&j->file));
    if (o->n_shards > 1)
        return fv_selected_count(&j->selection, j->training.questions.dataset, o->out);
    return fv_selected_write(&j->selection, j->training.questions.dataset, o->out, j->path);
}

static fv_err run(job *j)
{
    fv_training *t = &j->training;
    const fv_training_options options = {.config = j->options->config,
                                         .overrides = j->options->overrides,
                                         .n_overrides = j->options->n_overrides,
                                         .is_selection = 1,
                                         .check = fv_select_config_check};
    FV_TRY(fv_training_open(t, &options));
    FV_TRY(fv_training_watch(t));
    if (t->runtime.is_judge)
        return fv_training_judge(t);
    FV_TRY(open_all(j));
    FV_TRY(fv_training_open_engine(t));
    FV_TRY(select_rows(j));
    return fv_comm_agree(t->runtime.world, t->runtime.world->rank == 0 ? commit(j) : FV_OK);
}

int fv_pack_select(const fv_pack_select_options *options)
{
    job j = {.options = options, .file.descriptor = -1};
    fv_err err = run(&j), closed = fv_line_file_close(&j.file);
    fv_selection_fini(&j.selection);
    free(j.rows);
    return fv_training_finish(&j.training, err != FV_OK ? err : closed);
}
