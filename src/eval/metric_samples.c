/* Figures of rows that have several samples. */
#include "eval/metric_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_KS = 16 };

static int compare_samples(const void *a, const void *b)
{
    const fv_record *x = *(const fv_record *const *)a, *y = *(const fv_record *const *)b;
    return x->row != y->row ? (x->row > y->row) - (x->row < y->row)
                            : (x->sample > y->sample) - (x->sample < y->sample);
}

/* The judged samples of a row, and those that are right. */
typedef struct row_samples {
    const fv_record *const *items;
    int n, n_right;
} row_samples;

static row_samples next_row(const fv_record *const *items, size_t first, size_t n)
{
    row_samples out = {.items = items + first};
    while (first + (size_t)out.n < n && items[first + (size_t)out.n]->row == items[first]->row)
        out.n_right += items[first + (size_t)out.n++]->score >= 0.5;
    return out;
}

/* The chance that one of k of the row's samples is right (Chen et al., 2021, equation 1). */
static double pass_of(const row_samples *row, int k)
{
    double none = 1;
    for (int i = 0; i < k; i++)
        none *= (double)(row->n - row->n_right - i > 0 ? row->n - row->n_right - i : 0) / (row->n - i);
    return 1 - none;
}

/* The score of what most samples were read as; of as many, of the first. */
static double majority_of(const row_samples *row)
{
    int most = 0, best = 0;
    for (int i = 0; i < row->n; i++) {
        int n = 0;
        for (int j = 0; j < row->n; j++)
            n += strcmp(row->items[i]->reading ? row->items[i]->reading : "",
                        row->items[j]->reading ? row->items[j]->reading : "") == 0;
        if (n > most) {
            most = n;
            best = i;
        }
    }
    return row->items[best]->score;
}

/* 2, 4, 8, ... and n itself. */
static int list_ks(int n, int ks[MOST_KS])
{
    int n_ks = 0;
    for (int k = 2; k < n && n_ks < MOST_KS - 1; k *= 2)
        ks[n_ks++] = k;
    ks[n_ks++] = n;
    return n_ks;
}

static fv_err add_figures(const fv_record *const *items, size_t n, double scale, int n_samples,
                          fv_results *out)
{
    int ks[MOST_KS], n_ks = list_ks(n_samples, ks);
    double passes[MOST_KS] = {0}, counts[MOST_KS] = {0}, majority = 0, n_rows = 0;
    for (size_t at = 0; at < n; n_rows++) {
        row_samples row = next_row(items, at, n);
        for (int i = 0; i < n_ks; i++)
            if (row.n >= ks[i]) {
                passes[i] += pass_of(&row, ks[i]);
                counts[i]++;
            }
        majority += majority_of(&row);
        at += (size_t)row.n;
    }
    for (int i = 0; i < n_ks; i++) {
        char name[32];
        snprintf(name, sizeof name, "pass@%d", ks[i]);
        FV_TRY(fv_results_add(out, name, scale * fv_metric_over(passes[i], counts[i])));
    }
    return fv_results_add(out, "majority", scale * fv_metric_over(majority, n_rows));
}

fv_err fv_metric_samples(double scale, const fv_record *records, size_t n, fv_results *out)
{
    int n_samples = 1;
    size_t n_judged = 0;
    const fv_record **items = malloc((n + 1) * sizeof *items);
    FV_CHECK(items, FV_ERR_MEMORY, "cannot allocate an order of %zu samples", n);
    for (size_t i = 0; i < n; i++) {
        n_samples = records[i].sample + 1 > n_samples ? records[i].sample + 1 : n_samples;
        if (records[i].has_verdict)
            items[n_judged++] = &records[i];
    }
    qsort(items, n_judged, sizeof *items, compare_samples);
    fv_err err = n_samples > 1 ? add_figures(items, n_judged, scale, n_samples, out) : FV_OK;
    free(items);
    return err;
}
