#include "fovea/eval/report.h"

#include "fovea/base/file.h"
#include "fovea/io/hdf5/hdf5.h"
#include "fovea/base/text/lines.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char samples_json[] = "samples.jsonl", samples_hdf5[] = "samples.h5",
                  summary_json[] = "summary.json";

/* Samples as lines. */

static fv_err write_lines(const fv_report *report, const char *folder)
{
    char path[PATH_MAX];
    fv_buffer lines = {0};
    fv_err err = fv_file_path(path, sizeof path, folder, samples_json);
    for (size_t i = 0; i < report->n && err == FV_OK; i++)
        err = fv_record_print(&report->records[i], &lines);
    if (err == FV_OK)
        err = fv_file_write(path, lines.data, lines.size);
    fv_buffer_fini(&lines);
    return err;
}

/* Samples as columns. values: room for 8 bytes a record. */

static fv_err write_numbers(fv_hdf5 *file, const fv_report *report, uint64_t *values)
{
    const int64_t n = (int64_t)report->n;
    for (int64_t i = 0; i < n; i++)
        values[i] = report->records[i].row;
    FV_TRY(fv_hdf5_write(file, "row", FV_U64, 1, &n, values));
    for (int c = 0; c < FV_COUNTS; c++) {
        for (int64_t i = 0; i < n; i++)
            values[i] = (uint64_t)report->records[i].counts[c];
        FV_TRY(fv_hdf5_write(file, fv_count_names[c], FV_U64, 1, &n, values));
    }
    return FV_OK;
}

static fv_err write_samples(fv_hdf5 *file, const fv_report *report, uint64_t *values)
{
    const int64_t n = (int64_t)report->n;
    if (fv_report_samples(report) == 1)
        return FV_OK;
    for (int64_t i = 0; i < n; i++)
        values[i] = (uint64_t)report->records[i].sample;
    return fv_hdf5_write(file, "sample", FV_U64, 1, &n, values);
}

static fv_err write_readings(fv_hdf5 *file, const fv_report *report, void *values)
{
    const int64_t n = (int64_t)report->n;
    const char **readings = values;
    if (!fv_json_get(report->settings, "task"))
        return FV_OK;
    for (int64_t i = 0; i < n; i++)
        readings[i] = report->records[i].reading ? report->records[i].reading : "";
    return fv_hdf5_write(file, "reading", FV_HDF5_TEXT, 1, &n, values);
}

static fv_err write_scores(fv_hdf5 *file, const fv_report *report, void *values)
{
    const int64_t n = (int64_t)report->n;
    double *scores = values;
    uint8_t *has_verdict = values;
    for (int64_t i = 0; i < n; i++)
        scores[i] = report->records[i].has_verdict ? report->records[i].score : (double)NAN;
    FV_TRY(fv_hdf5_write(file, "score", FV_F64, 1, &n, values));
    for (int64_t i = 0; i < n; i++)
        has_verdict[i] = (uint8_t)report->records[i].has_verdict;
    return fv_hdf5_write(file, "has_verdict", FV_U8, 1, &n, values);
}

static fv_err write_sources(fv_hdf5 *file, const fv_report *report, void *values)
{
    const int64_t n = (int64_t)report->n;
    const char **sources = values;
    for (int64_t i = 0; i < n; i++)
        sources[i] = report->records[i].source;
    return fv_hdf5_write(file, "source", FV_HDF5_TEXT, 1, &n, values);
}

static fv_err fill_columns(fv_hdf5 *file, const fv_report *report)
{
    void *values = malloc((report->n + 1) * sizeof(uint64_t));
    fv_err err = FV_OK;
    FV_CHECK_DONE(values, FV_ERR_MEMORY, "cannot allocate a column of %zu samples", report->n);
    FV_TRY_DONE(write_numbers(file, report, values));
    FV_TRY_DONE(write_scores(file, report, values));
    FV_TRY_DONE(write_sources(file, report, values));
    FV_TRY_DONE(write_samples(file, report, values));
    FV_TRY_DONE(write_readings(file, report, values));
done:
    free(values);
    return err;
}

