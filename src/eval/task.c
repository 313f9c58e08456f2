#include "fovea/eval/task.h"

#include "fovea/io/settings/settings.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FROM(least)       \
    {                     \
        (least), INFINITY \
    }

enum { MOST_PIXELS = 1 << 30, MOST_TOKENS = 1 << 24 };

#define TOP(member) FV_SETTING_AT(fv_task, member)
static const fv_setting top_fields[] = {
    {"name", FV_SETTING_TEXT, TOP(name), "of the benchmark", FROM(1)},
    {"scorer", FV_SETTING_TEXT, TOP(scorer), "the rule that scores an answer: fovea/eval/scorer.h", FROM(1)},
    {"metric", FV_SETTING_CHOICE, TOP(metric), "how scores become figures", .names = fv_metric_names},
    {"scale", FV_SETTING_REAL, TOP(scale), "of shares: 100 for percent", {0, INFINITY, .above_min = 1}},
    {"category", FV_SETTING_TEXT, TOP(category), "the field that categories are named by", FROM(0)},
    {"group", FV_SETTING_TEXT, TOP(group), "the field of the metric's groups", FROM(0)},
    {"extraction", FV_SETTING_CHOICE, TOP(extraction), "of the answer proper", .names = fv_extraction_names},
    {"max_turn_tokens",
     FV_SETTING_INTEGER,
     TOP(max_turn_tokens),
     "generated in one turn; 0: as usual",
     {0, MOST_TOKENS}},
    {0}};

#define DATA(member) FV_SETTING_AT(fv_task_data, member)
static const fv_setting data_fields[] = {
    {"question", FV_SETTING_TEXT, DATA(question), "field of the question; '': problem, else question",
     FROM(0)},
    {"answer", FV_SETTING_TEXT, DATA(answer),
     "field of the answer or answers; '': original_answer, else solution, else answer", FROM(0)},
    {"image", FV_SETTING_TEXT, DATA(image), "field of the image; '': images, else image", FROM(0)},
    {"base64", FV_SETTING_SWITCH, DATA(base64), "an image is its file in base64, not a path"},
    {"options", FV_SETTING_LIST, DATA(options), "fields of an option each, or the field with all of them",
     FROM(0)},
    {"hint", FV_SETTING_TEXT, DATA(hint), "field of what stands before the question", FROM(0)},
    {"ask", FV_SETTING_TEXT, DATA(ask), "the line behind question and options", FROM(0)},
    {0}};

#define PROMPTS(member) FV_SETTING_AT(fv_task_prompts, member)
static const fv_setting prompts_fields[] = {
    {"plain", FV_SETTING_PATH, PROMPTS(plain), "the file with the wording of the modes low and high",
     FROM(0)},
    {"policy", FV_SETTING_PATH, PROMPTS(policy), "the file with the wording of the mode policy", FROM(0)},
    {0}};

#define VIEWS(member) FV_SETTING_AT(fv_task_views, member)
static const fv_setting views_fields[] = {
    {"min_pixels",
     FV_SETTING_INTEGER,
     VIEWS(min_pixels),
     "of the high-resolution view; 0: as usual",
     {0, MOST_PIXELS}},
    {"max_pixels", FV_SETTING_INTEGER, VIEWS(max_pixels), "the same, at most; 0: as usual", {0, MOST_PIXELS}},
    {"filter", FV_SETTING_CHOICE, VIEWS(filter), "how an image becomes a view",
     .names = fv_view_filter_names},
    {"tool", FV_SETTING_CHOICE, VIEWS(tool), "what the tool shows", .names = fv_tool_view_names},
    {0}};

#define PUBLISHED(member) FV_SETTING_AT(fv_task_published, member)
static const fv_setting published_fields[] = {
    {"full", FV_SETTING_REAL, PUBLISHED(full), "VisionThink's table: always in full resolution", FROM(0)},
    {"quarter", FV_SETTING_REAL, PUBLISHED(quarter), "always with a quarter of the tokens", FROM(0)},
    {"policy", FV_SETTING_REAL, PUBLISHED(policy), "VisionThink", FROM(0)},
    {"call_rate", FV_SETTING_REAL, PUBLISHED(call_rate), "its calls, in percent", {0, 100}},
    {0}};

static const fv_settings_section sections[] = {
    {.key = "", .fields = top_fields},
    {"data", offsetof(fv_task, data), data_fields, NULL},
    {"prompts", offsetof(fv_task, prompts), prompts_fields, NULL},
    {"views", offsetof(fv_task, views), views_fields, NULL},
    {"published", offsetof(fv_task, published), published_fields, NULL},
    {0}};
static const fv_task defaults = {.scale = 100};
static const fv_settings table = {.size = sizeof(fv_task), .defaults = &defaults, .sections = sections};

static fv_err complete(fv_task *task)
{
    FV_CHECK(!fv_metric_needs_group(task->metric) || task->group[0], FV_ERR_FORMAT,
             "the metric %s needs \"group\": the field that its groups are named by",
             fv_metric_names[task->metric]);
    return fv_scorer_find(task->scorer, &task->by);
}

fv_err fv_task_load(const char *path, const char *const *overrides, int n_overrides, fv_task *out)
{
    *out = (fv_task){0};
    FV_TRY(fv_settings_read(&table, path, overrides, n_overrides, out));
    fv_err err = complete(out);
    if (err == FV_OK)
        return FV_OK;
    fv_task_fini(out);
    return fv_error_prefix(err, "%s", path);
}

