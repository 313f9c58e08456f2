/* Collectives as operations, over ranks that hold different numbers: values, places, and the order of sums.
 */
#include "test.h"

#include "fovea/ops/staging.h"

#include <math.h>
#include <stdlib.h>

static fv_comm *world;
static fv_backend *backends[2]; /* plain and checked */

static float value(int rank, size_t i)
{
    return (float)((rank * 7919 + (int)(i % 100003) * 1047) % 1000) * 0.37f - 180.0f;
}

/* sum(lo, hi) by its definition. */
static float tree(int lo, int hi, size_t i)
{
    int half = 1;
    if (hi - lo == 1)
        return value(lo, i);
    while (2 * half < hi - lo)
        half *= 2;
    return tree(lo, lo + half, i) + tree(lo + half, hi, i);
}

static fv_tensor vector(fv_backend *backend, size_t n)
{
    void *memory;
    float *host = malloc((n + 1) * sizeof *host);
    for (size_t i = 0; i < n; i++)
        host[i] = value(world->rank, i);
    assert_ok(fv_backend_alloc(backend, n * sizeof *host, &memory));
    fv_tensor t = fv_tensor_1d(memory, FV_F32, (int64_t)n);
    assert_ok(fv_upload_array(backend, t, host));
    free(host);
    return t;
}

/* Elements first, first + 1, ... of the sum over ranks, or of the numbers of one rank. */
static void expect(fv_backend *backend, fv_tensor t, int rank, size_t first)
{
    size_t n = (size_t)fv_tensor_count(t);
    float *host = malloc((n + 1) * sizeof *host);
    assert_ok(fv_download_now(backend, t, host));
    for (size_t i = 0; i < n; i++) {
        float want = rank < 0 ? tree(0, world->size, first + i) : value(rank, first + i);
        assert_memory_equal(&want, &host[i], sizeof want);
    }
    free(host);
}

static const size_t sizes[] = {1, 7, 4096, 4097, 100003, (1 << 20) + 5};
enum { N_SIZES = sizeof sizes / sizeof *sizes };

static void check_reductions(fv_backend *backend, size_t n)
{
    size_t size = (size_t)world->size, share = n / size, own = (size_t)world->rank * share;
    fv_tensor x = vector(backend, n), in = vector(backend, share * size), out = vector(backend, share);
    assert_ok(fv_all_reduce(backend, &(fv_all_reduce_args){world, x}));
    expect(backend, x, -1, 0);
    assert_ok(fv_reduce_scatter(backend, &(fv_reduce_scatter_args){world, in, out}));
    expect(backend, out, -1, own);
    expect(backend, in, world->rank, 0);
    fv_tensor place = fv_tensor_rows(in, (int64_t)own, (int64_t)share);
    assert_ok(fv_reduce_scatter(backend, &(fv_reduce_scatter_args){world, in, place}));
    expect(backend, place, -1, own);
    expect(backend, fv_tensor_rows(in, 0, (int64_t)own), world->rank, 0);
    fv_backend_free(backend, x.data);
    fv_backend_free(backend, in.data);
    fv_backend_free(backend, out.data);
}

static void check_copies(fv_backend *backend, size_t n)
{
    fv_tensor in = vector(backend, n), out = vector(backend, n * (size_t)world->size);
    assert_ok(fv_all_gather(backend, &(fv_all_gather_args){world, in, out}));
    for (int rank = 0; rank < world->size; rank++)
        expect(backend, fv_tensor_rows(out, rank * (int64_t)n, (int64_t)n), rank, 0);
    fv_tensor again = vector(backend, n * (size_t)world->size);
    fv_tensor place = fv_tensor_rows(again, world->rank * (int64_t)n, (int64_t)n);
    assert_ok(fv_all_gather(backend, &(fv_all_gather_args){world, place, again}));
    for (int rank = 0; rank < world->size; rank++)
        expect(backend, fv_tensor_rows(again, rank * (int64_t)n, (int64_t)n), rank, (size_t)rank * n);
    assert_ok(fv_broadcast(backend, &(fv_broadcast_args){world, in, world->size - 1}));
    expect(backend, in, world->size - 1, 0);
    fv_backend_free(backend, in.data);
    fv_backend_free(backend, out.data);
    fv_backend_free(backend, again.data);
}

static void each_case(void (*check)(fv_backend *, size_t))
{
    for (int i = 0; i < 2 * N_SIZES; i++)
        check(backends[i % 2], sizes[i / 2]);
}

static void test_reductions(void **state)
{
    (void)state;
    each_case(check_reductions);
}

static void test_copies(void **state)
{
    (void)state;
    each_case(check_copies);
}

