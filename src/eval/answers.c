#include "fovea/eval/answers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Members. */

static const fv_json *first_of(const fv_json *object, const char *const *names)
{
    for (; *names; names++) {
        const fv_json *value = **names ? fv_json_get(object, *names) : NULL;
        if (value && fv_json_kind_of(value) != FV_JSON_NULL)
            return value;
    }
    return NULL;
}

/* In the object, or in an object in it. */
static const fv_json *find_deep(const fv_json *object, const char *name)
{
    const fv_json *value = *name ? fv_json_get(object, name) : NULL;
    for (void *i = *name && !value ? fv_json_first(object) : NULL; i && !value; i = fv_json_next(object, i))
        value = fv_json_get(fv_json_member(i), name);
    return value && fv_json_kind_of(value) != FV_JSON_NULL ? value : NULL;
}

/* Append a text as it is, anything else as JSON. */
static fv_err append_value(const fv_json *value, const char *name, fv_buffer *out)
{
    const char *text;
    size_t size;
    if (fv_json_kind_of(value) != FV_JSON_STRING)
        return fv_json_print(value, 0, out);
    FV_TRY(fv_json_to_string(value, name, &text, &size));
    FV_CHECK(strlen(text) == size, FV_ERR_FORMAT, "\"%s\" holds a NUL", name);
    return fv_buffer_append(out, text, size);
}

/* value NULL: "". */
static fv_err copy_value(const fv_json *value, const char *name, char **out)
{
    fv_buffer text = {0};
    fv_err err = value ? append_value(value, name, &text) : fv_buffer_append(&text, "", 0);
    if (err != FV_OK) {
        fv_buffer_fini(&text);
        return err;
    }
    free(*out);
    *out = text.data;
    return FV_OK;
}

/* Answers. */

static const fv_json *first_text(const fv_json *value)
{
    while (value && fv_json_kind_of(value) == FV_JSON_ARRAY)
        value = fv_json_at(value, 0);
    return value && fv_json_kind_of(value) == FV_JSON_STRING ? value : NULL;
}

static fv_err add_text(fv_slice text, fv_record *record)
{
    int64_t *n = &record->counts[FV_COUNT_TURNS];
    FV_CHECK(*n < FV_MAX_TURNS, FV_ERR_FORMAT, "it has more than %d turns", FV_MAX_TURNS);
    return fv_buffer_append(&record->turns[(*n)++], text.data, text.size);
}

static fv_err add_turn(const fv_json *value, fv_record *record)
{
    fv_slice text;
    FV_TRY(fv_json_to_string(value, "turns", &text.data, &text.size));
    return add_text(text, record);
}

/* A text that other programs have joined of several turns: each but the last ends with a call. */
static fv_err add_joined_turns(const fv_json *value, fv_record *record)
{
    const fv_slice mark = fv_slice_of("</tool_call>");
    fv_slice text;
    size_t at;
    FV_TRY(fv_json_to_string(value, "resps", &text.data, &text.size));
    while ((at = fv_slice_find(text, mark)) != FV_SLICE_NONE &&
           fv_slice_trim(fv_slice_cut(text, at + mark.size, text.size)).size > 0) {
        FV_TRY(add_text(fv_slice_cut(text, 0, at + mark.size), record));
        text = fv_slice_cut(text, at + mark.size, text.size);
    }
    return add_text(text, record);
}

static void count_calls(fv_record *record)
{
    fv_slice turns[FV_MAX_TURNS];
    int n = (int)record->counts[FV_COUNT_TURNS];
    for (int r = 0; r < n; r++)
        turns[r] = (fv_slice){record->turns[r].data, record->turns[r].size};
    record->counts[FV_COUNT_CALLED] = fv_turns_called(turns, n);
}

static fv_err take_turns(const fv_json *object, fv_record *record)
{
    static const char *const names[] = {"response", "prediction", NULL};
    static const char *const joined_names[] = {"filtered_resps", "resps", NULL};
    static const char *const turns_name[] = {"turns", NULL};
    const fv_json *turns = first_of(object, turns_name);
    FV_CHECK(!turns || fv_json_kind_of(turns) == FV_JSON_ARRAY, FV_ERR_FORMAT,
             "\"turns\" is no list: expected a list of texts, or the answer under \"response\"");
    for (int c = 0; c < FV_COUNTS; c++)
        FV_TRY(fv_json_get_integer(object, fv_count_names[c], &record->counts[c]));
    record->counts[FV_COUNT_TURNS] = 0;
    for (size_t i = 0; i < fv_json_size(turns); i++)
        FV_TRY(add_turn(fv_json_at(turns, i), record));
    if (!turns) {
        const fv_json *text = first_text(first_of(object, names));
        const fv_json *joined = text ? NULL : first_text(first_of(object, joined_names));
        FV_CHECK(text || joined, FV_ERR_FORMAT,
                 "there is no answer in it: expected turns, response, prediction, filtered_resps or resps");
        FV_TRY(text ? add_turn(text, record) : add_joined_turns(joined, record));
    }
    count_calls(record);
    return FV_OK;
}

