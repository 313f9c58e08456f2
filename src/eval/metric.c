#include "eval/metric_internal.h"

#include "fovea/base/text/shown.h"
#include "fovea/io/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const fv_metric_names[] = {[FV_METRIC_MEAN] = "mean",
                                       [FV_METRIC_YES_NO] = "yes_no",
                                       [FV_METRIC_PAIRS] = "pairs",
                                       [FV_METRIC_CIRCULAR] = "circular",
                                       NULL};

int fv_metric_needs_group(fv_metric metric)
{
    return metric == FV_METRIC_PAIRS || metric == FV_METRIC_CIRCULAR;
}

/* Figures. */

fv_err fv_results_add(fv_results *out, const char *name, double value)
{
    fv_result *items = realloc(out->items, (out->n + 1) * sizeof *items);
    FV_CHECK(items, FV_ERR_MEMORY, "cannot allocate %zu figures", out->n + 1);
    out->items = items;
    items[out->n] = (fv_result){strdup(name), value};
    FV_CHECK(items[out->n++].name, FV_ERR_MEMORY, "no memory for a figure");
    return FV_OK;
}

void fv_results_fini(fv_results *figures)
{
    for (size_t i = 0; i < figures->n; i++)
        free(figures->items[i].name);
    free(figures->items);
    *figures = (fv_results){0};
}

static fv_json *make_value(double value)
{
    return isnan(value) ? fv_json_make_null() : fv_json_make_real(value);
}

fv_err fv_results_set(const fv_results *figures, fv_json *object)
{
    fv_json *values = fv_json_make_object();
    FV_TRY(fv_json_set(object, "figures", values));
    for (size_t i = 0; i < figures->n; i++)
        FV_TRY(fv_json_set(values, figures->items[i].name, make_value(figures->items[i].value)));
    if (figures->has_interval) {
        fv_json *interval = fv_json_make_array();
        FV_TRY(fv_json_set(object, "interval", interval));
        FV_TRY(fv_json_append(interval, make_value(figures->low)));
        FV_TRY(fv_json_append(interval, make_value(figures->high)));
    }
    return fv_json_set(object, "not_counted", fv_json_make_integer(figures->n_left_out));
}

fv_err fv_results_print(const fv_results *figures, fv_buffer *out)
{
    char name[256];
    for (size_t i = 0; i < figures->n; i++) {
        fv_shown_line(figures->items[i].name, name, sizeof name);
        if (isnan(figures->items[i].value))
            FV_TRY(fv_buffer_print(out, "%-40s %10s", name, "-"));
        else
            FV_TRY(fv_buffer_print(out, "%-40s %10.4f", name, figures->items[i].value));
        if (i == 0 && figures->has_interval)
            FV_TRY(fv_buffer_print(out, "  %.4f to %.4f", figures->low, figures->high));
        FV_TRY(fv_buffer_append(out, "\n", 1));
    }
    if (figures->n_left_out > 0)
        FV_TRY(fv_buffer_print(out, "answers that no figure counts: %lld\n", (long long)figures->n_left_out));
    return FV_OK;
}

double fv_metric_over(double sum, double n)
{
    return n > 0 ? sum / n : (double)NAN;
}

/* The metrics. */

static fv_err fold_mean(double scale, const fv_record *records, size_t n, fv_results *out)
{
    double sum = 0;
    int64_t n_judged = 0;
    for (size_t i = 0; i < n; i++)
        if (records[i].has_verdict) {
            sum += records[i].score;
            n_judged++;
        }
    out->n_left_out = (int64_t)n - n_judged;
    return fv_results_add(out, "score", scale * fv_metric_over(sum, (double)n_judged));
}

typedef struct yes_counts {
    double n, n_right, said, true_of_said, truths;
} yes_counts;

static fv_err count_yes(const fv_record *records, size_t n, yes_counts *out)
{
    static const char yes[] = "yes", no[] = "no";
    *out = (yes_counts){0};
    for (size_t i = 0; i < n; i++) {
        const fv_record *r = &records[i];
        if (!r->has_verdict)
            continue;
        FV_CHECK(r->reading, FV_ERR_FORMAT,
                 "row %llu: the metric yes_no needs a scorer that reads yes or no: pope or mme",
                 (unsigned long long)r->row);
        int is_right = r->score > 0,
            is_truth = strncasecmp(r->truth + strspn(r->truth, " \t\r\n"), yes, 3) == 0;
        int is_yes = strcmp(r->reading, yes) == 0;
        FV_CHECK(
            is_yes || strcmp(r->reading, no) == 0 || strcmp(r->reading, "neither") == 0, FV_ERR_FORMAT,
            "row %llu was read as \"%.64s\"; the metric yes_no needs a scorer that reads yes or no: pope "
            "or mme",
            (unsigned long long)r->row, r->reading);
        out->n++;
        out->n_right += is_right;
        out->said += is_yes;
        out->true_of_said += is_yes && is_truth;
        out->truths += is_truth;
    }
    return FV_OK;
}

static fv_err fold_yes_no(double scale, const fv_record *records, size_t n, fv_results *out)
{
    yes_counts c;
    FV_TRY(count_yes(records, n, &c));
    out->n_left_out = (int64_t)n - (int64_t)c.n;
    FV_TRY(fv_results_add(out, "f1", scale * fv_metric_over(2 * c.true_of_said, c.said + c.truths)));
    FV_TRY(fv_results_add(out, "accuracy", scale * fv_metric_over(c.n_right, c.n)));
    FV_TRY(fv_results_add(out, "precision", scale * fv_metric_over(c.true_of_said, c.said)));
    FV_TRY(fv_results_add(out, "recall", scale * fv_metric_over(c.true_of_said, c.truths)));
    return fv_results_add(out, "yes_ratio", scale * fv_metric_over(c.said, c.n));
}

static fv_err fold_groups(fv_metric metric, double scale, const fv_record *records, size_t n, fv_results *out)
{
    fv_grouped grouped;
    FV_TRY(fv_grouped_init(&grouped, metric, records, n));
    fv_err err =
        metric == FV_METRIC_PAIRS ? fv_metric_pairs(&grouped, out) : fv_metric_circular(&grouped, scale, out);
    free(grouped.items);
    return err;
}

static fv_err set_interval(fv_metric metric, double scale, const fv_record *records, size_t n,
                           fv_results *out)
{
    fv_units units;
    FV_TRY(fv_units_init(&units, metric, scale, records, n));
    out->has_interval = units.n > 1 && !isnan(out->items[0].value);
    const fv_unit *const sides[] = {units.items};
    fv_err err = out->has_interval ? fv_units_interval(sides, 1, units.n, &out->low, &out->high) : FV_OK;
    fv_units_fini(&units);
    return err;
}

fv_err fv_metric_fold(fv_metric metric, double scale, const fv_record *records, size_t n, fv_results *out)
{
    *out = (fv_results){0};
    fv_err err = fv_metric_needs_group(metric) ? fold_groups(metric, scale, records, n, out)
                 : metric == FV_METRIC_YES_NO  ? fold_yes_no(scale, records, n, out)
                                               : fold_mean(scale, records, n, out);
    if (err == FV_OK && !fv_metric_needs_group(metric))
        err = fv_metric_samples(scale, records, n, out);
    if (err == FV_OK)
        err = set_interval(metric, scale, records, n, out);
    if (err != FV_OK)
        fv_results_fini(out);
    return err;
}
