#include "jobs/score/samples.h"

#include "fovea/base/file.h"

static fv_err append_text(fv_json *list, fv_slice text)
{
    return fv_json_append(list, fv_json_make_string(text.data ? text.data : "", text.size));
}

static fv_err set_text_in_list(fv_json *object, const char *key, fv_slice text)
{
    fv_json *list = fv_json_make_array();
    FV_TRY(fv_json_set(object, key, list));
    return append_text(list, text);
}

static fv_err set_turns(const fv_record *record, fv_json *object)
{
    fv_buffer text = {0};
    fv_err err = FV_OK;
    for (int64_t r = 0; r < record->counts[FV_COUNT_TURNS] && err == FV_OK; r++) {
        err = r ? fv_buffer_append(&text, "\n", 1) : FV_OK;
        if (err == FV_OK)
            err = fv_buffer_append(&text, record->turns[r].data, record->turns[r].size);
    }
    if (err == FV_OK)
        err = set_text_in_list(object, "resps", (fv_slice){text.data, text.size});
    fv_buffer_fini(&text);
    return err;
}

static fv_err set_verdict(const fv_record *record, const fv_task *task, fv_json *object)
{
    fv_json *verdict = fv_json_make_object();
    FV_TRY(fv_json_set(object, task->name, verdict));
    FV_TRY(fv_json_set(verdict, "score", fv_json_make_real(record->score)));
    FV_TRY(fv_json_set_text(verdict, task->category[0] ? task->category : "category", record->source));
    return record->group ? fv_json_set_text(verdict, task->group, record->group) : FV_OK;
}

static fv_err set_members(const fv_record *record, const fv_task *task, fv_json *object)
{
    fv_json *truth;
    FV_TRY(fv_json_set(object, "doc_id", fv_json_make_integer((int64_t)record->row)));
    FV_TRY(fv_truths_to_json(fv_row_truths(record->truth, record->more_bytes), &truth));
    FV_TRY(fv_json_set(object, "target", truth));
    FV_TRY(fv_json_set_text(object, "input", record->question));
    FV_TRY(set_turns(record, object));
    FV_TRY(set_text_in_list(object, "filtered_resps", fv_task_answer(task, record)));
    return set_verdict(record, task, object);
}

static fv_err append_line(const fv_record *record, const fv_task *task, fv_buffer *out)
{
    fv_json *object = fv_json_make_object();
    fv_err err = set_members(record, task, object);
    if (err == FV_OK)
        err = fv_json_print(object, 0, out);
    fv_json_destroy(object);
    return err == FV_OK ? fv_buffer_append(out, "\n", 1) : err;
}

fv_err fv_samples_write(const fv_report *report, const fv_task *task, const char *path)
{
    fv_buffer lines = {0};
    fv_err err = FV_OK;
    for (size_t i = 0; i < report->n && err == FV_OK; i++)
        err = append_line(&report->records[i], task, &lines);
    if (err == FV_OK)
        err = fv_file_write(path, lines.data, lines.size);
    fv_buffer_fini(&lines);
    return err;
}
