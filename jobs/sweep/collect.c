/* fovea sweep collect: what the runs have come to. */
#include "jobs/sweep/sweep.h"

#include "fovea/base/file.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct row {
    const fv_sweep_run *run;
    fv_sweep_state state;
    fv_json *figures; /* owned */
    double metric;    /* larger is better; NAN: there is none yet */
    int64_t step;
} row;

static fv_err fill_row(const fv_sweep *sweep, const fv_sweep_run *run, row *out)
{
    double value = (double)NAN;
    out->run = run;
    FV_TRY(fv_sweep_figures(sweep, run->name, &out->figures));
    FV_TRY(fv_json_get_integer(out->figures, "step", &out->step));
    FV_TRY(fv_json_get_real(out->figures, sweep->metric, &value));
    out->metric = sweep->is_least_best ? -value : value;
    return FV_OK;
}

/* A run may have none of the metric yet; that no run has it is a mistake. */
static fv_err read_rows(const fv_sweep *sweep, row *rows)
{
    int n_begun = 0, n_named = 0;
    for (int i = 0; i < sweep->n_runs; i++) {
        FV_TRY(fill_row(sweep, &sweep->runs[i], &rows[i]));
        n_begun += fv_json_size(rows[i].figures) > 0;
        n_named += fv_json_get(rows[i].figures, sweep->metric) != NULL;
    }
    FV_CHECK(n_named > 0 || n_begun == 0, FV_ERR_ARGUMENT,
             "no run has a figure \"%s\": metric must be one of their metrics.jsonl", sweep->metric);
    return FV_OK;
}

/* Best first, those without a figure last, equals by name. */
static int compare(const void *a, const void *b)
{
    const row *left = a, *right = b;
    if (isnan(left->metric) != isnan(right->metric))
        return isnan(left->metric) ? 1 : -1;
    if (left->metric != right->metric && !isnan(left->metric))
        return left->metric > right->metric ? -1 : 1;
    return strcmp(left->run->name, right->run->name);
}

static void print_table(const fv_sweep *sweep, const row *rows, int n)
{
    printf("%-40s %-14s %8s %12s\n", "run", "state", "step", sweep->metric);
    for (int i = 0; i < n; i++) {
        const row *r = &rows[i];
        printf("%-40s %-14s %8lld ", r->run->name, fv_sweep_state_names[r->state], (long long)r->step);
        if (isnan(r->metric))
            printf("%12s\n", "-");
        else
            printf("%12.5g\n", sweep->is_least_best ? -r->metric : r->metric);
    }
}

/* As CSV: what the run is, then all its figures. */

static fv_err print_cell(const fv_json *value, fv_buffer *out)
{
    fv_buffer text = {0};
    fv_err err = fv_json_kind_of(value) == FV_JSON_NULL ? FV_OK : fv_sweep_print_value(value, &text);
    int is_quoted = text.size && strpbrk(text.data, ",\"\n");
    if (err == FV_OK)
        err = fv_buffer_print(out, is_quoted ? ",\"" : ",");
    for (size_t i = 0; i < text.size && err == FV_OK; i++)
        err =
            fv_buffer_append(out, text.data[i] == '"' ? "\"\"" : &text.data[i], text.data[i] == '"' ? 2 : 1);
    if (err == FV_OK && is_quoted)
        err = fv_buffer_append(out, "\"", 1);
    fv_buffer_fini(&text);
    return err;
}

/* The figures that any run has, as keys of an object; counts by reason are left out. */
static fv_err gather_names(const row *rows, int n, fv_json *out)
{
    for (int r = 0; r < n; r++)
        for (void *i = fv_json_first(rows[r].figures); i; i = fv_json_next(rows[r].figures, i))
            if (fv_json_kind_of(fv_json_member(i)) != FV_JSON_OBJECT)
                FV_TRY(fv_json_set(out, fv_json_key(i), fv_json_make_null()));
    return FV_OK;
}

static fv_err print_row(const fv_sweep *sweep, const row *r, const fv_json *names, fv_buffer *out)
{
    FV_TRY(fv_buffer_print(out, "%s,%s", r->run->name, fv_sweep_state_names[r->state]));
    for (int k = 0; k < sweep->n_keys; k++)
        FV_TRY(print_cell(fv_json_get(r->run->values, sweep->keys[k]), out));
    for (void *i = fv_json_first(names); i; i = fv_json_next(names, i))
        FV_TRY(print_cell(fv_json_get(r->figures, fv_json_key(i)), out));
    return fv_buffer_append(out, "\n", 1);
}

static fv_err print_csv(const fv_sweep *sweep, const row *rows, const fv_json *names, fv_buffer *out)
{
    FV_TRY(fv_buffer_print(out, "run,state"));
    for (int k = 0; k < sweep->n_keys; k++)
        FV_TRY(fv_buffer_print(out, ",%s", sweep->keys[k]));
    for (void *i = fv_json_first(names); i; i = fv_json_next(names, i))
        FV_TRY(fv_buffer_print(out, ",%s", fv_json_key(i)));
    FV_TRY(fv_buffer_append(out, "\n", 1));
    for (int r = 0; r < sweep->n_runs; r++)
        FV_TRY(print_row(sweep, &rows[r], names, out));
    return FV_OK;
}

static fv_err write_csv(const fv_sweep *sweep, const row *rows)
{
    char path[PATH_MAX];
    fv_buffer text = {0};
    fv_json *names = fv_json_make_object();
    fv_err err = FV_OK;
    FV_CHECK_DONE(names, FV_ERR_MEMORY, "no memory for the names of figures");
    FV_TRY_DONE(fv_file_path(path, sizeof path, sweep->out, "results.csv"));
    FV_TRY_DONE(gather_names(rows, sweep->n_runs, names));
    FV_TRY_DONE(print_csv(sweep, rows, names, &text));
    FV_TRY_DONE(fv_file_write(path, text.data, text.size));
    printf("all figures: %s\n", path);
done:
    fv_json_destroy(names);
    fv_buffer_fini(&text);
    return err;
}

static fv_err collect(const fv_sweep *sweep, const fv_sweep_options *options, const fv_sweep_view *view,
                      row *rows)
{
    int n = options->best && options->best < sweep->n_runs ? options->best : sweep->n_runs;
    for (int i = 0; i < sweep->n_runs; i++)
        rows[i].state = view->items[i].state;
    FV_TRY(read_rows(sweep, rows));
    qsort(rows, (size_t)sweep->n_runs, sizeof *rows, compare);
    print_table(sweep, rows, n);
    return fv_file_exists(sweep->out) ? write_csv(sweep, rows) : FV_OK; /* before anything was submitted */
}

fv_err fv_sweep_collect(const fv_sweep *sweep, const fv_sweep_options *options)
{
    size_t n = (size_t)sweep->n_runs;
    fv_sweep_view view;
    FV_TRY(fv_sweep_look(sweep, &view));
    row *rows = calloc(n, sizeof *rows);
    fv_err err = rows ? collect(sweep, options, &view, rows)
                      : FV_FAIL(FV_ERR_MEMORY, "no memory for a table of %zu runs", n);
    for (size_t i = 0; rows && i < n; i++)
        fv_json_destroy(rows[i].figures);
    free(rows);
    fv_sweep_view_fini(&view);
    return err;
}
