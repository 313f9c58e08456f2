#include "fovea/eval/paired.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What scores follow from beside the answers. */
static const char *const rules[] = {"data_hash", "rows",       "left_out", "task",  "scorer",   "verifier",
                                    "metric",    "extraction", "scale",    "group", "category", "by"};

static int is_rule(const char *key)
{
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (strcmp(rules[i], key) == 0)
            return 1;
    return 0;
}

static fv_err check_rules(const fv_report *const reports[2], const char *const names[2])
{
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        fv_err err = fv_report_compare_setting(reports, names, rules[i]);
        if (err != FV_OK)
            return fv_error_prefix(err, "other data or rules cannot be compared");
    }
    for (int s = 0; s < 2; s++)
        FV_CHECK(reports[s]->n_shards == 1, FV_ERR_ARGUMENT, "%s is shard %d/%d: merge the shards first",
                 names[s], reports[s]->shard, reports[s]->n_shards);
    FV_CHECK(reports[0]->n == reports[1]->n, FV_ERR_ARGUMENT, "%s has %zu samples, %s %zu", names[0],
             reports[0]->n, names[1], reports[1]->n);
    for (size_t i = 0; i < reports[0]->n; i++)
        FV_CHECK(reports[0]->records[i].row == reports[1]->records[i].row, FV_ERR_ARGUMENT,
                 "%s has row %llu where %s has %llu", names[0],
                 (unsigned long long)reports[0]->records[i].row, names[1],
                 (unsigned long long)reports[1]->records[i].row);
    return FV_OK;
}

/* Who is right. */

static int is_right(const fv_record *record)
{
    return record->score >= 0.5;
}

static void count(fv_paired *out, const fv_report *const reports[2])
{
    int64_t *const counts[2][2] = {{&out->neither, &out->second}, {&out->first, &out->both}};
    for (size_t i = 0; i < reports[0]->n; i++) {
        const fv_record *a = &reports[0]->records[i], *b = &reports[1]->records[i];
        if (a->has_verdict && b->has_verdict)
            ++*counts[is_right(a)][is_right(b)];
    }
}

/* Twice the chance of at most the smaller of the two among their sum, each as likely. */
static double chance_of(int64_t a, int64_t b)
{
    double n = (double)(a + b), sum = 0;
    int64_t least = a < b ? a : b;
    for (int64_t k = 0; k <= least; k++)
        sum += exp(lgamma(n + 1) - lgamma((double)k + 1) - lgamma(n - (double)k + 1) - n * log(2));
    return a == b || 2 * sum > 1 ? 1 : 2 * sum;
}

/* Figures. */

/* Keep the units that both have; both are in the same order but for those that one lacks. */
static void intersect(fv_units units[2])
{
    size_t n = 0, b = 0;
    for (size_t a = 0; a < units[0].n; a++) {
        size_t at = b;
        while (at < units[1].n && units[1].items[at].row != units[0].items[a].row)
            at++;
        if (at == units[1].n)
            continue;
        units[0].items[n] = units[0].items[a];
        units[1].items[n++] = units[1].items[at];
        b = at + 1;
    }
    units[0].n = units[1].n = n;
}

static fv_err find_interval(fv_metric metric, double scale, const fv_report *const reports[2], fv_paired *out)
{
    fv_units units[2] = {{0}};
    fv_err err = FV_OK;
    out->low = out->high = (double)NAN;
    for (int s = 0; s < 2; s++)
        FV_TRY_DONE(fv_units_init(&units[s], metric, scale, reports[s]->records, reports[s]->n));
    intersect(units);
    const fv_unit *const sides[] = {units[0].items, units[1].items};
    if (units[0].n > 1)
        FV_TRY_DONE(fv_units_interval(sides, 2, units[0].n, &out->low, &out->high));
done:
    fv_units_fini(&units[0]);
    fv_units_fini(&units[1]);
    return err;
}

static fv_err fill(fv_paired *out, const fv_report *const reports[2], const char *const names[2])
{
    fv_metric metric = FV_METRIC_MEAN;
    double scale = 1;
    FV_TRY(check_rules(reports, names));
    FV_TRY(fv_report_metric(reports[0], &metric, &scale));
    for (int s = 0; s < 2; s++)
        FV_TRY(fv_metric_fold(metric, scale, reports[s]->records, reports[s]->n, &out->results[s]));
    count(out, reports);
    out->p = chance_of(out->first, out->second);
    return find_interval(metric, scale, reports, out);
}

