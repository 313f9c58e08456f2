#include "fovea/eval/record.h"

#include "fovea/io/json.h"

#include <stdlib.h>
#include <string.h>

const char *const fv_count_names[FV_COUNTS] = {
    [FV_COUNT_TURNS] = "n_turns",           [FV_COUNT_SHOWN] = "n_shown",
    [FV_COUNT_CALLED] = "is_called",        [FV_COUNT_CUT] = "is_cut",
    [FV_COUNT_VISUAL] = "visual_tokens",    [FV_COUNT_HIGH] = "high_visual_tokens",
    [FV_COUNT_RESPONSE] = "response_tokens"};

void fv_record_fini(fv_record *record)
{
    for (int r = 0; r < FV_MAX_TURNS; r++)
        fv_buffer_fini(&record->turns[r]);
    free(record->source);
    free(record->question);
    free(record->truth);
    free(record->task);
    free(record->group);
    free(record->reading);
    *record = (fv_record){0};
}

/* From a sample. */

static void count(fv_record *record, const fv_group *group, const fv_response *response, int merge)
{
    int64_t *counts = record->counts;
    counts[FV_COUNT_TURNS] = response->n_turns;
    counts[FV_COUNT_SHOWN] = response->n_shown;
    counts[FV_COUNT_CALLED] = response->is_called;
    for (int r = 0; r < response->n_turns; r++) {
        counts[FV_COUNT_CUT] |= response->turns[r].is_cut;
        counts[FV_COUNT_RESPONSE] += response->turns[r].n;
    }
    if (!group->has_image)
        return;
    counts[FV_COUNT_HIGH] = fv_grid_tokens(group->high, merge);
    counts[FV_COUNT_VISUAL] = fv_grid_tokens(group->low, merge) + response->n_shown * counts[FV_COUNT_HIGH];
}

static void take_text(char **to, char **from)
{
    *to = *from;
    *from = NULL;
}

fv_err fv_record_init(fv_record *out, const fv_dialogue *dialogue, const fv_group *group, fv_row *row)
{
    const fv_response *response = &group->responses[0];
    fv_err err = FV_OK;
    *out = (fv_record){.row = (uint64_t)group->row,
                       .has_verdict = response->reward.has_verdict,
                       .score = response->reward.accuracy};
    take_text(&out->source, &row->source);
    take_text(&out->question, &row->question);
    take_text(&out->truth, &row->answer);
    out->more_bytes = row->more_bytes;
    count(out, group, response, dialogue->merge);
    for (int r = 0; r < response->n_turns && err == FV_OK; r++)
        err = fv_response_text(dialogue, response, r, &out->turns[r]);
    if (err != FV_OK)
        fv_record_fini(out);
    return err;
}

/* To JSON. */

static fv_err set_turns(const fv_record *record, fv_json *object)
{
    fv_json *turns = fv_json_make_array();
    FV_TRY(fv_json_set(object, "turns", turns));
    for (int r = 0; r < record->counts[FV_COUNT_TURNS]; r++) {
        const fv_buffer *text = &record->turns[r];
        FV_TRY(fv_json_append(turns, fv_json_make_string(text->size ? text->data : "", text->size)));
    }
    return FV_OK;
}

static fv_err set_truth(const fv_record *record, fv_json *object)
{
    fv_json *truth;
    FV_TRY(fv_truths_to_json(fv_row_truths(record->truth, record->more_bytes), &truth));
    return fv_json_set(object, "truth", truth);
}

static fv_err set_if_any(fv_json *object, const char *key, const char *text)
{
    return text ? fv_json_set_text(object, key, text) : FV_OK;
}

static fv_err write_members(const fv_record *record, fv_json *object)
{
    FV_TRY(fv_json_set(object, "row", fv_json_make_integer((int64_t)record->row)));
    FV_TRY(fv_json_set_text(object, "source", record->source));
    FV_TRY(fv_json_set_text(object, "question", record->question));
    FV_TRY(set_truth(record, object));
    FV_TRY(set_turns(record, object));
    FV_TRY(fv_json_set(object, "score",
                       record->has_verdict ? fv_json_make_real(record->score) : fv_json_make_null()));
    for (int c = 0; c < FV_COUNTS; c++)
        FV_TRY(fv_json_set(object, fv_count_names[c], fv_json_make_integer(record->counts[c])));
    if (record->sample > 0)
        FV_TRY(fv_json_set(object, "sample", fv_json_make_integer(record->sample)));
    FV_TRY(set_if_any(object, "task", record->task));
    FV_TRY(set_if_any(object, "group", record->group));
    return set_if_any(object, "reading", record->reading);
}

