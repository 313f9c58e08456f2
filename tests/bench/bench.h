/* What benchmarks share. */
#ifndef FOVEA_TESTS_BENCH_H
#define FOVEA_TESTS_BENCH_H

#include <stdlib.h>
#include <time.h>

static inline double bench_read(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static inline double bench_now(void)
{
    return bench_read(CLOCK_MONOTONIC);
}

/* Seconds that this thread has run: for what takes one core, other programs disturb it less. */
static inline double bench_thread_now(void)
{
    return bench_read(CLOCK_THREAD_CPUTIME_ID);
}

static inline int bench_rising(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Sorts the values. */
static inline double bench_median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, bench_rising);
    return values[n / 2];
}

#endif