/* The best of what ranks have found: of the highest value, of equal ones the lowest id. */
static void test_all_best(void **state)
{
    (void)state;
    enum { N = 1000 };
    float value[N], z[N];
    int32_t ids[N];
    for (int b = 0; b < 2; b++) {
        fv_tensor v = vector(backends[b], N), s = vector(backends[b], N), i = vector(backends[b], N);
        i.dtype = FV_I32;
        for (int t = 0; t < N; t++) { /* on some rows all are equal, on some none has found any */
            value[t] = t % 10 == 0 ? -INFINITY : t % 3 == 0 ? 1.0f : (float)(world->rank * 7 * t % 11);
            z[t] = (float)world->rank;
            ids[t] = t % 10 == 0 ? -1 : 100 * (world->size - world->rank) + t;
        }
        assert_ok(fv_upload_array(backends[b], v, value));
        assert_ok(fv_upload_array(backends[b], s, z));
        assert_ok(fv_upload_array(backends[b], i, ids));
        assert_ok(fv_all_best(backends[b], &(fv_all_best_args){world, v, s, i}));
        assert_ok(fv_download_now(backends[b], v, value));
        assert_ok(fv_download_now(backends[b], s, z));
        assert_ok(fv_download_now(backends[b], i, ids));
        for (int t = 0; t < N; t++) {
            int best = world->size - 1; /* has the lowest ids */
            for (int rank = 0; rank < world->size && t % 3; rank++)
                if (rank * 7 * t % 11 > best * 7 * t % 11 ||
                    (rank * 7 * t % 11 == best * 7 * t % 11 && rank > best))
                    best = rank;
            assert_int_equal(ids[t], t % 10 == 0 ? -1 : 100 * (world->size - best) + t);
            assert_true(t % 10 == 0 || z[t] == (float)best);
        }
        fv_backend_free(backends[b], v.data);
        fv_backend_free(backends[b], s.data);
        fv_backend_free(backends[b], i.data);
    }
}

/* A reduction allocates on its first call only. */
static void test_staging_does_not_grow(void **state)
{
    (void)state;
    fv_tensor x = vector(backends[0], 1 << 21);
    assert_ok(fv_all_reduce(backends[0], &(fv_all_reduce_args){world, fv_tensor_rows(x, 0, 1)}));
    const void *staging = world->staging;
    assert_ok(fv_all_reduce(backends[0], &(fv_all_reduce_args){world, x}));
    assert_ptr_equal(world->staging, staging);
    fv_backend_free(backends[0], x.data);
}

static void test_arguments(void **state)
{
    (void)state;
    fv_backend *backend = backends[0];
    fv_tensor x = vector(backend, 12), matrix = fv_tensor_2d(x.data, FV_F32, 3, 4);
    fv_tensor cols = fv_tensor_cols(matrix, 0, 2), ints = fv_tensor_1d(x.data, FV_I32, 12);
    assert_fails(fv_all_reduce(backend, &(fv_all_reduce_args){NULL, x}), FV_ERR_ARGUMENT, "process group");
    assert_fails(fv_all_reduce(backend, &(fv_all_reduce_args){world, cols}), FV_ERR_SHAPE,
                 "4 elements apart");
    assert_fails(fv_all_reduce(backend, &(fv_all_reduce_args){world, ints}), FV_ERR_SHAPE, "is I32");
    assert_fails(fv_all_gather(backend, &(fv_all_gather_args){world, x, fv_tensor_rows(x, 0, 11)}),
                 FV_ERR_SHAPE, "all_gather: tensor out");
    assert_fails(fv_reduce_scatter(backend, &(fv_reduce_scatter_args){world, fv_tensor_rows(x, 0, 11), x}),
                 FV_ERR_SHAPE, "reduce_scatter: tensor in");
    assert_fails(fv_broadcast(backend, &(fv_broadcast_args){world, x, world->size}), FV_ERR_ARGUMENT, "root");
    fv_backend_free(backend, x.data);
}

int main(void)
{
    if (fv_comm_world(&world) != FV_OK)
        return 1;
    fv_backend *inner;
    assert_ok(fv_backend_cpu_create(NULL, 1, &backends[0]));
    assert_ok(fv_backend_cpu_create(NULL, 1, &inner));
    assert_ok(fv_backend_check_create(inner, &backends[1]));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reductions), cmocka_unit_test(test_copies), cmocka_unit_test(test_all_best),
        cmocka_unit_test(test_staging_does_not_grow), cmocka_unit_test(test_arguments)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fv_backend_destroy(backends[0]);
    fv_backend_destroy(backends[1]);
    fv_comm_destroy(world);
    return failed;
}