void fv_task_fini(fv_task *task)
{
    fv_settings_fini(&table, task);
}

fv_err fv_task_print_keys(fv_buffer *out)
{
    return fv_settings_print(&table, NULL, 1, out);
}

static fv_err describe_published(const fv_task_published *published, fv_json *settings)
{
    fv_json *object = fv_json_make_object();
    FV_TRY(fv_json_set(settings, "published", object));
    FV_TRY(fv_json_set(object, "full", fv_json_make_real(published->full)));
    FV_TRY(fv_json_set(object, "quarter", fv_json_make_real(published->quarter)));
    FV_TRY(fv_json_set(object, "policy", fv_json_make_real(published->policy)));
    return fv_json_set(object, "call_rate", fv_json_make_real(published->call_rate));
}

fv_err fv_task_describe(const fv_task *task, fv_json *settings)
{
    FV_TRY(fv_json_set_text(settings, "task", task->name));
    FV_TRY(fv_json_set_text(settings, "scorer", task->scorer));
    FV_TRY(fv_json_set_text(settings, "metric", fv_metric_names[task->metric]));
    FV_TRY(fv_json_set(settings, "scale", fv_json_make_real(task->scale)));
    FV_TRY(fv_json_set_text(settings, "category", task->category));
    FV_TRY(fv_json_set_text(settings, "group", task->group));
    return task->published.full > 0 ? describe_published(&task->published, settings) : FV_OK;
}

/* Records. */

int fv_task_needs_category(const fv_task *task)
{
    return task->category[0] && (task->by.needs_category || task->metric == FV_METRIC_PAIRS);
}

/* Where the row has no such field and needs none, *out stays as it is. */
static fv_err set_field(const fv_task *task, const fv_row *row, const char *field, int is_needed, char **out)
{
    fv_buffer text = {0};
    fv_err err = fv_row_field(row, field, &text);
    if (err == FV_OK && text.size == 0 && is_needed)
        err = FV_FAIL(
            FV_ERR_FORMAT,
            "there is no \"%.64s\", which the task %.64s needs: this is data of another benchmark, or "
            "it was packed without that field",
            field, task->name);
    if (err != FV_OK || text.size == 0) {
        fv_buffer_fini(&text);
        return err;
    }
    free(*out);
    *out = text.data;
    return FV_OK;
}

fv_err fv_task_place(const fv_task *task, const fv_row *row, fv_record *record)
{
    if (task->category[0])
        FV_TRY(set_field(task, row, task->category, fv_task_needs_category(task), &record->source));
    return task->group[0] ? set_field(task, row, task->group, 1, &record->group) : FV_OK;
}

fv_slice fv_task_answer(const fv_task *task, const fv_record *record)
{
    int64_t n = record->counts[FV_COUNT_TURNS];
    const fv_buffer *last = &record->turns[n > 0 ? n - 1 : 0];
    return fv_answer_extract(task->extraction, (fv_slice){last->data, last->size});
}

static fv_err copy_text(const char *text, char **out)
{
    free(*out);
    *out = strdup(text);
    FV_CHECK(*out, FV_ERR_MEMORY, "no memory for a record");
    return FV_OK;
}

static fv_err score_record(const fv_task *task, fv_record *record)
{
    const fv_said said = {.question = fv_slice_of(record->question),
                          .answer = fv_task_answer(task, record),
                          .truth = fv_row_truths(record->truth, record->more_bytes),
                          .category = fv_slice_of(record->source)};
    fv_buffer reading = {0};
    fv_err err = fv_scorer_score(&task->by, &said, &record->score, &reading);
    if (err == FV_OK)
        err = copy_text(reading.data ? reading.data : "", &record->reading);
    fv_buffer_fini(&reading);
    FV_TRY(err);
    record->has_verdict = 1;
    return copy_text(task->name, &record->task);
}

fv_err fv_task_score(const fv_task *task, fv_record *record)
{
    fv_err err = score_record(task, record);
    return err == FV_OK ? FV_OK
                        : fv_error_prefix(err, "row %llu, by the scorer %s of the task %s",
                                          (unsigned long long)record->row, task->scorer, task->name);
}

/* An answer of nothing is scored: that looks at all that is not an answer. */
static fv_err check_row(const fv_task *task, const fv_row *row, uint64_t number)
{
    fv_record record = {.row = number,
                        .source = strdup(row->source),
                        .question = strdup(row->question),
                        .truth = malloc(strlen(row->answer) + row->more_bytes + 1),
                        .more_bytes = row->more_bytes};
    fv_err err = FV_OK;
    FV_CHECK_DONE(record.source && record.question && record.truth, FV_ERR_MEMORY, "no memory for a record");
    memcpy(record.truth, row->answer, strlen(row->answer) + row->more_bytes + 1);
    err = fv_task_place(task, row, &record);
    if (err != FV_OK)
        err = fv_error_prefix(err, "row %llu", (unsigned long long)number);
    else
        err = fv_task_score(task, &record);
done:
    fv_record_fini(&record);
    return err;
}

fv_err fv_task_check_rows(const fv_task *task, const fv_dataset *dataset, const char *name,
                          const fv_rows *rows)
{
    for (uint64_t i = 0; i < rows->n; i++) {
        fv_row row;
        FV_TRY(fv_dataset_read_texts(dataset, rows->kept[i], &row));
        fv_err err = check_row(task, &row, rows->kept[i]);
        fv_row_fini(&row);
        if (err != FV_OK)
            return fv_error_prefix(err, "%s", name);
    }
    return FV_OK;
}
