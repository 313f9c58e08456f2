/* How sure a figure is: it is computed again from units that are drawn anew. */
#include "eval/metric_internal.h"
#include "fovea/base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { DRAWS = 1000, TAIL = DRAWS / 40 /* 2.5 % */ };

static int is_yes(const char *text)
{
    return text && strncasecmp(text + strspn(text, " \t\r\n"), "yes", 3) == 0;
}

static fv_unit unit_of(fv_metric metric, double scale, const fv_record *record)
{
    fv_unit out = {.row = record->row, .stratum = "", .up = scale * record->score, .down = 1};
    if (metric != FV_METRIC_YES_NO)
        return out;
    int said = is_yes(record->reading), truth = is_yes(record->truth);
    out.up = scale * 2 * (said && truth);
    out.down = said + truth;
    return out;
}

static void take_groups(const fv_grouped *grouped, fv_metric metric, double scale, fv_units *out)
{
    for (size_t at = 0; at < grouped->n;) {
        const fv_record *first = grouped->items[at];
        fv_answer_group group = fv_grouped_next(grouped, at);
        int is_pair = group.end - at == 2;
        uint64_t row = first->row;
        for (; at < group.end; at++)
            row = grouped->items[at]->row < row ? grouped->items[at]->row : row;
        if (!group.is_judged || (metric == FV_METRIC_PAIRS && !is_pair))
            continue;
        out->items[out->n++] = metric == FV_METRIC_PAIRS
                                   ? (fv_unit){row, first->source, 100 * (group.sum / 2 + group.is_right), 1}
                                   : (fv_unit){row, "", scale * group.is_right, 1};
    }
}

static int compare_units(const void *a, const void *b)
{
    uint64_t x = ((const fv_unit *)a)->row, y = ((const fv_unit *)b)->row;
    return (x > y) - (x < y);
}

/* The samples of a row are one unit. Units of groups stand together as they are. */
static void join_samples(fv_units *units, int is_sorted)
{
    size_t n = 0;
    if (!is_sorted && units->n > 0)
        qsort(units->items, units->n, sizeof *units->items, compare_units);
    for (size_t i = 0; i < units->n; i++) {
        fv_unit *last = n > 0 ? &units->items[n - 1] : NULL;
        if (last && last->row == units->items[i].row && strcmp(last->stratum, units->items[i].stratum) == 0) {
            last->up += units->items[i].up;
            last->down += units->items[i].down;
        } else {
            units->items[n++] = units->items[i];
        }
    }
    units->n = n;
}

fv_err fv_units_init(fv_units *out, fv_metric metric, double scale, const fv_record *records, size_t n)
{
    fv_grouped grouped;
    *out = (fv_units){.items = malloc((n + 1) * sizeof *out->items)};
    FV_CHECK(out->items, FV_ERR_MEMORY, "cannot allocate %zu units", n);
    if (!fv_metric_needs_group(metric)) {
        for (size_t i = 0; i < n; i++)
            if (records[i].has_verdict)
                out->items[out->n++] = unit_of(metric, scale, &records[i]);
        join_samples(out, 0);
        return FV_OK;
    }
    fv_err err = fv_grouped_init(&grouped, metric, records, n);
    if (err == FV_OK) {
        take_groups(&grouped, metric, scale, out);
        join_samples(out, 1);
        free(grouped.items);
    } else {
        fv_units_fini(out);
    }
    return err;
}

void fv_units_fini(fv_units *units)
{
    free(units->items);
    *units = (fv_units){0};
}

/* The stratum that begins at first: units [first, end). */
static size_t end_of_stratum(const fv_unit *units, size_t first, size_t n)
{
    size_t end = first + 1;
    while (end < n && strcmp(units[end].stratum, units[first].stratum) == 0)
        end++;
    return end;
}

/* Which of m units is drawn: number index of the draw. */
static size_t draw(uint32_t number, size_t index, size_t m)
{
    uint32_t words[4];
    fv_rng_words((fv_rng_key){.step = number}, (uint32_t)(index / 4), words);
    return (size_t)(((uint64_t)words[index % 4] * m) >> 32);
}

/* The figure of units that are drawn anew, as many of each stratum; of two sides how much larger the second's
 * is.
 */
static double draw_figure(const fv_unit *const *sides, int n_sides, size_t n, uint32_t number)
{
    double sums[2] = {0};
    for (size_t first = 0, end; first < n; first = end) {
        double up[2] = {0}, down[2] = {0};
        end = end_of_stratum(sides[0], first, n);
        for (size_t i = first; i < end; i++) {
            size_t at = first + draw(number, i, end - first);
            for (int s = 0; s < n_sides; s++) {
                up[s] += sides[s][at].up;
                down[s] += sides[s][at].down;
            }
        }
        for (int s = 0; s < n_sides; s++)
            sums[s] += down[s] > 0 ? up[s] / down[s] : 0;
    }
    return n_sides == 1 ? sums[0] : sums[1] - sums[0];
}

static int compare_values(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

fv_err fv_units_interval(const fv_unit *const *sides, int n_sides, size_t n, double *low, double *high)
{
    double *values = malloc(DRAWS * sizeof *values);
    FV_CHECK(values, FV_ERR_MEMORY, "cannot allocate %d figures", DRAWS);
#pragma omp parallel for
    for (int d = 0; d < DRAWS; d++)
        values[d] = draw_figure(sides, n_sides, n, (uint32_t)d);
    qsort(values, DRAWS, sizeof *values, compare_values);
    *low = values[TAIL - 1];
    *high = values[DRAWS - TAIL];
    free(values);
    return FV_OK;
}
