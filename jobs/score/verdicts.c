#include "jobs/score/verdicts.h"

#include "fovea/base/file.h"

#include <stdlib.h>

static fv_reward reward_of(const fv_verdict_settings *settings, const fv_record *record)
{
    fv_slice turns[FV_MAX_TURNS];
    int n = (int)record->counts[FV_COUNT_TURNS];
    for (int r = 0; r < n; r++)
        turns[r] = (fv_slice){record->turns[r].data, record->turns[r].size};
    return (fv_reward){.accuracy = record->score,
                       .has_verdict = record->has_verdict,
                       .format = fv_format_score(&settings->format, turns, n)};
}

/* The samples of one row: places of their records. */
typedef struct sample_group {
    const size_t *places;
    int n;
} sample_group;

static fv_err apply_penalty(const fv_verdicts *v, const fv_verdict_settings *settings, sample_group group)
{
    size_t n = (size_t)group.n;
    fv_reward *rewards = malloc(n * sizeof *rewards);
    uint8_t *called = malloc(n);
    fv_err err = FV_OK;
    FV_CHECK_DONE(rewards && called, FV_ERR_MEMORY, "cannot allocate the rewards of %d answers", group.n);
    for (size_t i = 0; i < n; i++) {
        rewards[i] = v->rewards[group.places[i]];
        called[i] = (uint8_t)v->report->records[group.places[i]].counts[FV_COUNT_CALLED];
    }
    fv_tool_penalty_apply(&settings->tool_penalty, 1, called, group.n, rewards);
    for (size_t i = 0; i < n; i++)
        v->rewards[group.places[i]] = rewards[i];
done:
    free(rewards);
    free(called);
    return err;
}

static int compare_rows(const void *a, const void *b, void *records)
{
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    uint64_t row_x = ((const fv_record *)records)[x].row, row_y = ((const fv_record *)records)[y].row;
    return row_x != row_y ? (row_x > row_y) - (row_x < row_y) : (x > y) - (x < y);
}

static fv_err apply_penalties(const fv_verdicts *v, const fv_verdict_settings *settings)
{
    const fv_record *records = v->report->records;
    size_t n = v->report->n, *places = malloc((n + 1) * sizeof *places);
    fv_err err = FV_OK;
    FV_CHECK(places, FV_ERR_MEMORY, "cannot allocate an order of %zu answers", n);
    for (size_t i = 0; i < n; i++)
        places[i] = i;
    qsort_r(places, n, sizeof *places, compare_rows, v->report->records);
    for (size_t first = 0, end; first < n && err == FV_OK; first = end) {
        for (end = first; end < n && records[places[end]].row == records[places[first]].row;)
            end++;
        err = apply_penalty(v, settings, (sample_group){places + first, (int)(end - first)});
    }
    free(places);
    return err;
}

fv_err fv_verdicts_init(fv_verdicts *out, const fv_verdict_settings *settings, const fv_report *report)
{
    *out = (fv_verdicts){report, malloc((report->n + 1) * sizeof *out->rewards)};
    FV_CHECK(out->rewards, FV_ERR_MEMORY, "cannot allocate the rewards of %zu answers", report->n);
    for (size_t i = 0; i < report->n; i++)
        out->rewards[i] = reward_of(settings, &report->records[i]);
    fv_err err = apply_penalties(out, settings);
    if (err != FV_OK)
        fv_verdicts_fini(out);
    return err;
}

void fv_verdicts_fini(fv_verdicts *verdicts)
{
    free(verdicts->rewards);
    *verdicts = (fv_verdicts){0};
}

double fv_verdicts_format(const fv_verdicts *verdicts)
{
    double sum = 0;
    for (size_t i = 0; i < verdicts->report->n; i++)
        sum += verdicts->rewards[i].format;
    return sum / (double)verdicts->report->n;
}

static fv_err set_parts(const fv_verdicts *v, const fv_task *task, size_t i, fv_json *object)
{
    const fv_record *record = &v->report->records[i];
    fv_slice answer = fv_task_answer(task, record);
    FV_TRY(fv_json_set(object, "row", fv_json_make_integer((int64_t)record->row)));
    FV_TRY(fv_json_set_text(object, "source", record->source));
    FV_TRY(fv_json_set(object, "answer", fv_json_make_string(answer.data ? answer.data : "", answer.size)));
    FV_TRY(fv_json_set_text(object, "reading", record->reading));
    FV_TRY(fv_json_set(object, "score", fv_json_make_real(record->score)));
    FV_TRY(fv_json_set(object, "format", fv_json_make_real(v->rewards[i].format)));
    FV_TRY(fv_json_set(object, "called", fv_json_make_bool(record->counts[FV_COUNT_CALLED] != 0)));
    return fv_json_set(object, "tool_penalty", fv_json_make_real(v->rewards[i].tool_penalty));
}

static fv_err append_line(const fv_verdicts *v, const fv_task *task, size_t i, fv_buffer *out)
{
    fv_json *object = fv_json_make_object();
    fv_err err = set_parts(v, task, i, object);
    if (err == FV_OK)
        err = fv_json_print(object, 0, out);
    fv_json_destroy(object);
    return err == FV_OK ? fv_buffer_append(out, "\n", 1) : err;
}

fv_err fv_verdicts_write(const fv_verdicts *verdicts, const fv_task *task, const char *path)
{
    fv_buffer lines = {0};
    fv_err err = FV_OK;
    for (size_t i = 0; i < verdicts->report->n && err == FV_OK; i++)
        err = append_line(verdicts, task, i, &lines);
    if (err == FV_OK)
        err = fv_file_write(path, lines.data, lines.size);
    fv_buffer_fini(&lines);
    return err;
}
