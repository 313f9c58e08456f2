#include "fovea/eval/report.h"

#include "fovea/base/text/shown.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

fv_err fv_report_add(fv_report *report, fv_record *record)
{
    if (report->n == report->capacity) {
        size_t capacity = report->capacity ? 2 * report->capacity : 64;
        fv_record *records = realloc(report->records, capacity * sizeof *records);
        if (!records) {
            fv_record_fini(record);
            return FV_FAIL(FV_ERR_MEMORY, "cannot allocate %zu samples", capacity);
        }
        report->records = records;
        report->capacity = capacity;
    }
    report->records[report->n++] = *record;
    *record = (fv_record){0};
    return FV_OK;
}

static int compare_rows(const void *a, const void *b)
{
    const fv_record *x = a, *y = b;
    return x->row != y->row ? (x->row > y->row) - (x->row < y->row)
                            : (x->sample > y->sample) - (x->sample < y->sample);
}

void fv_report_sort(fv_report *report)
{
    if (report->n > 0)
        qsort(report->records, report->n, sizeof *report->records, compare_rows);
}

int64_t fv_report_samples(const fv_report *report)
{
    int64_t n = 1;
    return fv_json_get_integer(report->settings, "samples", &n) == FV_OK && n > 0 ? n : 1;
}

void fv_report_fini(fv_report *report)
{
    for (size_t i = 0; i < report->n; i++)
        fv_record_fini(&report->records[i]);
    free(report->records);
    free(report->model);
    free(report->data);
    fv_json_destroy(report->settings);
    *report = (fv_report){0};
}

static const char left_out[] = "left_out";

fv_err fv_report_leave_out(fv_report *report, const fv_rows *rows, int64_t n_rows)
{
    uint64_t next = 0;
    if (rows->n_left_out == 0)
        return FV_OK;
    fv_json *list = fv_json_make_array();
    FV_TRY(fv_json_set(report->settings, left_out, list));
    for (int64_t row = 0; row < n_rows; row++) {
        if (next < rows->n && rows->kept[next] == (uint64_t)row)
            next++;
        else
            FV_TRY(fv_json_append(list, fv_json_make_integer(row)));
    }
    return FV_OK;
}

int64_t fv_report_left_out(const fv_report *report)
{
    const fv_json *list = fv_json_get(report->settings, left_out);
    return list ? (int64_t)fv_json_size(list) : 0;
}

/* Sums. */

static double over(double sum, int64_t n)
{
    return n > 0 ? sum / (double)n : NAN;
}

double fv_tally_score(const fv_tally *tally)
{
    return over(tally->score, tally->n_judged);
}

double fv_tally_call_rate(const fv_tally *tally)
{
    return over((double)tally->counts[FV_COUNT_CALLED], tally->n_records);
}

double fv_tally_visual_share(const fv_tally *tally)
{
    return over((double)tally->counts[FV_COUNT_VISUAL], tally->counts[FV_COUNT_HIGH]);
}

double fv_tally_response_tokens(const fv_tally *tally)
{
    return over((double)tally->counts[FV_COUNT_RESPONSE], tally->n_records);
}

static void add(fv_tally *tally, const fv_record *record)
{
    tally->n_records++;
    if (record->has_verdict) {
        tally->n_judged++;
        tally->score += record->score;
    }
    for (int c = 0; c < FV_COUNTS; c++)
        tally->counts[c] += record->counts[c];
}

/* The tally of a source, a new one if need be. */
static fv_err find(fv_summary *summary, const char *source, fv_tally **out)
{
    for (int i = 0; i < summary->n_sources; i++) {
        *out = &summary->sources[i];
        if (strcmp((*out)->source, source) == 0)
            return FV_OK;
    }
    size_t n = (size_t)summary->n_sources + 1;
    fv_tally *sources = realloc(summary->sources, n * sizeof *sources);
    FV_CHECK(sources, FV_ERR_MEMORY, "cannot allocate the sums of %zu sources", n);
    summary->sources = sources;
    *out = &sources[summary->n_sources++];
    **out = (fv_tally){.source = source};
    return FV_OK;
}

