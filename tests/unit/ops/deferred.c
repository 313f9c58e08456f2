/* The deferred back end: host code that would race on a device is found, whatever the timing; code that waits
 * has the results of the back end inside. */
#include "test.h"

#include "fovea/ops/staging.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 8 };

typedef struct fixture {
    fv_backend *backend;
    void *memory;        /* of the tensors */
    float *up, *down;    /* pinned, (N) */
    fv_tensor a, b, sum; /* (1, N) */
    fv_event *event;
} fixture;

static int setup(void **state)
{
    static fixture f;
    void *up, *down;
    fv_backend *inner;
    if (fv_backend_cpu_create(NULL, 2, &inner) != FV_OK || fv_backend_check_create(inner, &inner) != FV_OK ||
        fv_backend_deferred_create(inner, &f.backend) != FV_OK ||
        fv_backend_alloc(f.backend, 3 * 256, &f.memory) != FV_OK ||
        fv_host_alloc(f.backend, N * sizeof(float), &up) != FV_OK ||
        fv_host_alloc(f.backend, N * sizeof(float), &down) != FV_OK ||
        fv_event_create(f.backend, &f.event) != FV_OK)
        return -1;
    f.up = up;
    f.down = down;
    f.a = fv_tensor_2d(f.memory, FV_F32, 1, N);
    f.b = fv_tensor_2d((char *)f.memory + 256, FV_F32, 1, N);
    f.sum = fv_tensor_2d((char *)f.memory + 512, FV_F32, 1, N);
    float ones[N];
    for (int i = 0; i < N; i++)
        f.up[i] = ones[i] = 1;
    if (fv_upload_array(f.backend, f.a, ones) != FV_OK || fv_upload_array(f.backend, f.b, ones) != FV_OK ||
        fv_backend_synchronize(f.backend) != FV_OK)
        return -1;
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    fv_backend_synchronize(f->backend);
    fv_event_destroy(f->backend, f->event);
    fv_host_free(f->backend, f->up);
    fv_host_free(f->backend, f->down);
    fv_backend_free(f->backend, f->memory);
    fv_backend_destroy(f->backend);
    return 0;
}

static fv_err add(const fixture *f)
{
    return fv_add(f->backend, &(fv_add_args){.a = f->a, .b = f->b, .out = f->sum});
}

/* Two uploads, a sum, a download: 5 + 1. */
static void queue_sum(fixture *f)
{
    for (int i = 0; i < N; i++)
        f->up[i] = 5;
    assert_ok(fv_upload(f->backend, FV_STREAM_COMPUTE, f->a, f->up));
    assert_ok(add(f));
    assert_ok(fv_download(f->backend, FV_STREAM_COMPUTE, f->sum, f->down));
    assert_ok(fv_event_record(f->backend, f->event, FV_STREAM_COMPUTE));
}

/* What is read before it is there is a NaN, and no number that happened to lie there. */
static void test_early_read(void **state)
{
    fixture *f = *state;
    for (int i = 0; i < N; i++)
        f->down[i] = 6;
    queue_sum(f);
    for (int i = 0; i < N; i++)
        assert_true(isnan(f->down[i]));
    assert_ok(fv_event_synchronize(f->backend, f->event));
    for (int i = 0; i < N; i++)
        assert_true(f->down[i] == 6);
}

/* Pinned memory belongs to its copy until that has run. */
static void test_early_reuse(void **state)
{
    fixture *f = *state;
    queue_sum(f);
    f->up[N - 1] = 7;
    assert_fails(fv_event_synchronize(f->backend, f->event), FV_ERR_INTERNAL,
                 "the host wrote to 32 bytes of pinned memory before they were uploaded");
    assert_ok(fv_backend_synchronize(f->backend));
    queue_sum(f);
    f->down[0] = 7;
    assert_fails(fv_event_synchronize(f->backend, f->event), FV_ERR_INTERNAL,
                 "the host wrote to 32 bytes of pinned memory before the download to them");
    queue_sum(f);
    assert_ok(fv_event_synchronize(f->backend, f->event));
    f->up[0] = f->down[0] = 7;
    assert_ok(fv_backend_synchronize(f->backend));
}