/* Truths. */

static fv_err add_truth(const fv_json *value, fv_buffer *out)
{
    fv_buffer text = {0};
    fv_err err = append_value(value, "truth", &text);
    if (err == FV_OK)
        err = fv_truths_add(out, (fv_slice){text.data, text.size});
    fv_buffer_fini(&text);
    return err;
}

static fv_err add_truths(const fv_json *value, fv_buffer *out)
{
    int is_list = fv_json_kind_of(value) == FV_JSON_ARRAY;
    for (size_t i = 0; i < (is_list ? fv_json_size(value) : 1); i++)
        FV_TRY(add_truth(is_list ? fv_json_at(value, i) : value, out));
    return FV_OK;
}

/* Whether a target is a list that Python printed. */
static int parse_target(const fv_json *value, fv_json **list)
{
    const char *text;
    size_t size;
    return value && fv_json_kind_of(value) == FV_JSON_STRING &&
           fv_json_to_string(value, "target", &text, &size) == FV_OK && size > 0 && text[0] == '[' &&
           fv_python_list_parse(text, size, list) == FV_OK;
}

/* Nothing if the line has none. */
static fv_err read_truths(const fv_task *task, const fv_json *object, fv_buffer *out)
{
    const char *const names[] = {"truth",  "target", task->data.answer, "original_answer", "solution",
                                 "answer", NULL};
    const fv_json *value = first_of(object, names);
    fv_json *list;
    if (!value)
        return FV_OK;
    if (value != fv_json_get(object, "target") || !parse_target(value, &list))
        return add_truths(value, out);
    fv_err err = add_truths(list, out);
    fv_json_destroy(list);
    return err;
}

static void take_truths(fv_buffer *truths, fv_record *record)
{
    record->more_bytes = truths->size - strlen(truths->data);
    record->truth = truths->data;
    *truths = (fv_buffer){0};
}

/* Places. */

static fv_err place_by_line(const fv_task *task, const fv_json *object, fv_record *record)
{
    const char *const questions[] = {"question", "input", task->data.question, "problem", NULL};
    const fv_json *question = first_text(first_of(object, questions));
    const fv_json *category = find_deep(object, task->category), *group = fv_json_get(object, "group");
    fv_buffer truths = {0};
    fv_err err = read_truths(task, object, &truths);
    if (err == FV_OK && truths.size == 0)
        err = FV_FAIL(FV_ERR_FORMAT, "there is no truth in it: give the data set (--data)");
    if (err != FV_OK) {
        fv_buffer_fini(&truths);
        return err;
    }
    take_truths(&truths, record);
    category = category ? category : fv_json_get(object, "source");
    group = group ? group : find_deep(object, task->group);
    FV_CHECK(
        category || !fv_task_needs_category(task), FV_ERR_FORMAT,
        "there is no \"%s\" in it, the category of the task %s: give the data set (--data), or the answers "
        "are to another task",
        task->category, task->name);
    FV_CHECK(
        group || !task->group[0], FV_ERR_FORMAT,
        "there is no \"%s\" in it, the group of the task %s: give the data set (--data), or the answers are "
        "to another task",
        task->group, task->name);
    FV_TRY(copy_value(question, "question", &record->question));
    FV_TRY(copy_value(category, "category", &record->source));
    return task->group[0] ? copy_value(group, "group", &record->group) : FV_OK;
}

static int have_one_in_common(fv_slice a, fv_slice b)
{
    for (fv_slice x; fv_truths_next(&a, &x);)
        for (fv_slice rest = b, y; fv_truths_next(&rest, &y);)
            if (fv_slice_equal(fv_slice_trim(x), fv_slice_trim(y)))
                return 1;
    return 0;
}

/* A truth in the line must be one of the row's. */
static fv_err check_truth(const fv_answers_args *args, const fv_json *object, const fv_record *record)
{
    fv_buffer truths = {0};
    fv_slice of_row = fv_row_truths(record->truth, record->more_bytes);
    fv_err err = read_truths(args->task, object, &truths);
    if (err == FV_OK && truths.size > 0 && !have_one_in_common((fv_slice){truths.data, truths.size}, of_row))
        err =
            FV_FAIL(FV_ERR_FORMAT,
                    "its truth is \"%.64s\", that of row %llu of %s is \"%.64s\": these are answers to other "
                    "data",
                    truths.data, (unsigned long long)record->row, args->data, record->truth);
    fv_buffer_fini(&truths);
    return err;
}