static fv_err write_columns(const fv_report *report, const char *folder)
{
    char path[PATH_MAX];
    fv_file_writer target;
    fv_hdf5 *file = NULL;
    FV_TRY(fv_file_path(path, sizeof path, folder, samples_hdf5));
    FV_TRY(fv_file_create(path, &target));
    fv_err err = fv_hdf5_create(target.temporary, &file);
    if (err == FV_OK)
        err = fill_columns(file, report);
    fv_err closed = fv_hdf5_close(file);
    if (err == FV_OK && closed == FV_OK)
        return fv_file_commit(&target);
    fv_file_abandon(&target);
    return err != FV_OK ? err : closed;
}

/* The summary. */

static fv_json *make_figure(double value)
{
    return isnan(value) ? fv_json_make_null() : fv_json_make_real(value);
}

static fv_err fill_tally(const fv_tally *tally, fv_json *object)
{
    FV_TRY(fv_json_set(object, "samples", fv_json_make_integer(tally->n_records)));
    FV_TRY(fv_json_set(object, "unjudged", fv_json_make_integer(tally->n_records - tally->n_judged)));
    FV_TRY(fv_json_set(object, "score", make_figure(fv_tally_score(tally))));
    FV_TRY(fv_json_set(object, "call_rate", make_figure(fv_tally_call_rate(tally))));
    FV_TRY(fv_json_set(object, "visual_share", make_figure(fv_tally_visual_share(tally))));
    return fv_json_set(object, "response_tokens", make_figure(fv_tally_response_tokens(tally)));
}

static fv_err set_tally(fv_json *object, const char *key, const fv_tally *tally)
{
    fv_json *figures = fv_json_make_object();
    FV_TRY(fv_json_set(object, key, figures));
    return fill_tally(tally, figures);
}

static fv_err set_sums(const fv_summary *summary, fv_json *object)
{
    fv_json *sources = fv_json_make_object();
    fv_err err = set_tally(object, "all", &summary->all);
    FV_TRY(fv_json_set(object, "sources", sources));
    for (int i = 0; i < summary->n_sources && err == FV_OK; i++)
        err = set_tally(sources, summary->sources[i].source, &summary->sources[i]);
    return err;
}

static fv_err fill_sums(const fv_report *report, fv_json *object)
{
    fv_summary summary;
    FV_TRY(fv_summary_init(&summary, report));
    fv_err err = set_sums(&summary, object);
    fv_summary_fini(&summary);
    return err;
}

static fv_err set_figures(const fv_report *report, fv_json *object)
{
    fv_results figures;
    FV_TRY(fv_report_results(report, &figures));
    fv_err err = figures.n > 0 ? fv_results_set(&figures, object) : FV_OK;
    fv_results_fini(&figures);
    return err;
}

fv_err fv_report_sum(const fv_report *report, fv_json *object)
{
    FV_TRY(fill_sums(report, object));
    return set_figures(report, object);
}

static fv_err fill_summary(const fv_report *report, fv_json *object)
{
    char shard[32];
    snprintf(shard, sizeof shard, "%d/%d", report->shard, report->n_shards);
    FV_TRY(fv_json_set(object, "format", fv_json_make_integer(FV_REPORT_FORMAT)));
    FV_TRY(fv_json_set_text(object, "model", report->model));
    FV_TRY(fv_json_set_text(object, "data", report->data));
    FV_TRY(fv_json_set(object, "settings", fv_json_copy(report->settings)));
    FV_TRY(fv_json_set_text(object, "shard", shard));
    FV_TRY(fv_json_set(object, "seconds", fv_json_make_real(report->seconds)));
    return fv_report_sum(report, object);
}

