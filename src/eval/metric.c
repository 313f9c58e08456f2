#include "fovea/eval/metric.h"

#include "fovea/base/text/shown.h"
#include "fovea/io/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CIRCLE = 1000000 };

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

static fv_err add_figure(fv_results *out, const char *name, double value)
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
    return fv_json_set(object, "not_counted", fv_json_make_integer(figures->n_left_out));
}

fv_err fv_results_print(const fv_results *figures, fv_buffer *out)
{
    char name[256];
    for (size_t i = 0; i < figures->n; i++) {
        fv_shown_line(figures->items[i].name, name, sizeof name);
        if (isnan(figures->items[i].value))
            FV_TRY(fv_buffer_print(out, "%-40s %10s\n", name, "-"));
        else
            FV_TRY(fv_buffer_print(out, "%-40s %10.4f\n", name, figures->items[i].value));
    }
    if (figures->n_left_out > 0)
        FV_TRY(fv_buffer_print(out, "answers that no figure counts: %lld\n", (long long)figures->n_left_out));
    return FV_OK;
}

static double over(double sum, double n)
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
    return add_figure(out, "score", scale * over(sum, (double)n_judged));
}

/* Where an answer is right, its truth is what it was read as; where it is wrong, the other one. */
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
    FV_TRY(add_figure(out, "f1", scale * over(2 * c.true_of_said, c.said + c.truths)));
    FV_TRY(add_figure(out, "accuracy", scale * over(c.n_right, c.n)));
    FV_TRY(add_figure(out, "precision", scale * over(c.true_of_said, c.said)));
    FV_TRY(add_figure(out, "recall", scale * over(c.true_of_said, c.truths)));
    return add_figure(out, "yes_ratio", scale * over(c.said, c.n));
}

/* Groups. */

static const char *group_of(const fv_record *record)
{
    return record->group ? record->group : "";
}

static int compare_pairs(const void *a, const void *b)
{
    const fv_record *x = *(const fv_record *const *)a, *y = *(const fv_record *const *)b;
    int order = strcmp(x->source, y->source);
    return order ? order : strcmp(group_of(x), group_of(y));
}

static unsigned long long number_of(const fv_record *record)
{
    return strtoull(group_of(record), NULL, 10) % CIRCLE;
}

static int compare_circles(const void *a, const void *b)
{
    unsigned long long x = number_of(*(const fv_record *const *)a),
                       y = number_of(*(const fv_record *const *)b);
    return (x > y) - (x < y);
}

/* Records sorted so that those of a group stand together. */
typedef struct sorted {
    const fv_record **items; /* owned, (n) */
    size_t n;
    int (*compare)(const void *, const void *);
} sorted;

static fv_err sort_records(const fv_record *records, size_t n, sorted *out)
{
    out->n = n;
    out->items = malloc((n + 1) * sizeof(const fv_record *));
    FV_CHECK(out->items, FV_ERR_MEMORY, "cannot allocate an order of %zu samples", n);
    for (size_t i = 0; i < n; i++)
        out->items[i] = &records[i];
    qsort(out->items, n, sizeof(const fv_record *), out->compare);
    return FV_OK;
}

/* A group: records [first, end). */
typedef struct run_of {
    size_t end;
    double sum;
    int is_judged, is_right; /* all of them */
} run_of;

static run_of next_group(const sorted *s, size_t first)
{
    run_of out = {.end = first, .is_judged = 1, .is_right = 1};
    while (out.end < s->n && s->compare(&s->items[first], &s->items[out.end]) == 0) {
        const fv_record *r = s->items[out.end++];
        out.sum += r->has_verdict ? r->score : 0;
        out.is_judged &= r->has_verdict;
        out.is_right &= r->has_verdict && r->score >= 1;
    }
    return out;
}

static fv_err fold_circular(double scale, const sorted *s, fv_results *out)
{
    double n_right = 0, n_groups = 0;
    for (size_t at = 0; at < s->n;) {
        run_of group = next_group(s, at);
        if (group.is_judged) {
            n_groups++;
            n_right += group.is_right;
        } else {
            out->n_left_out += (int64_t)(group.end - at);
        }
        at = group.end;
    }
    return add_figure(out, "score", scale * over(n_right, n_groups));
}

static int is_cognition(const char *category)
{
    static const char *const names[] = {"commonsense_reasoning", "numerical_calculation", "text_translation",
                                        "code_reasoning"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], category) == 0)
            return 1;
    return 0;
}

/* The figure of the category that begins at *at, which moves behind it. */
static double fold_category(const sorted *s, size_t *at, int64_t *n_left_out)
{
    const char *category = s->items[*at]->source;
    double sum = 0, n_right = 0, n_pairs = 0;
    while (*at < s->n && strcmp(s->items[*at]->source, category) == 0) {
        run_of group = next_group(s, *at);
        if (group.is_judged && group.end - *at == 2) {
            n_pairs++;
            sum += group.sum;
            n_right += group.is_right;
        } else {
            *n_left_out += (int64_t)(group.end - *at);
        }
        *at = group.end;
    }
    return over(100 * (sum / 2 + n_right), n_pairs);
}

static fv_err fold_pairs(const sorted *s, fv_results *out)
{
    enum { SCORE, PERCEPTION, COGNITION, SUMS };
    static const char *const names[SUMS] = {"score", "perception", "cognition"};
    double sums[SUMS] = {0};
    for (int i = 0; i < SUMS; i++)
        FV_TRY(add_figure(out, names[i], 0));
    for (size_t at = 0; at < s->n;) {
        const char *category = s->items[at]->source;
        double value = fold_category(s, &at, &out->n_left_out);
        FV_TRY(add_figure(out, category, value));
        if (isnan(value))
            continue;
        sums[SCORE] += value;
        sums[is_cognition(category) ? COGNITION : PERCEPTION] += value;
    }
    for (int i = 0; i < SUMS; i++)
        out->items[i].value = sums[i];
    return FV_OK;
}

static fv_err fold_groups(fv_metric metric, double scale, const fv_record *records, size_t n, fv_results *out)
{
    sorted s = {.compare = metric == FV_METRIC_PAIRS ? compare_pairs : compare_circles};
    fv_err err = sort_records(records, n, &s);
    if (err == FV_OK)
        err = metric == FV_METRIC_PAIRS ? fold_pairs(&s, out) : fold_circular(scale, &s, out);
    free(s.items);
    return err;
}

fv_err fv_metric_fold(fv_metric metric, double scale, const fv_record *records, size_t n, fv_results *out)
{
    *out = (fv_results){0};
    fv_err err = fv_metric_needs_group(metric) ? fold_groups(metric, scale, records, n, out)
                 : metric == FV_METRIC_YES_NO  ? fold_yes_no(scale, records, n, out)
                                               : fold_mean(scale, records, n, out);
    if (err != FV_OK)
        fv_results_fini(out);
    return err;
}
