#include "fovea/eval/evaluate.h"

#include <stdlib.h>
#include <string.h>

const char *const fv_eval_mode_names[] = {
    [FV_EVAL_LOW] = "low", [FV_EVAL_HIGH] = "high", [FV_EVAL_POLICY] = "policy", NULL};

fv_first_view fv_eval_first(fv_eval_mode mode)
{
    return mode == FV_EVAL_HIGH ? FV_FIRST_HIGH : FV_FIRST_LOW;
}

int fv_eval_turns(fv_eval_mode mode, int max_turns)
{
    return mode == FV_EVAL_POLICY ? max_turns : 1;
}

/* An evaluation, and the rows of its shard: first those that begun has. */
typedef struct asked {
    const fv_evaluation *what;
    uint64_t *rows; /* owned, (n) */
    int64_t n;
} asked;

static uint64_t row_of(const void *context, int64_t prompt_index)
{
    const asked *a = context;
    return a->rows[prompt_index];
}

static int has_begun(const fv_batch *begun, uint64_t row)
{
    for (int i = 0; i < begun->n; i++)
        if ((uint64_t)begun->groups[i].row == row)
            return 1;
    return 0;
}

static fv_err list_rows(const fv_evaluation *what, fv_batch *begun, asked *out)
{
    uint64_t n_shards = (uint64_t)what->n_shards;
    *out = (asked){.what = what, .rows = malloc((what->rows->n + 1) * sizeof *out->rows)};
    FV_CHECK(out->rows, FV_ERR_MEMORY, "no memory for a list of %llu rows",
             (unsigned long long)what->rows->n);
    FV_CHECK((uint64_t)begun->n <= what->rows->n, FV_ERR_ARGUMENT,
             "%d samples were begun, of %llu rows that are asked", begun->n,
             (unsigned long long)what->rows->n);
    for (; out->n < begun->n; out->n++) {
        fv_group *group = &begun->groups[out->n];
        group->prompt_index = what->draws_by_row ? group->row : out->n;
        out->rows[out->n] = (uint64_t)group->row;
    }
    for (uint64_t i = 0; i < what->rows->n; i++) {
        uint64_t row = what->rows->kept[i];
        if (row % n_shards == (uint64_t)what->shard - 1 && !has_begun(begun, row))
            out->rows[out->n++] = row;
    }
    FV_CHECK(what->shard <= what->n_rows, FV_ERR_ARGUMENT, "shard %d/%d of %lld rows has none", what->shard,
             what->n_shards, (long long)what->n_rows);
    return FV_OK;
}

static fv_err set_source(const char *by, fv_row *row)
{
    fv_buffer text = {0};
    fv_err err = fv_buffer_append(&text, "", 0);
    if (err == FV_OK)
        err = fv_row_field(row, by, &text);
    if (err != FV_OK) {
        fv_buffer_fini(&text);
        return err;
    }
    free(row->source);
    row->source = text.data;
    return FV_OK;
}

static fv_err fill_record(const fv_evaluation *what, const fv_group *group, fv_row *row, fv_record *record)
{
    if (what->by)
        FV_TRY(set_source(what->by, row));
    FV_TRY(fv_record_init(record, &what->rollout->dialogue, group, row));
    if (!what->task)
        return FV_OK;
    fv_err err = fv_task_place(what->task, row, record);
    if (err == FV_OK)
        err = fv_task_score(what->task, record);
    if (err != FV_OK)
        fv_record_fini(record);
    return err;
}

/* Of a group's sample number i. */
static fv_err make_record(const fv_evaluation *what, const fv_group *group, int i, fv_record *record)
{
    fv_row row;
    fv_group one = *group;
    one.responses = &group->responses[i];
    FV_TRY(fv_dataset_read_texts(what->builder->dataset, (uint64_t)group->row, &row));
    fv_err err = fill_record(what, &one, &row, record);
    fv_row_fini(&row);
    record->sample = i;
    return err;
}

static fv_err keep_records(void *context, fv_group *group, const fv_verdict *verdicts)
{
    const fv_evaluation *what = context;
    for (int i = 0; i < fv_group_size(group); i++) {
        fv_record record;
        fv_reward *reward = &group->responses[i].reward;
        if (!what->task && !verdicts[i].has_verdict)
            continue;
        reward->accuracy = verdicts[i].score;
        reward->has_verdict = verdicts[i].has_verdict;
        FV_TRY(make_record(what, group, i, &record));
        fv_err err = what->keep(what->keep_context, &record);
        fv_record_fini(&record);
        FV_TRY(err);
    }
    return FV_OK;
}

static fv_err add_group(const fv_evaluation *what, const fv_group *group, fv_report *report)
{
    for (int i = 0; i < fv_group_size(group); i++) {
        fv_record record;
        FV_TRY(make_record(what, group, i, &record));
        FV_TRY(fv_report_add(report, &record));
    }
    return FV_OK;
}

static fv_err add_records(const fv_evaluation *what, const fv_batch *batch, fv_report *report)
{
    for (int i = 0; i < batch->n; i++)
        FV_TRY(add_group(what, &batch->groups[i], report));
    return FV_OK;
}

static fv_err collect(const fv_collector *with, const fv_evaluation *what, const fv_collect_args *args,
                      fv_batch *begun, fv_report *report)
{
    fv_comm *world = with->mesh->world;
    fv_batch batch;
    fv_collect_stats stats;
    fv_err err;
    FV_TRY(fv_collect(with, args, begun, &batch, &stats));
    report->seconds += stats.rollout_s + stats.judge_s;
    err = fv_comm_agree(world, world->rank == 0 ? add_records(what, &batch, report) : FV_OK);
    fv_batch_fini(&batch);
    return err;
}

static fv_err evaluate(const fv_collector *with, const asked *a, fv_batch *begun, fv_report *report)
{
    const fv_evaluation *what = a->what;
    fv_prompt_builder builder = *what->builder;
    fv_rollout_settings rollout = {.dialogue = what->rollout->dialogue,
                                   .temperature = what->temperature,
                                   .top_p = 1,
                                   .repetition_penalty = what->repetition_penalty,
                                   .seed = what->rollout->seed};
    const fv_collect_args args = {.builder = &builder,
                                  .rollout = &rollout,
                                  .n = a->n,
                                  .n_samples = what->n_samples > 0 ? what->n_samples : 1,
                                  .draws_by_row = what->draws_by_row,
                                  .row_of = row_of,
                                  .row_context = a};
    builder.first = fv_eval_first(what->mode);
    rollout.dialogue.max_turns = fv_eval_turns(what->mode, rollout.dialogue.max_turns);
    report->shard = what->shard;
    report->n_shards = what->n_shards;
    if (a->n > 0)
        FV_TRY(collect(with, what, &args, begun, report));
    fv_report_sort(report);
    return FV_OK;
}

fv_err fv_evaluate(const fv_collector *with, const fv_evaluation *what, fv_batch *begun, fv_report *report)
{
    asked a;
    fv_collector telling = *with;
    telling.done = what->keep ? keep_records : NULL;
    telling.done_context = (void *)what;
    fv_err err = fv_comm_agree(with->mesh->world, list_rows(what, begun, &a));
    if (err == FV_OK)
        err = evaluate(&telling, &a, begun, report);
    free(a.rows);
    return err;
}