/* Streams that use the same bytes without an event between; the order of the calls does not excuse them. */
static void test_missing_wait(void **state)
{
    fixture *f = *state;
    fv_backend *backend = f->backend;
    assert_ok(fv_upload(backend, FV_STREAM_COPY, f->a, f->up));
    assert_fails(add(f), FV_ERR_INTERNAL,
                 "add on the compute stream reads a while upload on the copy stream may still write it");
    assert_ok(fv_event_record(backend, f->event, FV_STREAM_COPY));
    assert_ok(fv_event_wait(backend, f->event, FV_STREAM_COMPUTE));
    assert_ok(add(f));
    assert_fails(
        fv_download(backend, FV_STREAM_COPY, f->sum, f->down), FV_ERR_INTERNAL,
        "download on the copy stream reads tensor while add on the compute stream may still write it "
        "(out)");
    assert_fails(fv_upload(backend, FV_STREAM_COPY, f->b, f->up), FV_ERR_INTERNAL, "may still read it (b)");
    assert_ok(fv_backend_synchronize(backend)); /* the host has waited: what comes now comes after */
    assert_ok(fv_download(backend, FV_STREAM_COPY, f->sum, f->down));
    assert_ok(fv_upload(backend, FV_STREAM_COPY, f->b, f->up));
    assert_ok(fv_event_record(backend, f->event, FV_STREAM_COPY));
    assert_ok(fv_event_synchronize(backend, f->event));
    assert_ok(add(f));
}

/* What comes from a buffer and goes back into it may be queued at once. */
static void test_there_and_back(void **state)
{
    fixture *f = *state;
    fv_backend *backend = f->backend;
    for (int i = 0; i < N; i++)
        f->up[i] = (float)i;
    for (int round = 0; round < 2; round++) {
        assert_ok(fv_upload(backend, FV_STREAM_COMPUTE, f->a, f->up));
        assert_ok(fv_fill(backend, &(fv_fill_args){.x = f->b, .value = 1}));
        assert_ok(add(f));
        assert_ok(fv_event_record(backend, f->event, FV_STREAM_COMPUTE));
        assert_ok(fv_event_wait(backend, f->event, FV_STREAM_BACK));
        assert_ok(fv_download(backend, FV_STREAM_BACK, f->sum, f->up));
        assert_fails(fv_upload(backend, FV_STREAM_COMPUTE, f->a, f->up), FV_ERR_INTERNAL,
                     "download on the back stream may still write it (host memory)");
        assert_ok(fv_event_record(backend, f->event, FV_STREAM_BACK));
        assert_ok(fv_event_wait(backend, f->event, FV_STREAM_COMPUTE));
    }
    assert_ok(fv_backend_synchronize(backend));
    for (int i = 0; i < N; i++)
        assert_true(f->up[i] == (float)i + 2);
}

/* An event covers what its stream knew, and what is recorded behind it does not count. */
static void test_events(void **state)
{
    fixture *f = *state;
    fv_backend *backend = f->backend;
    fv_event *second;
    assert_ok(fv_event_create(backend, &second));
    assert_ok(fv_event_synchronize(backend, second)); /* never recorded */
    assert_ok(fv_event_wait(backend, second, FV_STREAM_COPY));
    assert_ok(fv_event_record(backend, f->event, FV_STREAM_COPY));
    assert_ok(fv_upload(backend, FV_STREAM_COPY, f->a, f->up));
    assert_ok(fv_event_wait(backend, f->event, FV_STREAM_COMPUTE));
    assert_fails(add(f), FV_ERR_INTERNAL, "may still write it");
    assert_ok(fv_event_record(backend, f->event, FV_STREAM_COPY));
    assert_ok(fv_event_wait(backend, f->event, FV_STREAM_COMPUTE));
    assert_ok(add(f));
    assert_ok(fv_event_record(backend, second, FV_STREAM_COMPUTE));
    assert_ok(fv_event_synchronize(backend, second)); /* and so the host knows of the copy too */
    f->up[0] = 2;
    assert_ok(fv_upload(backend, FV_STREAM_COMPUTE, f->a, f->up));
    assert_ok(fv_backend_synchronize(backend));
    fv_event_destroy(backend, second);
}

