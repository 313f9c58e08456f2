/* Repeats, the two rates, and what becomes of a figure. */
#include "jobs/bench/bench.h"

#include "fovea/base/clock.h"
#include "fovea/base/process/stop.h"
#include "fovea/model/nn/cache.h"
#include "fovea/ops/profile.h"
#include "fovea/ops/staging.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Repeats. */

static fv_err repeat(fv_backend *backend, const fv_bench_work *work, double *seconds)
{
    if (work->prepare)
        FV_TRY(work->prepare(work->context));
    FV_TRY(fv_backend_synchronize(backend));
    double from = fv_clock_now();
    FV_TRY(work->run(work->context));
    FV_TRY(fv_backend_synchronize(backend));
    *seconds = fv_clock_now() - from;
    return FV_OK;
}

/* Ctrl-C ends the measurement after the repeat under way, and what it has made is removed. */
static fv_err check_stop(const fv_bench *bench)
{
    double is_stopped = fv_stop_requested();
    FV_TRY(fv_comm_all_reduce_max(bench->runtime.world, &is_stopped));
    return is_stopped > 0 ? FV_FAIL(FV_STOPPED, "interrupted") : FV_OK;
}

static int rising(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

fv_bench_seconds fv_bench_seconds_of(double *seconds, int n)
{
    qsort(seconds, (size_t)n, sizeof *seconds, rising);
    return (fv_bench_seconds){
        .median = (seconds[(n - 1) / 2] + seconds[n / 2]) / 2, .least = seconds[0], .most = seconds[n - 1]};
}

/* One more repeat, for the time by operation. */
static fv_err profile(fv_bench *bench, const fv_bench_work *work)
{
    fv_backend *backend = bench->runtime.backend;
    if (work->prepare)
        FV_TRY(work->prepare(work->context));
    FV_TRY(fv_profile_start(backend));
    fv_err err = work->run(work->context);
    fv_err stopped = fv_profile_stop(backend);
    return err == FV_OK ? stopped : err;
}

fv_err fv_bench_measure(fv_bench *bench, const fv_bench_work *work, fv_bench_seconds *out)
{
    fv_backend *backend = bench->runtime.backend;
    double seconds[FV_BENCH_MAX_REPEATS], first;
    int n = bench->options.repeats;
    backend->memory.peak = backend->memory.bytes;
    FV_TRY(repeat(backend, work, &first));
    for (int i = 0; i < n; i++) {
        FV_TRY(check_stop(bench));
        FV_TRY(repeat(backend, work, &seconds[i]));
        FV_TRY(fv_comm_all_reduce_max(bench->runtime.world, &seconds[i]));
    }
    if (bench->options.is_profile)
        FV_TRY(profile(bench, work));
    *out = fv_bench_seconds_of(seconds, n);
    out->peak = backend->memory.peak;
    return FV_OK;
}

/* Rates. */

/* One call, so many times that a clock can see it. */
typedef struct loop {
    fv_backend *backend;
    fv_copy_args copy;
    fv_sumsq_args sum; /* over copy.in */
    fv_gemm_args product;
    void *host; /* pinned; what copy.in is uploaded from */
    fv_err (*call)(const struct loop *);
} loop;

static fv_err copy(const loop *l)
{
    return fv_copy(l->backend, &l->copy);
}

/* A sum reads everything and writes nothing. */
static fv_err read_all(const loop *l)
{
    return fv_sumsq(l->backend, &l->sum);
}

static fv_err multiply(const loop *l)
{
    return fv_gemm(l->backend, &l->product);
}

static fv_err upload(const loop *l)
{
    return fv_upload(l->backend, FV_STREAM_COPY, l->copy.in, l->host);
}

enum { CALLS = 8 };

static fv_err run_loop(void *context)
{
    const loop *l = context;
    for (int i = 0; i < CALLS; i++)
        FV_TRY(l->call(l));
    return FV_OK;
}

/* Units a second of one call. */
static fv_err find_rate(fv_bench *bench, loop *l, double units, double *rate)
{
    fv_bench_seconds seconds;
    FV_TRY(fv_bench_measure(bench, &(fv_bench_work){.run = run_loop, .context = l}, &seconds));
    *rate = CALLS * units / seconds.median;
    return FV_OK;
}

/* Of the dtype of weights, all of them one. */
static fv_err take(fv_bench *bench, int64_t rows, int64_t cols, fv_tensor *out)
{
    fv_dtype dtype = fv_model_precision(bench->runtime.model)->param;
    void *memory;
    FV_TRY(fv_backend_alloc(bench->runtime.backend, (size_t)(rows * cols) * fv_dtype_bytes(dtype), &memory));
    *out = fv_tensor_2d(memory, dtype, rows, cols);
    return fv_fill(bench->runtime.backend, &(fv_fill_args){.x = *out, .value = 1});
}

/* The sum's small tensors are in the memory that is copied to. */
static fv_err set_sum(loop *l)
{
    int64_t n = (int64_t)(fv_tensor_span_bytes(l->copy.in) / sizeof(float)), all[2] = {0, n};
    char *at = l->copy.out.data;
    l->sum = (fv_sumsq_args){.x = fv_tensor_1d(l->copy.in.data, FV_F32, n),
                             .segments = fv_tensor_2d(at, FV_I64, 1, 2),
                             .out = fv_tensor_1d(at + FV_ARENA_ALIGN, FV_F64, 1)};
    return fv_upload_array(l->backend, l->sum.segments, all);
}

static fv_err find_memory_rate(fv_bench *bench, loop *l, int64_t rows)
{
    enum { COLS = 4096 };
    FV_TRY(take(bench, rows, COLS, &l->copy.in));
    FV_TRY(take(bench, rows, COLS, &l->copy.out));
    double bytes = (double)fv_tensor_span_bytes(l->copy.in), reading = 0;
    l->call = copy;
    FV_TRY(find_rate(bench, l, 2 * bytes, &bench->memory_rate));
    FV_TRY(set_sum(l));
    l->call = read_all;
    FV_TRY(find_rate(bench, l, bytes, &reading));
    bench->memory_rate = reading > bench->memory_rate ? reading : bench->memory_rate;
    if (!bench->options.asked[FV_BENCH_start])
        return FV_OK;
    l->call = upload;
    FV_TRY(fv_host_alloc(l->backend, fv_tensor_span_bytes(l->copy.in), &l->host));
    memset(l->host, 0, fv_tensor_span_bytes(l->copy.in));
    return find_rate(bench, l, bytes, &bench->upload_rate);
}

/* n numbers of the weights from place i of n on, as row i of a matrix. */
static fv_err copy_weights(fv_backend *backend, fv_tensor flat, int64_t i, fv_tensor to)
{
    int64_t n = to.dim[1], from = (flat.dim[0] - n) / to.dim[0] * i;
    if (from < 0)
        return FV_OK;
    return fv_copy(backend,
                   &(fv_copy_args){.in = fv_tensor_2d(fv_tensor_rows(flat, from, n).data, flat.dtype, 1, n),
                                   .out = fv_tensor_rows(to, i, 1)});
}

/* Of numbers as the weights are: bits that change all the time take the power, and so leave the clock, of
 * real work. */
static fv_err find_products(fv_bench *bench, loop *l, int64_t n)
{
    fv_tensor flat = fv_model_weights(bench->runtime.model)->flat;
    double size = (double)n;
    l->call = multiply;
    l->product.trans_b = 1;
    FV_TRY(take(bench, n, n, &l->product.a));
    FV_TRY(take(bench, n, n, &l->product.b));
    FV_TRY(take(bench, n, n, &l->product.c));
    for (int64_t i = 0; i < n; i++) {
        FV_TRY(copy_weights(l->backend, flat, i, l->product.a));
        FV_TRY(copy_weights(l->backend, flat, n - 1 - i, fv_tensor_rows(l->product.b, 0, n)));
    }
    bench->product_size = (int)n;
    return find_rate(bench, l, 2 * size * size * size, &bench->product_rate);
}

fv_err fv_bench_find_ceilings(fv_bench *bench)
{
    fv_backend *backend = bench->runtime.backend;
    int is_cuda = bench->runtime.backend_kind == FV_BACKEND_CUDA;
    loop copies = {.backend = backend}, products = {.backend = backend};
    fv_err err = find_memory_rate(bench, &copies, is_cuda ? 1 << 17 : 1 << 13);
    if (err == FV_OK)
        err = find_products(bench, &products, is_cuda ? 8192 : 1024);
    fv_tensor *const taken[] = {&copies.copy.in, &copies.copy.out, &products.product.a, &products.product.b,
                                &products.product.c};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        fv_backend_release(backend, taken[i]->data);
    fv_host_free(backend, copies.host);
    return err;
}

double fv_bench_bound(const fv_bench *bench, double bytes, double flops)
{
    double moving = bytes / bench->memory_rate, computing = flops / bench->product_rate;
    return moving > computing ? moving : computing;
}

double fv_bench_weight_bytes(const fv_bench *bench)
{
    const fv_layout *layout = fv_model_layout(bench->runtime.model);
    const fv_weights *weights = fv_model_weights(bench->runtime.model);
    double n = 0;
    for (int i = 0; i < layout->params.n; i++) {
        const fv_param *param = &layout->params.items[i];
        int is_looked_up = weights->head.data != weights->embed.data && strstr(param->name, "embed_tokens");
        fv_param_part part = fv_param_part_of(param, layout->rank, layout->n_ranks);
        if (strncmp(param->name, "visual.", strlen("visual.")) != 0 && !is_looked_up)
            n += (double)part.rows * (double)part.cols;
    }
    return n * (double)fv_dtype_bytes(weights->flat.dtype);
}

double fv_bench_cache_bytes(const fv_bench *bench)
{
    return (double)fv_cache_page_bytes(bench->runtime.model) / FV_PAGE;
}

/* Figures. */

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
    printf("  %.2f GB\n", (double)f->seconds.peak * 1e-9);
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
                  {"peak_bytes", (double)s->peak}};
    char unit[32] = "s";
    if (!is_time)
        snprintf(unit, sizeof unit, "%s/s", f->unit);
    FV_TRY(fv_json_set_text(one, "name", f->name));
    FV_TRY(fv_json_set_text(one, "what", f->what));
    FV_TRY(fv_json_set_text(one, "unit", unit));
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        FV_TRY(fv_json_set(one, values[i].name, fv_json_make_real(values[i].value)));
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
