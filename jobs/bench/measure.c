/* Repeats, and the two rates. */
#include "jobs/bench/bench.h"

#include "fovea/base/clock.h"
#include "fovea/base/process/stop.h"
#include "fovea/model/nn/cache.h"
#include "fovea/ops/idle.h"
#include "fovea/ops/profile.h"
#include "fovea/ops/staging.h"

#include <math.h>
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
    return (fv_bench_seconds){.median = (seconds[(n - 1) / 2] + seconds[n / 2]) / 2,
                              .least = seconds[0],
                              .most = seconds[n - 1],
                              .idle_share = (double)NAN};
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

static fv_err repeat_all(fv_bench *bench, const fv_bench_work *work, double *seconds)
{
    for (int i = 0; i < bench->options.repeats; i++) {
        FV_TRY(check_stop(bench));
        FV_TRY(repeat(bench->runtime.backend, work, &seconds[i]));
        FV_TRY(fv_comm_all_reduce_max(bench->runtime.world, &seconds[i]));
    }
    return FV_OK;
}

/* With what this process' device had nothing to do. */
static fv_err watch_all(fv_bench *bench, const fv_bench_work *work, double *seconds, double *idle_share)
{
    fv_idle *idle;
    FV_TRY(fv_idle_start(bench->runtime.backend, &idle));
    fv_err err = repeat_all(bench, work, seconds);
    *idle_share = fv_idle_share((fv_idle_counts){0}, fv_idle_look(idle));
    fv_idle_stop(idle);
    return err;
}

fv_err fv_bench_measure(fv_bench *bench, const fv_bench_work *work, fv_bench_seconds *out)
{
    fv_backend *backend = bench->runtime.backend;
    double seconds[FV_BENCH_MAX_REPEATS], first, idle_share = (double)NAN;
    backend->memory.peak = backend->memory.bytes;
    FV_TRY(repeat(backend, work, &first));
    FV_TRY(watch_all(bench, work, seconds, &idle_share));
    if (bench->options.is_profile)
        FV_TRY(profile(bench, work));
    *out = fv_bench_seconds_of(seconds, bench->options.repeats);
    out->peak = backend->memory.peak;
    out->idle_share = idle_share;
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