/* No more runs than was asked for: a wait for one stream does not hide that the other was not waited for. */
static void test_laziness(void **state)
{
    fixture *f = *state;
    fv_backend *backend = f->backend;
    assert_ok(fv_download(backend, FV_STREAM_COPY, f->a, f->down));
    assert_ok(add(f));
    assert_ok(fv_event_record(backend, f->event, FV_STREAM_COMPUTE));
    assert_ok(fv_download(backend, FV_STREAM_COMPUTE, f->b, f->up));
    assert_ok(fv_event_synchronize(backend, f->event));
    assert_int_equal(backend->timer[FV_OP_add].n_calls, 1);
    assert_true(isnan(f->down[0]) && isnan(f->up[0]));
    assert_ok(fv_backend_synchronize(backend));
    assert_true(f->down[0] == 1 && f->up[0] == 1);
}

static void test_freed_too_early(void **state)
{
    fixture *f = *state;
    void *memory;
    assert_ok(fv_backend_alloc(f->backend, 256, &memory));
    fv_tensor t = fv_tensor_2d(memory, FV_F32, 1, N);
    assert_ok(fv_copy(f->backend, &(fv_copy_args){.in = f->a, .out = t}));
    fv_backend_free(f->backend, memory);
    assert_fails(add(f), FV_ERR_INTERNAL,
                 "256 bytes of tensor memory were freed while copy may still use them");
    assert_ok(add(f));
    assert_ok(fv_backend_alloc(f->backend, 256, &memory));
    t.data = memory;
    assert_ok(fv_copy(f->backend, &(fv_copy_args){.in = f->a, .out = t}));
    assert_ok(fv_backend_synchronize(f->backend));
    fv_backend_free(f->backend, memory);
    assert_ok(fv_host_alloc(f->backend, 64, &memory));
    assert_ok(fv_download(f->backend, FV_STREAM_COMPUTE, f->a, memory));
    fv_host_free(f->backend, memory);
    assert_fails(fv_backend_synchronize(f->backend), FV_ERR_INTERNAL, "64 bytes of pinned memory were freed");
}

static void test_memory_that_is_not_pinned(void **state)
{
    fixture *f = *state;
    float own[N] = {0};
    assert_fails(fv_upload(f->backend, FV_STREAM_COMPUTE, f->a, own), FV_ERR_INTERNAL, "are not pinned");
    assert_fails(fv_download(f->backend, FV_STREAM_COMPUTE, f->a, f->down + 1), FV_ERR_INTERNAL,
                 "download: its 32 bytes");
}

/* What the back end inside finds is told when it finds it. */
static void test_late_failure(void **state)
{
    fixture *f = *state;
    fv_tensor index = fv_tensor_1d(f->b.data, FV_I32, 2);
    assert_ok(fv_upload_array(f->backend, index, (int32_t[]){0, 0}));
    assert_ok(fv_scatter(f->backend, &(fv_scatter_args){.in = fv_tensor_2d(f->a.data, FV_F32, 2, 2),
                                                        .index = index,
                                                        .table = fv_tensor_2d(f->sum.data, FV_F32, 2, 2)}));
    assert_fails(fv_backend_synchronize(f->backend), FV_ERR_ARGUMENT, "expected distinct rows");
    assert_ok(fv_backend_synchronize(f->backend));
}

static void check_wrap(const char *list, const char *name)
{
    fv_backend *backend;
    setenv("FOVEA_BACKEND_WRAP", list, 1);
    assert_ok(fv_backend_cpu_create("portable", 1, &backend));
    assert_string_equal(backend->table->name, name);
    fv_backend_destroy(backend);
}

static void test_wrap(void **state)
{
    (void)state;
    fv_backend *backend;
    const char *before = getenv("FOVEA_BACKEND_WRAP");
    char kept[64] = "";
    if (before)
        snprintf(kept, sizeof kept, "%s", before);
    check_wrap("", "cpu/portable");
    check_wrap("check", "check(cpu/portable)");
    check_wrap("deferred,check", "deferred(check(cpu/portable))");
    setenv("FOVEA_BACKEND_WRAP", "deferred,czech", 1);
    assert_fails(fv_backend_cpu_create("portable", 1, &backend), FV_ERR_ARGUMENT, "is \"deferred,czech\"");
    assert_null(backend);
    setenv("FOVEA_BACKEND_WRAP", kept, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_early_read),      TEST(test_early_reuse),
        TEST(test_missing_wait),    TEST(test_there_and_back),
        TEST(test_events),          TEST(test_laziness),
        TEST(test_freed_too_early), TEST(test_memory_that_is_not_pinned),
        TEST(test_late_failure),    cmocka_unit_test(test_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
