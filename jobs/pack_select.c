#include "pack_select.h"

#include "training.h"

#include "fovea/file.h"
#include "fovea/log.h"
#include "fovea/meter.h"
#include "fovea/select.h"

#include <stdio.h>

typedef struct job {
    const fv_pack_select_options *options;
    fv_training training;
    fv_dataset_writer *writer; /* of rank 0 */
    fv_selection what;
    fv_selection_counts counts;
} job;

/* On rank 0, before the work begins: what is in the way shows now. */
static fv_err open_output(job *j)
{
    const fv_train_config *c = &j->training.config;
    if (c->reward.judge != FV_JUDGE_RULE && !c->judge.log[0])
        FV_TRY(fv_file_make_folders(c->run.out));
    return fv_dataset_create(j->options->out, &j->writer);
}

static fv_err prepare(job *j)
{
    const fv_training *t = &j->training;
    const fv_train_config *c = &t->config;
    FV_CHECK(fv_dataset_images(t->data) > 0, FV_ERR_ARGUMENT,
             "%s has no images: its rows have no two views to choose between", c->data.train);
    FV_CHECK(j->options->gain <= c->rollout.answers, FV_ERR_ARGUMENT,
             "--gain is %d, but rollout.answers is %d: no row can gain more", j->options->gain,
             c->rollout.answers);
    j->what = (fv_selection){.rows = &j->training.rows,
                             .gain = j->options->gain,
                             .max_unjudged_share = c->reward.max_unjudged_share};
    return t->runtime.world->rank == 0 ? open_output(j) : FV_OK;
}

/* Either view alone. */
static fv_err measure(job *j)
{
    fv_training *t = &j->training;
    fv_source sources[] = {t->source, t->source};
    fv_dialogue dialogue = t->dialogue;
    sources[0].first = FV_FIRST_SMALL;
    sources[1].first = FV_FIRST_LARGE;
    dialogue.max_rounds = 1;
    const fv_dialogue_room rooms[] = {fv_training_room(t, &sources[0], &dialogue),
                                      fv_training_room(t, &sources[1], &dialogue)};
    const fv_training_rows what = {
        .data = t->data, .name = t->config.data.train, .rooms = rooms, .n_rooms = 2, .is_judged = 1};
    return fv_training_measure(t, &what, &t->rows);
}

static fv_err select_rows(job *j)
{
    fv_training *t = &j->training;
    const fv_collector with = {.mesh = &t->runtime.mesh,
                               .model = t->runtime.model,
                               .source = &t->source,
                               .judge = t->judge,
                               .rollout = &t->rollout,
                               .score = &t->score,
                               .n_answers = t->config.rollout.answers};
    int64_t n_rows = (int64_t)fv_dataset_rows(t->data);
    if (t->runtime.world->rank == 0)
        fv_meter_start("row", 0, n_rows);
    for (int64_t first = 0; first < n_rows; first += FV_SELECT_MOST) {
        int64_t left = n_rows - first;
        int n = left < FV_SELECT_MOST ? (int)left : FV_SELECT_MOST;
        FV_TRY(fv_select(&with, &j->what, first, n, j->writer, &j->counts));
        fv_meter_advance(j->counts.rows);
        FV_LOG_ROOT(INFO, "%lld of %lld rows: %lld kept for the small view, %lld for the large one",
                    (long long)j->counts.rows, (long long)n_rows, (long long)j->counts.low,
                    (long long)j->counts.full);
    }
    return FV_OK;
}

static fv_err commit(job *j)
{
    const fv_selection_counts *c = &j->counts;
    fv_dataset_totals totals;
    fv_dataset_writer *writer = j->writer;
    FV_CHECK(c->low + c->full > 0, FV_ERR_FORMAT,
             "%s: none of %lld rows is worth keeping (%lld without a verdict); nothing was written",
             j->training.config.data.train, (long long)c->rows, (long long)c->unjudged);
    j->writer = NULL;
    FV_TRY(fv_dataset_commit(writer, &totals));
    printf(
        "%s: %llu of %lld rows: %lld that the small view is enough for, %lld that need the large one; %lld "
        "rows without a verdict\n",
        j->options->out, (unsigned long long)totals.rows, (long long)c->rows, (long long)c->low,
        (long long)c->full, (long long)c->unjudged);
    return FV_OK;
}

static fv_err run(job *j)
{
    fv_training *t = &j->training;
    const fv_training_options options = {.config = j->options->config,
                                         .overrides = j->options->overrides,
                                         .n_overrides = j->options->n_overrides,
                                         .check = fv_select_config_check};
    FV_TRY(fv_training_open(t, &options));
    if (t->runtime.is_judge)
        return fv_training_judge(t);
    FV_TRY(fv_comm_agree(t->runtime.world, prepare(j)));
    FV_TRY(measure(j));
    FV_TRY(select_rows(j));
    return fv_comm_agree(t->runtime.world, t->runtime.world->rank == 0 ? commit(j) : FV_OK);
}

int fv_pack_select(const fv_pack_select_options *options)
{
    job j = {.options = options};
    fv_err err = run(&j);
    fv_dataset_abandon(j.writer);
    return fv_training_finish(&j.training, err);
}