static fv_err place_by_row(const fv_answers_args *args, const fv_json *object, fv_record *record)
{
    fv_row row;
    FV_CHECK(record->row < fv_dataset_rows(args->dataset), FV_ERR_FORMAT,
             "it is of row %llu, but %s has %llu: these are answers to other data",
             (unsigned long long)record->row, args->data, (unsigned long long)fv_dataset_rows(args->dataset));
    FV_TRY(fv_dataset_read_texts(args->dataset, record->row, &row));
    record->more_bytes = row.more_bytes;
    record->question = row.question;
    record->truth = row.answer;
    record->source = row.source;
    row.question = row.answer = row.source = NULL;
    fv_err err = fv_task_place(args->task, &row, record);
    if (err == FV_OK)
        err = check_truth(args, object, record);
    fv_row_fini(&row);
    return err;
}

/* Lines. */

static fv_err fill_record(const fv_answers_args *args, const fv_json *object, fv_record *record)
{
    static const char *const rows[] = {"row", "doc_id", NULL};
    const fv_json *number = first_of(object, rows);
    const char *task = args->task->name;
    int64_t row = (int64_t)record->row;
    FV_CHECK(fv_json_kind_of(object) == FV_JSON_OBJECT, FV_ERR_FORMAT, "not a JSON object");
    FV_TRY(fv_json_get_string(object, "task", &task));
    FV_CHECK(strcmp(task, args->task->name) == 0, FV_ERR_FORMAT,
             "it is an answer to the task \"%.64s\", not to %s", task, args->task->name);
    if (number)
        FV_TRY(fv_json_to_integer(number, "row", &row));
    FV_CHECK(row >= 0, FV_ERR_FORMAT, "\"row\" is %lld", (long long)row);
    record->row = (uint64_t)row;
    FV_TRY(take_turns(object, record));
    return args->dataset ? place_by_row(args, object, record) : place_by_line(args->task, object, record);
}

static fv_err add_line(const fv_answers_args *args, const char *text, size_t size, fv_report *report)
{
    fv_json *object;
    fv_record record = {.row = report->n};
    FV_TRY(fv_json_parse_foreign(text, size, "answer", &object));
    fv_err err = fill_record(args, object, &record);
    fv_json_destroy(object);
    if (err == FV_OK)
        return fv_report_add(report, &record);
    fv_record_fini(&record);
    return err;
}

static int is_blank(const char *line)
{
    return line[strspn(line, " \t\r\n")] == '\0';
}

static fv_err read_lines(const fv_answers_args *args, FILE *in, fv_report *report)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;
    fv_err err = FV_OK;
    for (long long number = 1; err == FV_OK && (size = getline(&line, &capacity, in)) >= 0; number++) {
        if (strlen(line) == (size_t)size && is_blank(line))
            continue;
        err = add_line(args, line, (size_t)size, report);
        if (err != FV_OK)
            err = fv_error_prefix(err, "%s:%lld", args->path, number);
    }
    free(line);
    FV_CHECK(err != FV_OK || !ferror(in), FV_ERR_IO, "cannot read %s: %s", args->path, strerror(errno));
    return err;
}

static int compare_places(const void *a, const void *b, void *records)
{
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    uint64_t row_x = ((const fv_record *)records)[x].row, row_y = ((const fv_record *)records)[y].row;
    return row_x != row_y ? (row_x > row_y) - (row_x < row_y) : (x > y) - (x < y);
}

/* Answers to one row are its samples, in their order. */
static fv_err number_samples(fv_report *report)
{
    size_t *places = malloc((report->n + 1) * sizeof *places);
    FV_CHECK(places, FV_ERR_MEMORY, "cannot allocate an order of %zu answers", report->n);
    for (size_t i = 0; i < report->n; i++)
        places[i] = i;
    qsort_r(places, report->n, sizeof *places, compare_places, report->records);
    for (size_t i = 1; i < report->n; i++) {
        fv_record *it = &report->records[places[i]], *last = &report->records[places[i - 1]];
        it->sample = it->row == last->row ? last->sample + 1 : 0;
    }
    free(places);
    return FV_OK;
}

fv_err fv_answers_read(const fv_answers_args *args, fv_report *report)
{
    FILE *in = fopen(args->path, "re");
    FV_CHECK(in, FV_ERR_IO, "cannot open %s: %s", args->path, strerror(errno));
    size_t before = report->n;
    fv_err err = read_lines(args, in, report);
    fclose(in);
    FV_TRY(err);
    FV_CHECK(report->n > before, FV_ERR_FORMAT, "%s: there is no answer in it", args->path);
    return number_samples(report);
}
