/* Graphs: every run has the effect of its body, on every back end; those that run the body each time refuse
 * one whose calls are others than in its first run. */
#include "test.h"

#include "fovea/ops/cuda.h"
#include "fovea/ops/staging.h"

#include <stdlib.h>
#include <string.h>

enum { N = 8, RUNS = 5 };

/* What a body does in place of what it should. */
typedef enum fault {
    NONE,
    OTHER_TENSOR,
    OTHER_NUMBER,
    OTHER_SHAPE,
    OTHER_OP,
    LESS,
    MORE,
    UPLOAD,
    WAIT,
    ALLOC
} fault;

typedef struct fixture {
    fv_backend *backend;
    fv_graph *graph;
    fv_event *event;
    void *memory, *pinned;
    fv_tensor a, b, sum; /* (1, N) */
    fault chosen;
    int n_bodies;
} fixture;

static void open_on(fixture *f, fv_backend *backend)
{
    *f = (fixture){.backend = backend};
    assert_ok(fv_backend_alloc(backend, 3 * 256, &f->memory));
    assert_ok(fv_host_alloc(backend, N * sizeof(float), &f->pinned));
    assert_ok(fv_event_create(backend, &f->event));
    assert_ok(fv_graph_create(backend, &f->graph));
    memset(f->pinned, 0, N * sizeof(float));
    f->a = fv_tensor_2d(f->memory, FV_F32, 1, N);
    f->b = fv_tensor_2d((char *)f->memory + 256, FV_F32, 1, N);
    f->sum = fv_tensor_2d((char *)f->memory + 512, FV_F32, 1, N);
}

static void close_it(fixture *f)
{
    assert_ok(fv_backend_synchronize(f->backend));
    fv_graph_destroy(f->backend, f->graph);
    fv_event_destroy(f->backend, f->event);
    fv_host_free(f->backend, f->pinned);
    fv_backend_free(f->backend, f->memory);
    fv_backend_destroy(f->backend);
}

static fv_err stray(fixture *f)
{
    void *memory;
    switch (f->chosen) {
    case UPLOAD:
        return fv_upload(f->backend, FV_STREAM_COMPUTE, f->a, f->pinned);
    case WAIT:
        return fv_event_synchronize(f->backend, f->event);
    case ALLOC:
        return fv_backend_alloc(f->backend, 64, &memory);
    default:
        return FV_OK;
    }
}

/* sum = a + b + 0.5, and once more */
static fv_err body(void *context)
{
    fixture *f = context;
    fv_tensor b = f->chosen == OTHER_TENSOR ? f->a : f->b, to = f->b;
    f->n_bodies++;
    FV_TRY(stray(f));
    if (f->chosen == OTHER_SHAPE)
        to = fv_tensor_cols(f->b, 0, N - 1);
    FV_TRY(fv_fill(f->backend, &(fv_fill_args){.x = to, .value = f->chosen == OTHER_NUMBER ? 1.0f : 0.5f}));
    if (f->chosen == OTHER_OP)
        FV_TRY(fv_copy(f->backend, &(fv_copy_args){.in = f->a, .out = f->sum}));
    else
        FV_TRY(fv_add(f->backend, &(fv_add_args){.a = f->a, .b = b, .out = f->sum}));
    if (f->chosen == LESS)
        return FV_OK;
    FV_TRY(fv_add(f->backend, &(fv_add_args){.a = f->sum, .b = f->b, .out = f->sum}));
    return f->chosen == MORE ? fv_fill(f->backend, &(fv_fill_args){.x = f->b}) : FV_OK;
}

/* What tensors hold is looked at when a run is queued, and no earlier. */
static void check_runs(fixture *f)
{
    for (int run = 0; run < RUNS; run++) {
        float a[N], sum[N];
        for (int i = 0; i < N; i++)
            a[i] = (float)(run * N + i);
        assert_ok(fv_upload_array(f->backend, f->a, a));
        assert_ok(fv_graph_run(f->backend, f->graph, body, f));
        assert_ok(fv_download_now(f->backend, f->sum, sum));
        for (int i = 0; i < N; i++)
            assert_true(sum[i] == a[i] + 1);
    }
}

static fv_backend *wrapped(int checks, int defers)
{
    fv_backend *backend;
    assert_ok(fv_backend_cpu_create(NULL, 2, &backend));
    if (checks)
        assert_ok(fv_backend_check_create(backend, &backend));
    if (defers)
        assert_ok(fv_backend_deferred_create(backend, &backend));
    return backend;
}

static void test_runs(void **state)
{
    (void)state;
    fixture f;
    for (int way = 0; way < 4; way++) {
        open_on(&f, wrapped(way % 2, way / 2));
        assert_int_equal(fv_backend_has_graphs(f.backend), way > 0);
        check_runs(&f);
        assert_int_equal(f.n_bodies, RUNS);
        close_it(&f);
    }
}

/* On a device the body is called twice: once as it is, and once to be recorded. */
static void test_device(void **state)
{
    (void)state;
    fixture f;
    fv_backend *backend;
    if (!getenv("FOVEA_TEST_CUDA"))
        skip();
    assert_ok(fv_backend_cuda_create(0, &backend));
    open_on(&f, backend);
    check_runs(&f);
    assert_int_equal(f.n_bodies, 2);
    close_it(&f);
}

/* Products on a device: c (n, n) = a (n, k) b (n, k)^T, all ones; n of the first run of a graph and of
 * others. */
enum { SMALL = 40, MOST = 2001, ONES = MOST * 64 };

typedef struct products {
    fv_backend *backend;
    fv_graph *graph;
    uint16_t *memory; /* of the device: ONES, c */
    int64_t n[2], k;
    int n_bodies;
} products;

