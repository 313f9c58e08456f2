/* Metrics over groups of answers: pairs, and questions with their options in several orders. */
#include "eval/metric_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CIRCLE = 1000000 };

static const char *group_of(const fv_record *record)
{
    return record->group ? record->group : "";
}

static int compare_pairs(const void *a, const void *b)
{
    const fv_record *x = *(const fv_record *const *)a, *y = *(const fv_record *const *)b;
    int order = strcmp(x->source, y->source);
    order = order ? order : strcmp(group_of(x), group_of(y));
    return order ? order : (x->sample > y->sample) - (x->sample < y->sample);
}

static unsigned long long number_of(const fv_record *record)
{
    return strtoull(group_of(record), NULL, 10) % CIRCLE;
}

static int compare_circles(const void *a, const void *b)
{
    const fv_record *first = *(const fv_record *const *)a, *other = *(const fv_record *const *)b;
    unsigned long long x = number_of(first), y = number_of(other);
    return x != y ? (x > y) - (x < y) : (first->sample > other->sample) - (first->sample < other->sample);
}

fv_err fv_grouped_init(fv_grouped *out, fv_metric metric, const fv_record *records, size_t n)
{
    *out = (fv_grouped){.n = n,
                        .items = malloc((n + 1) * sizeof(const fv_record *)),
                        .compare = metric == FV_METRIC_PAIRS ? compare_pairs : compare_circles};
    FV_CHECK(out->items, FV_ERR_MEMORY, "cannot allocate an order of %zu samples", n);
    for (size_t i = 0; i < n; i++)
        out->items[i] = &records[i];
    qsort(out->items, n, sizeof(const fv_record *), out->compare);
    return FV_OK;
}

fv_answer_group fv_grouped_next(const fv_grouped *s, size_t first)
{
    fv_answer_group out = {.end = first, .is_judged = 1, .is_right = 1};
    while (out.end < s->n && s->compare(&s->items[first], &s->items[out.end]) == 0) {
        const fv_record *r = s->items[out.end++];
        out.sum += r->has_verdict ? r->score : 0;
        out.is_judged &= r->has_verdict;
        out.is_right &= r->has_verdict && r->score >= 1;
    }
    return out;
}

fv_err fv_metric_circular(const fv_grouped *s, double scale, fv_results *out)
{
    double n_right = 0, n_groups = 0;
    for (size_t at = 0; at < s->n;) {
        fv_answer_group group = fv_grouped_next(s, at);
        if (group.is_judged) {
            n_groups++;
            n_right += group.is_right;
        } else {
            out->n_left_out += (int64_t)(group.end - at);
        }
        at = group.end;
    }
    return fv_results_add(out, "score", scale * fv_metric_over(n_right, n_groups));
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
static double fold_category(const fv_grouped *s, size_t *at, int64_t *n_left_out)
{
    const char *category = s->items[*at]->source;
    double sum = 0, n_right = 0, n_pairs = 0;
    while (*at < s->n && strcmp(s->items[*at]->source, category) == 0) {
        fv_answer_group group = fv_grouped_next(s, *at);
        if (group.is_judged && group.end - *at == 2) {
            n_pairs++;
            sum += group.sum;
            n_right += group.is_right;
        } else {
            *n_left_out += (int64_t)(group.end - *at);
        }
        *at = group.end;
    }
    return fv_metric_over(100 * (sum / 2 + n_right), n_pairs);
}

fv_err fv_metric_pairs(const fv_grouped *s, fv_results *out)
{
    enum { SCORE, PERCEPTION, COGNITION, SUMS };
    static const char *const names[SUMS] = {"score", "perception", "cognition"};
    double sums[SUMS] = {0};
    for (int i = 0; i < SUMS; i++)
        FV_TRY(fv_results_add(out, names[i], 0));
    for (size_t at = 0; at < s->n;) {
        const char *category = s->items[at]->source;
        double value = fold_category(s, &at, &out->n_left_out);
        FV_TRY(fv_results_add(out, category, value));
        if (isnan(value))
            continue;
        sums[SCORE] += value;
        sums[is_cognition(category) ? COGNITION : PERCEPTION] += value;
    }
    for (int i = 0; i < SUMS; i++)
        out->items[i].value = sums[i];
    return FV_OK;
}