fv_err fv_record_print(const fv_record *record, fv_buffer *out)
{
    fv_json *object = fv_json_make_object();
    fv_err err = write_members(record, object);
    if (err == FV_OK)
        err = fv_json_print(object, 0, out);
    fv_json_destroy(object);
    return err == FV_OK ? fv_buffer_append(out, "\n", 1) : err;
}

/* From JSON. */

static fv_err copy_text(const fv_json *object, const char *key, char **out)
{
    const char *text;
    size_t size;
    FV_TRY(fv_json_to_string(fv_json_get(object, key), key, &text, &size));
    FV_CHECK(strlen(text) == size, FV_ERR_FORMAT, "\"%s\" holds a NUL", key);
    *out = strdup(text);
    FV_CHECK(*out, FV_ERR_MEMORY, "no memory for \"%s\"", key);
    return FV_OK;
}

static fv_err copy_if_any(const fv_json *object, const char *key, char **out)
{
    return fv_json_get(object, key) ? copy_text(object, key, out) : FV_OK;
}

static fv_err copy_truth(const fv_json *object, fv_record *record)
{
    fv_buffer truths = {0};
    fv_err err = fv_truths_from_json(fv_json_get(object, "truth"), "truth", &truths);
    record->truth = truths.data;
    record->more_bytes = truths.size - (truths.data ? strlen(truths.data) : 0);
    return err;
}

static fv_err read_counts(const fv_json *object, fv_record *record)
{
    for (int c = 0; c < FV_COUNTS; c++) {
        FV_TRY(fv_json_require_integer(object, fv_count_names[c], &record->counts[c]));
        FV_CHECK(record->counts[c] >= 0, FV_ERR_FORMAT, "\"%s\" is %lld", fv_count_names[c],
                 (long long)record->counts[c]);
    }
    return FV_OK;
}

static fv_err copy_turns(const fv_json *object, fv_record *record)
{
    const fv_json *turns = fv_json_get(object, "turns");
    size_t n = fv_json_size(turns);
    FV_CHECK(n <= FV_MAX_TURNS && (int64_t)n == record->counts[FV_COUNT_TURNS], FV_ERR_FORMAT,
             "%zu turns, but \"n_turns\" is %lld", n, (long long)record->counts[FV_COUNT_TURNS]);
    for (size_t r = 0; r < n; r++) {
        const char *text;
        size_t size;
        FV_TRY(fv_json_to_string(fv_json_at(turns, r), "turns", &text, &size));
        FV_TRY(fv_buffer_append(&record->turns[r], text, size));
    }
    return FV_OK;
}

static fv_err read_record(const fv_json *object, fv_record *record)
{
    int64_t row, sample = 0;
    const fv_json *score = fv_json_get(object, "score");
    FV_TRY(fv_json_require_integer(object, "row", &row));
    FV_TRY(fv_json_get_integer(object, "sample", &sample));
    FV_CHECK(sample >= 0 && sample < INT32_MAX, FV_ERR_FORMAT, "\"sample\" is %lld", (long long)sample);
    record->row = (uint64_t)row;
    record->sample = (int)sample;
    FV_TRY(copy_text(object, "source", &record->source));
    FV_TRY(copy_text(object, "question", &record->question));
    FV_TRY(copy_if_any(object, "task", &record->task));
    FV_TRY(copy_if_any(object, "group", &record->group));
    FV_TRY(copy_if_any(object, "reading", &record->reading));
    FV_TRY(copy_truth(object, record));
    record->has_verdict = !score || fv_json_kind_of(score) != FV_JSON_NULL;
    if (record->has_verdict)
        FV_TRY(fv_json_to_real(score, "score", &record->score));
    FV_TRY(read_counts(object, record));
    return copy_turns(object, record);
}

fv_err fv_record_parse(const char *line, size_t size, const char *name, fv_record *out)
{
    fv_json *object;
    *out = (fv_record){0};
    FV_TRY(fv_json_parse(line, size, name, &object));
    fv_err err = read_record(object, out);
    fv_json_destroy(object);
    if (err == FV_OK)
        return FV_OK;
    fv_record_fini(out);
    return fv_error_prefix(err, "%s", name);
}