fv_err fv_summary_init(fv_summary *summary, const fv_report *report)
{
    fv_err err = FV_OK;
    *summary = (fv_summary){0};
    for (size_t i = 0; i < report->n && err == FV_OK; i++) {
        fv_tally *tally;
        add(&summary->all, &report->records[i]);
        err = find(summary, report->records[i].source, &tally);
        if (err == FV_OK)
            add(tally, &report->records[i]);
    }
    if (err != FV_OK)
        fv_summary_fini(summary);
    return err;
}

void fv_summary_fini(fv_summary *summary)
{
    free(summary->sources);
    *summary = (fv_summary){0};
}

/* Figures. */

fv_err fv_report_metric(const fv_report *report, fv_metric *metric, double *scale)
{
    const char *name = "";
    if (!fv_json_get(report->settings, "task"))
        return FV_OK;
    FV_TRY(fv_json_get_string(report->settings, "metric", &name));
    FV_TRY(fv_json_require_real(report->settings, "scale", scale));
    for (int i = 0; fv_metric_names[i]; i++)
        if (strcmp(fv_metric_names[i], name) == 0) {
            *metric = (fv_metric)i;
            return FV_OK;
        }
    return FV_FAIL(FV_ERR_FORMAT, "there is no metric \"%.64s\"", name);
}

fv_err fv_report_results(const fv_report *report, fv_results *out)
{
    fv_metric metric = FV_METRIC_MEAN;
    double scale = 1;
    *out = (fv_results){0};
    if (!fv_json_get(report->settings, "task"))
        return FV_OK;
    FV_TRY(fv_report_metric(report, &metric, &scale));
    return fv_metric_fold(metric, scale, report->records, report->n, out);
}

fv_err fv_report_print_published(const fv_report *report, fv_buffer *out)
{
    const fv_json *published = fv_json_get(report->settings, "published");
    double full, quarter, policy, calls;
    if (!published)
        return FV_OK;
    FV_TRY(fv_json_require_real(published, "full", &full));
    FV_TRY(fv_json_require_real(published, "quarter", &quarter));
    FV_TRY(fv_json_require_real(published, "policy", &policy));
    FV_TRY(fv_json_require_real(published, "call_rate", &calls));
    return fv_buffer_print(out,
                           "published (Yang et al., 2025): full resolution %g, a quarter of the tokens %g, "
                           "VisionThink %g with calls on %g %%\n",
                           full, quarter, policy, calls);
}

/* The table. */

static fv_err print_figure(double value, int digits, fv_buffer *out)
{
    return isnan(value) ? fv_buffer_print(out, " %10s", "-") : fv_buffer_print(out, " %10.*f", digits, value);
}

static fv_err print_line(const fv_tally *tally, const char *name, int width, fv_buffer *out)
{
    FV_TRY(fv_buffer_print(out, "%-*s %8lld %8lld", width, name, (long long)tally->n_records,
                           (long long)(tally->n_records - tally->n_judged)));
    FV_TRY(print_figure(fv_tally_score(tally), 4, out));
    FV_TRY(print_figure(fv_tally_call_rate(tally), 4, out));
    FV_TRY(print_figure(fv_tally_visual_share(tally), 4, out));
    return print_figure(fv_tally_response_tokens(tally), 1, out);
}

enum { MAX_NAME = 256 };

/* A name of the data must not make two lines of one. */
static const char *name_of(const fv_tally *tally, char name[MAX_NAME])
{
    fv_shown_line(*tally->source ? tally->source : "(no name)", name, MAX_NAME);
    return name;
}

fv_err fv_summary_print(const fv_summary *summary, double seconds, fv_buffer *out)
{
    char name[MAX_NAME];
    int width = (int)strlen("source");
    for (int i = 0; i < summary->n_sources; i++) {
        int length = (int)strlen(name_of(&summary->sources[i], name));
        width = length > width ? length : width;
    }
    FV_TRY(fv_buffer_print(out, "%-*s %8s %8s %10s %10s %10s %10s %10s\n", width, "source", "samples",
                           "unjudged", "score", "call rate", "visual", "response", "seconds"));
    for (int i = 0; i < summary->n_sources; i++) {
        FV_TRY(print_line(&summary->sources[i], name_of(&summary->sources[i], name), width, out));
        FV_TRY(fv_buffer_append(out, "\n", 1));
    }
    FV_TRY(print_line(&summary->all, "all", width, out));
    FV_TRY(print_figure(seconds, 1, out));
    return fv_buffer_append(out, "\n", 1);
}
