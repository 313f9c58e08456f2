/* fovea bench: how fast this machine is, beside what it could do at most.
 *
 * A measurement prepares, runs once without counting, and then some times; its figure is the median. What the
 * machine could do at most follows from two rates that are measured beside it, on the same back end: copies
 * of a large tensor, and a large square product. Every function is Collective over the processes of world. */
#ifndef FOVEA_JOBS_BENCH_H
#define FOVEA_JOBS_BENCH_H

#include "jobs/bench/options.h"

#include "fovea/io/json.h"

/* Seconds of a repeat. */
typedef struct fv_bench_seconds {
    double median, least, most;
    size_t peak;       /* bytes of tensors, the most at once */
    double idle_share; /* of the time that the device had nothing to do (idle.h); NaN: unknown */
} fv_bench_seconds;

typedef struct fv_bench {
    fv_bench_options options;
    fv_runtime runtime; /* its model is open */
    const char *shape_name;
    double
        memory_rate; /* bytes a second, of a copy, read and written, or of a sum, which reads: the larger */
    double product_rate; /* operations a second */
    double upload_rate;  /* bytes a second from pinned memory; if a start is measured */
    int product_size;
    fv_bench_seconds start; /* of processes, measured before everything else, */
    double start_bytes;     /* and of the folder that they read */
    fv_json *figures;       /* owned: a list */
    fv_json *any_order;     /* owned: what the same command measured without the same bits; or NULL */
} fv_bench;

/* What is measured. */
typedef struct fv_bench_work {
    fv_err (*prepare)(void *context); /* before each repeat, not timed; NULL: nothing */
    fv_err (*run)(void *context);     /* it is waited for */
    void *context;
} fv_bench_work;

/* Of n times, which are sorted. Local. */
fv_bench_seconds fv_bench_seconds_of(double *seconds, int n);

fv_err fv_bench_measure(fv_bench *bench, const fv_bench_work *work, fv_bench_seconds *out);

/* A figure: units / seconds.median, of a repeat that takes bound_s at least. */
typedef struct fv_bench_figure {
    const char *name, *unit; /* unit: "tokens", a second; NULL: the figure is the time */
    char what[96];
    double units, bound_s, flops; /* flops 0: not told */
    fv_bench_seconds seconds;
    int is_part; /* of the one before: what that says of operations is not said again */
} fv_bench_figure;

/* Print it on rank 0, and keep it for the JSON. Local. */
fv_err fv_bench_tell(fv_bench *bench, const fv_bench_figure *figure);

/* Measure the two rates, once the runtime is open. */
fv_err fv_bench_find_ceilings(fv_bench *bench);

/* The seconds that so much takes at least: the slower of the two. Local. */
double fv_bench_bound(const fv_bench *bench, double bytes, double flops);

/* Bytes that a pass of the decoder reads of weights, and of the cache for each token in it. Local. */
double fv_bench_weight_bytes(const fv_bench *bench);
double fv_bench_cache_bytes(const fv_bench *bench);

/* Start processes, as long as this one has no device and is no rank yet; fv_bench_start tells of it. Local.
 */
fv_err fv_bench_find_start(fv_bench *bench);

/* What the same bits cost: measure without them, in another process, before this one has a device; then add
 * what they cost to a figure, the last of bench->figures. Local. */
fv_err fv_bench_find_any_order(fv_bench *bench);
fv_err fv_bench_tell_any_order(const fv_bench *bench, const fv_bench_figure *figure, int is_printed,
                               fv_json *one);

#define X(name, help) fv_err fv_bench_##name(fv_bench *bench);
FV_BENCH_LIST(X)
#undef X

#endif
