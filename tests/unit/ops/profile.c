/* A profile: the back end's own clock between two events around every operation. */
#include "test.h"

#include "fovea/ops/profile.h"

enum { CALLS = 2500 /* more than are read at once */ };

static int n_runs;

/* A clock on which every operation takes a millisecond. */
static fv_err event_seconds(fv_backend *backend, fv_event *from, fv_event *to, double *seconds)
{
    (void)backend, (void)from, (void)to;
    *seconds = 1e-3;
    return FV_OK;
}

static fv_err graph_run(fv_backend *backend, fv_graph *graph, fv_graph_body body, void *context)
{
    (void)backend, (void)graph, (void)body, (void)context;
    n_runs++;
    return FV_OK;
}

static fv_err count_body(void *context)
{
    ++*(int *)context;
    return FV_OK;
}

static void fill(fv_backend *backend, int n)
{
    static float x[16];
    for (int i = 0; i < n; i++)
        assert_ok(fv_fill(backend, &(fv_fill_args){.x = fv_tensor_1d(x, FV_F32, 16), .value = 1}));
}

static void test_every_operation_is_timed_where_it_runs(void **state)
{
    fv_backend *backend;
    int n_bodies = 0;
    (void)state;
    assert_ok(fv_backend_cpu_create(NULL, 1, &backend));
    const fv_backend_table *before = backend->table;
    fv_backend_table table = *before;
    table.event_seconds = event_seconds;
    table.graph_run = graph_run;
    backend->table = &table;
    fill(backend, 3);
    assert_ok(fv_profile_start(backend));
    fill(backend, CALLS);
    assert_ok(fv_graph_run(backend, (fv_graph *)&n_bodies, count_body, &n_bodies));
    assert_ok(fv_profile_stop(backend));
    assert_int_equal(backend->timer[FV_OP_fill].n_calls, CALLS);
    assert_int_equal(backend->timer[FV_OP_fill].ns, CALLS * INT64_C(1000000));
    assert_int_equal(n_bodies, 1);
    assert_int_equal(n_runs, 0);
    assert_ok(fv_graph_run(backend, (fv_graph *)&n_bodies, count_body, &n_bodies));
    assert_int_equal(n_runs, 1);
    backend->table = before;
    fv_backend_destroy(backend);
}

/* Where a call returns when its operation has run, the clock of the host tells as much. */
static void test_the_host_times_what_runs_at_once(void **state)
{
    fv_backend *backend;
    (void)state;
    assert_ok(fv_backend_cpu_create(NULL, 1, &backend));
    fill(backend, 3);
    assert_ok(fv_profile_start(backend));
    assert_int_equal(backend->timer[FV_OP_fill].n_calls, 0);
    fill(backend, 5);
    assert_ok(fv_profile_stop(backend));
    assert_int_equal(backend->timer[FV_OP_fill].n_calls, 5);
    assert_true(backend->timer[FV_OP_fill].ns > 0);
    fv_backend_destroy(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_operation_is_timed_where_it_runs),
        cmocka_unit_test(test_the_host_times_what_runs_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
