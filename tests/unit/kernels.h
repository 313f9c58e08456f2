/* What the tests of the CPU kernels share: back ends of every instruction set and thread count, reproducible
 * numbers, and a check that a case gives the same bits on all of them. */
#ifndef FOVEA_TEST_KERNELS_H
#define FOVEA_TEST_KERNELS_H

#include "test.h"

#include "fovea/backend.h"
#include "fovea/rng.h"

#include <math.h>
#include <stdlib.h>

/* A case allocates nothing and fills out (n) through the back end it is given. */
typedef void (*kernel_case)(fv_backend *backend, float *out);

static inline void fill_normal(float *x, int64_t n, uint32_t stream, float scale)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = scale * fv_rng_normal((fv_rng_key){.seed = 7, .step = stream}, (uint32_t)i);
}

static inline fv_tensor f32_1d(const float *x, int64_t n)
{
    return fv_tensor_1d((void *)(uintptr_t)x, FV_F32, n);
}

static inline fv_tensor f32_2d(const float *x, int64_t rows, int64_t cols)
{
    return fv_tensor_2d((void *)(uintptr_t)x, FV_F32, rows, cols);
}

static inline fv_tensor i32_1d(const int32_t *x, int64_t n)
{
    return fv_tensor_1d((void *)(uintptr_t)x, FV_I32, n);
}

/* The back end number i of those that this processor has; NULL past the last. The first is the plainest. */
static inline fv_backend *variant(int i)
{
    static const struct {
        const char *isa;
        int n_threads;
    } all[] = {{"portable", 1}, {"portable", 4}, {"avx2", 1},  {"avx2", 2},
               {"avx2", 4},     {"avx512", 1},   {"avx512", 3}};
    fv_backend *backend = NULL;
    for (int seen = 0, k = 0; k < (int)(sizeof all / sizeof *all) && !backend; k++) {
        fv_err err = fv_backend_cpu_create(all[k].isa, all[k].n_threads, &backend);
        if (err == FV_ERR_UNSUPPORTED)
            continue;
        assert_ok(err);
        if (seen++ == i)
            return backend;
        fv_backend_destroy(backend);
        backend = NULL;
    }
    return NULL;
}

static inline fv_backend *best(void)
{
    fv_backend *backend = NULL;
    assert_ok(fv_backend_cpu_create(NULL, 2, &backend));
    return backend;
}

static inline void assert_same_bits(const void *a, const void *b, int64_t n, const char *what)
{
    const uint32_t *x = a, *y = b;
    for (int64_t i = 0; i < n; i++)
        if (x[i] != y[i])
            fail_msg("%s: element %lld is %08x and %08x", what, (long long)i, (unsigned)x[i], (unsigned)y[i]);
}

/* run gives the same n floats everywhere. */
static inline void check_same_bits(kernel_case run, int64_t n)
{
    float *first = calloc((size_t)n, sizeof *first), *out = calloc((size_t)n, sizeof *out);
    assert_non_null(first);
    assert_non_null(out);
    fv_backend *backend = variant(0);
    run(backend, first);
    fv_backend_destroy(backend);
    for (int i = 1; (backend = variant(i)); i++) {
        memset(out, 0xff, (size_t)n * sizeof *out);
        run(backend, out);
        assert_same_bits(first, out, n, backend->table->name);
        fv_backend_destroy(backend);
    }
    free(first);
    free(out);
}

static inline void assert_near(double found, double expected, double tolerance, const char *what)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("%s: %.9g is not within %.2g of %.9g", what, found, tolerance, expected);
}

/* Central difference of f at x[i]. */
typedef double (*scalar_function)(const double *x, const void *context);
static inline double slope(scalar_function f, double *x, int64_t i, const void *context)
{
    double at = x[i], step = 1e-5 * (1.0 + fabs(at));
    x[i] = at + step;
    double up = f(x, context);
    x[i] = at - step;
    double down = f(x, context);
    x[i] = at;
    return (up - down) / (2.0 * step);
}

#define RUN(backend, op, ...) assert_ok((backend)->table->op((backend), &(fv_##op##_args){__VA_ARGS__}))

#endif
