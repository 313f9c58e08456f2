/* What becomes of a figure: a line, and an entry of the JSON. */
#include "jobs/bench/bench.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void print_time(const fv_bench_figure *f)
{
    const fv_bench_seconds *s = &f->seconds;
    printf("%-8s %-52s %10.2f s %+.1f %+.1f %%  [%.2f, %.0f %%]\n", f->name, f->what, s->median,
           100 * (s->least / s->median - 1), 100 * (s->most / s->median - 1), f->bound_s,
           100 * f->bound_s / s->median);
    fflush(stdout);
}

static void print_flops(double rate)
{
    int is_many = rate >= 1e12;
    printf("  %.4g %cFLOP/s", rate * (is_many ? 1e-12 : 1e-9), is_many ? 'T' : 'G');
}

static void print_figure(const fv_bench_figure *f)
{
    double rate = f->units / f->seconds.median, most = f->units / f->bound_s;
    if (!f->unit) {
        print_time(f);
        return;
    }
    printf("%-8s %-52s %10.*f %s/s %+.1f %+.1f %%  [%.*f, %.0f %%]", f->name, f->what, rate < 100 ? 2 : 0,
           rate, f->unit, 100 * (f->seconds.median / f->seconds.most - 1),
           100 * (f->seconds.median / f->seconds.least - 1), most < 100 ? 2 : 0, most, 100 * rate / most);
    if (f->flops > 0)
        print_flops(f->flops / f->seconds.median);
    printf("  %.2f GB", (double)f->seconds.peak * 1e-9);
    if (isfinite(f->seconds.idle_share))
        printf("  %.1f %% idle", 100 * f->seconds.idle_share);
    printf("\n");
    fflush(stdout);
}

static void print_profile(const fv_backend *backend)
{
    double all = 0;
    for (int i = 0; i < FV_N_OPS; i++)
        all += (double)backend->timer[i].ns;
    for (int i = 0; i < FV_N_OPS; i++) {
        const fv_op_timer *t = &backend->timer[i];
        if (t->n_calls > 0)
            printf("    %-16s %8lld calls %10.3f ms %5.1f %%\n", fv_op_name((fv_op)i), (long long)t->n_calls,
                   (double)t->ns * 1e-6, 100 * (double)t->ns / all);
    }
}

static fv_err fill_profile(const fv_backend *backend, fv_json *one)
{
    fv_json *list = fv_json_make_array();
    FV_TRY(fv_json_set(one, "operations", list));
    for (int i = 0; i < FV_N_OPS; i++) {
        const fv_op_timer *t = &backend->timer[i];
        if (t->n_calls == 0)
            continue;
        fv_json *entry = fv_json_make_object();
        FV_TRY(fv_json_append(list, entry));
        FV_TRY(fv_json_set_text(entry, "name", fv_op_name((fv_op)i)));
        FV_TRY(fv_json_set(entry, "calls", fv_json_make_integer(t->n_calls)));
        FV_TRY(fv_json_set(entry, "seconds", fv_json_make_real((double)t->ns * 1e-9)));
    }
    return FV_OK;
}

/* A figure without a unit is a time: the less the better. */
static fv_err fill(const fv_bench_figure *f, fv_json *one)
{
    const fv_bench_seconds *s = &f->seconds;
    int is_time = !f->unit;
    const struct {
        const char *name;
        double value;
    } values[] = {{"value", is_time ? s->median : f->units / s->median},
                  {"slowest", is_time ? s->most : f->units / s->most},
                  {"fastest", is_time ? s->least : f->units / s->least},
                  {"ceiling", is_time ? f->bound_s : f->units / f->bound_s},
                  {"share", f->bound_s / s->median},
                  {"seconds", s->median},
                  {"flops_per_s", f->flops / s->median},
                  {"peak_bytes", (double)s->peak},
                  {"idle_share", s->idle_share}};
    char unit[32] = "s";
    if (!is_time)
        snprintf(unit, sizeof unit, "%s/s", f->unit);
    FV_TRY(fv_json_set_text(one, "name", f->name));
    FV_TRY(fv_json_set_text(one, "what", f->what));
    FV_TRY(fv_json_set_text(one, "unit", unit));
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        FV_TRY(fv_json_set(one, values[i].name,
                           isfinite(values[i].value) ? fv_json_make_real(values[i].value)
                                                     : fv_json_make_null()));
    return FV_OK;
}

fv_err fv_bench_tell(fv_bench *bench, const fv_bench_figure *figure)
{
    const fv_bench_options *o = &bench->options;
    int is_table = !o->json || strcmp(o->json, "-") != 0;
    if (bench->runtime.world->rank != 0)
        return FV_OK;
    if (is_table)
        print_figure(figure);
    int is_profiled = o->is_profile && !figure->is_part;
    if (is_table && is_profiled)
        print_profile(bench->runtime.backend);
    fv_json *one = fv_json_make_object();
    FV_TRY(fv_json_append(bench->figures, one));
    FV_TRY(fill(figure, one));
    if (bench->any_order)
        FV_TRY(fv_bench_tell_any_order(bench, figure, is_table, one));
    return is_profiled ? fill_profile(bench->runtime.backend, one) : FV_OK;
}