static fv_err write_summary(const fv_report *report, const char *folder)
{
    char path[PATH_MAX];
    fv_buffer text = {0};
    fv_json *object = fv_json_make_object();
    fv_err err = FV_OK;
    FV_TRY_DONE(fv_file_path(path, sizeof path, folder, summary_json));
    FV_TRY_DONE(fill_summary(report, object));
    FV_TRY_DONE(fv_json_print(object, 2, &text));
    FV_TRY_DONE(fv_buffer_append(&text, "\n", 1));
    FV_TRY_DONE(fv_file_write(path, text.data, text.size));
done:
    fv_json_destroy(object);
    fv_buffer_fini(&text);
    return err;
}

fv_err fv_report_write(const fv_report *report, const char *folder)
{
    FV_TRY(write_lines(report, folder));
    FV_TRY(write_columns(report, folder));
    return write_summary(report, folder);
}

/* Reading. */

static fv_err copy_member(const fv_json *object, const char *key, char **out)
{
    const char *text;
    FV_TRY(fv_json_to_string(fv_json_get(object, key), key, &text, NULL));
    *out = strdup(text);
    FV_CHECK(*out, FV_ERR_MEMORY, "no memory for \"%s\"", key);
    return FV_OK;
}

/* Format 1 did not say so. */
static fv_err check_format(const fv_json *object)
{
    int64_t format = 1;
    FV_TRY(fv_json_get_integer(object, "format", &format));
    FV_CHECK(format == FV_REPORT_FORMAT, FV_ERR_FORMAT,
             "these results have format %lld, this program reads %d: evaluate again, or use the fovea that "
             "wrote them",
             (long long)format, FV_REPORT_FORMAT);
    return FV_OK;
}

static fv_err read_summary(const fv_json *object, fv_report *out)
{
    const char *shard = "";
    int end = 0;
    FV_TRY(check_format(object));
    FV_TRY(copy_member(object, "model", &out->model));
    FV_TRY(copy_member(object, "data", &out->data));
    FV_TRY(fv_json_get_string(object, "shard", &shard));
    FV_CHECK(sscanf(shard, "%d/%d%n", &out->shard, &out->n_shards, &end) == 2 && !shard[end] &&
                 out->shard >= 1 && out->shard <= out->n_shards,
             FV_ERR_FORMAT, "\"shard\" is \"%s\", expected \"I/N\"", shard);
    FV_TRY(fv_json_require_real(object, "seconds", &out->seconds));
    out->settings = fv_json_copy(fv_json_get(object, "settings"));
    FV_CHECK(out->settings && fv_json_kind_of(out->settings) == FV_JSON_OBJECT, FV_ERR_FORMAT,
             "\"settings\" is missing or no object");
    return FV_OK;
}

static fv_err load_summary(const char *folder, fv_report *out)
{
    char path[PATH_MAX];
    fv_json *object;
    FV_TRY(fv_file_path(path, sizeof path, folder, summary_json));
    FV_TRY(fv_json_load(path, &object));
    fv_err err = read_summary(object, out);
    fv_json_destroy(object);
    return err == FV_OK ? FV_OK : fv_error_prefix(err, "%s", path);
}

static fv_err take_line(void *context, const fv_line *line)
{
    fv_record record;
    FV_TRY(fv_record_parse(line->text, line->size, line->name, &record));
    return fv_report_add(context, &record);
}

static fv_err load_lines(const char *folder, fv_report *out)
{
    char path[PATH_MAX];
    FV_TRY(fv_file_path(path, sizeof path, folder, samples_json));
    return fv_lines_read(path, take_line, out);
}

fv_err fv_report_load(const char *folder, fv_report *out)
{
    *out = (fv_report){0};
    fv_err err = load_summary(folder, out);
    if (err == FV_OK)
        err = load_lines(folder, out);
    if (err != FV_OK)
        fv_report_fini(out);
    return err;
}