static fv_err multiply(const products *p, int64_t n)
{
    fv_tensor ones = fv_tensor_2d(p->memory, FV_BF16, n, p->k);
    return fv_gemm(p->backend, &(fv_gemm_args){.a = ones,
                                               .b = ones,
                                               .c = fv_tensor_2d(p->memory + ONES, FV_BF16, n, n),
                                               .trans_b = 1});
}

static fv_err products_body(void *context)
{
    products *p = context;
    return multiply(p, p->n[p->n_bodies++ > 0]);
}

static void products_open(products *p)
{
    void *memory;
    setenv("FOVEA_CACHE", "", 1); /* no choice of algorithms is known before */
    assert_ok(fv_backend_cuda_create(0, &p->backend));
    assert_ok(fv_backend_alloc(p->backend, (ONES + MOST * MOST) * sizeof(uint16_t), &memory));
    assert_ok(fv_graph_create(p->backend, &p->graph));
    p->memory = memory;
    assert_ok(
        fv_fill(p->backend, &(fv_fill_args){.x = fv_tensor_2d(p->memory, FV_BF16, 1, ONES), .value = 1.0f}));
}

static void products_close(products *p)
{
    assert_ok(fv_backend_synchronize(p->backend));
    fv_graph_destroy(p->backend, p->graph);
    fv_backend_free(p->backend, p->memory);
    fv_backend_destroy(p->backend);
}

static void check_product(products *p)
{
    uint16_t c[SMALL * SMALL];
    fv_tensor out = fv_tensor_2d(p->memory + ONES, FV_BF16, SMALL, SMALL);
    assert_ok(fv_fill(p->backend, &(fv_fill_args){.x = out}));
    assert_ok(fv_graph_run(p->backend, p->graph, products_body, p));
    assert_ok(fv_download_now(p->backend, out, c));
    for (int i = 0; i < SMALL * SMALL; i++)
        assert_int_equal(c[i], 0x4188); /* 17 */
}

/* Rows of 17 elements are copied, into a workspace that grows without moving: a record stays right. */
static void test_workspace(void **state)
{
    (void)state;
    if (!getenv("FOVEA_TEST_CUDA"))
        skip();
    products p = {.n = {SMALL, SMALL}, .k = 17};
    products_open(&p);
    for (int run = 0; run < 3; run++)
        check_product(&p);
    assert_ok(multiply(&p, MOST));
    check_product(&p);
    assert_int_equal(p.n_bodies, 2);
    products_close(&p);
}

/* What only the run that is recorded needs can be neither taken nor measured there. */
static void test_device_refusals(void **state)
{
    (void)state;
    if (!getenv("FOVEA_TEST_CUDA"))
        skip();
    products room = {.n = {SMALL, MOST}, .k = 17}, shape = {.n = {64, 128}, .k = 64};
    products_open(&room);
    assert_ok(fv_graph_run(room.backend, room.graph, products_body, &room));
    assert_fails(fv_graph_run(room.backend, room.graph, products_body, &room), FV_ERR_INTERNAL,
                 "an operation of a graph needs a workspace of");
    products_close(&room);
    products_open(&shape);
    assert_ok(fv_graph_run(shape.backend, shape.graph, products_body, &shape));
    assert_fails(fv_graph_run(shape.backend, shape.graph, products_body, &shape), FV_ERR_INTERNAL,
                 "a graph has a product of 128 x 128 x 64 that its first run has not had");
    products_close(&shape);
}

static void check_refusal(fault chosen, const char *sentence)
{
    for (int way = 1; way < 4; way++) {
        fixture f;
        open_on(&f, wrapped(way % 2, way / 2));
        assert_ok(fv_fill(f.backend, &(fv_fill_args){.x = f.a}));
        f.chosen = chosen >= UPLOAD ? chosen : NONE;
        if (chosen < UPLOAD)
            assert_ok(fv_graph_run(f.backend, f.graph, body, &f));
        f.chosen = chosen;
        assert_fails(fv_graph_run(f.backend, f.graph, body, &f), FV_ERR_INTERNAL, sentence);
        f.chosen = NONE; /* and the next run is a first one */
        assert_ok(fv_graph_run(f.backend, f.graph, body, &f));
        assert_ok(fv_graph_run(f.backend, f.graph, body, &f));
        close_it(&f);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    check_refusal(OTHER_TENSOR, "add: call 2 of a graph has another b than was recorded");
    check_refusal(OTHER_NUMBER, "fill: call 1 of a graph has another value than was recorded");
    check_refusal(OTHER_SHAPE, "fill: call 1 of a graph has another x than was recorded");
    check_refusal(OTHER_OP, "copy: call 2 of a graph that was recorded with add there");
    check_refusal(LESS, "2 calls of a graph that had 3");
    check_refusal(MORE, "fill: call 4 of a graph that had 3 calls");
    check_refusal(UPLOAD, "an upload in the body of a graph");
    check_refusal(WAIT, "a synchronisation in the body of a graph");
    check_refusal(ALLOC, "memory in the body of a graph");
}

/* A plan has graphs where the back end inside has some. */
static void test_plan(void **state)
{
    (void)state;
    for (int checks = 0; checks < 2; checks++) {
        fv_backend *plan;
        fixture f;
        assert_ok(fv_backend_plan_create(wrapped(checks, 0), &plan));
        open_on(&f, plan);
        assert_int_equal(fv_backend_has_graphs(plan), checks);
        for (int run = 0; run < 2; run++)
            assert_ok(fv_graph_run(plan, f.graph, body, &f));
        assert_int_equal(f.n_bodies, 2);
        close_it(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs),      cmocka_unit_test(test_device),
        cmocka_unit_test(test_workspace), cmocka_unit_test(test_device_refusals),
        cmocka_unit_test(test_refusals),  cmocka_unit_test(test_plan)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