fv_err fv_paired_init(fv_paired *out, const fv_report *const reports[2], const char *const names[2])
{
    *out = (fv_paired){0};
    fv_err err = fill(out, reports, names);
    if (err != FV_OK)
        fv_paired_fini(out);
    return err;
}

void fv_paired_fini(fv_paired *paired)
{
    fv_results_fini(&paired->results[0]);
    fv_results_fini(&paired->results[1]);
    *paired = (fv_paired){0};
}

/* Differences. */

static fv_err print_value(const fv_json *settings, const char *key, fv_buffer *out)
{
    const fv_json *value = fv_json_get(settings, key);
    return value ? fv_json_print(value, 0, out) : fv_buffer_print(out, "absent");
}

static fv_err print_setting(const fv_report *const reports[2], const char *key, fv_buffer *out)
{
    fv_buffer values[2] = {{0}};
    fv_err err = FV_OK;
    for (int s = 0; s < 2; s++)
        FV_TRY_DONE(print_value(reports[s]->settings, key, &values[s]));
    if (strcmp(values[0].data, values[1].data) != 0)
        FV_TRY_DONE(fv_buffer_print(out, "%s: %s, %s\n", key, values[0].data, values[1].data));
done:
    fv_buffer_fini(&values[0]);
    fv_buffer_fini(&values[1]);
    return err;
}

fv_err fv_paired_print_settings(const fv_report *const reports[2], fv_buffer *out)
{
    for (int s = 0; s < 2; s++)
        for (void *at = fv_json_first(reports[s]->settings); at;
             at = fv_json_next(reports[s]->settings, at)) {
            const char *key = fv_json_key(at);
            if (!is_rule(key) && (s == 0 || !fv_json_get(reports[0]->settings, key)))
                FV_TRY(print_setting(reports, key, out));
        }
    return FV_OK;
}

static fv_err set_sides(const fv_record *const sides[2], fv_json *object)
{
    fv_json *scores = fv_json_make_array(), *answers = fv_json_make_array(), *truth;
    FV_TRY(fv_json_set(object, "scores", scores));
    FV_TRY(fv_json_set(object, "answers", answers));
    FV_TRY(fv_truths_to_json(fv_row_truths(sides[0]->truth, sides[0]->more_bytes), &truth));
    FV_TRY(fv_json_set(object, "truth", truth));
    for (int s = 0; s < 2; s++) {
        int64_t n = sides[s]->counts[FV_COUNT_TURNS];
        const fv_buffer *last = &sides[s]->turns[n > 0 ? n - 1 : 0];
        FV_TRY(fv_json_append(scores, fv_json_make_real(sides[s]->score)));
        FV_TRY(fv_json_append(answers, fv_json_make_string(last->data ? last->data : "", last->size)));
    }
    return FV_OK;
}

static fv_err print_row(const fv_record *const sides[2], fv_buffer *out)
{
    fv_json *object = fv_json_make_object();
    fv_err err = FV_OK;
    FV_TRY_DONE(fv_json_set(object, "row", fv_json_make_integer((int64_t)sides[0]->row)));
    FV_TRY_DONE(fv_json_set_text(object, "source", sides[0]->source));
    FV_TRY_DONE(set_sides(sides, object));
    FV_TRY_DONE(fv_json_print(object, 0, out));
    FV_TRY_DONE(fv_buffer_append(out, "\n", 1));
done:
    fv_json_destroy(object);
    return err;
}

fv_err fv_paired_print_changed(const fv_report *const reports[2], fv_buffer *out)
{
    for (size_t i = 0; i < reports[0]->n; i++) {
        const fv_record *const sides[] = {&reports[0]->records[i], &reports[1]->records[i]};
        if (sides[0]->has_verdict && sides[1]->has_verdict && is_right(sides[0]) != is_right(sides[1]))
            FV_TRY(print_row(sides, out));
    }
    return FV_OK;
}
