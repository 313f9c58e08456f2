/* How much of the time a device has nothing to do: the share of the answers, whoever gives them. */
#include "test.h"

#include "fovea/ops/idle.h"

#include <math.h>
#include <stdatomic.h>

enum { ENOUGH = 30 };

static atomic_int n_asked;

/* Of four answers one is yes, two are no, and one is none. */
static int is_idle(fv_backend *backend)
{
    static const int answers[] = {1, 0, -1, 0};
    (void)backend;
    return answers[atomic_fetch_add(&n_asked, 1) % 4];
}

static void test_the_share_of_answers(void **state)
{
    fv_backend *backend;
    fv_idle *idle;
    (void)state;
    assert_ok(fv_backend_cpu_create(NULL, 1, &backend));
    const fv_backend_table *before = backend->table;
    fv_backend_table table = *before;
    table.is_idle = is_idle;
    backend->table = &table;
    assert_ok(fv_idle_start(backend, &idle));
    assert_non_null(idle);
    fv_idle_counts counts;
    while ((counts = fv_idle_look(idle)).n < ENOUGH)
        ;
    fv_idle_stop(idle);
    assert_true(atomic_load(&n_asked) >= counts.n + counts.n / 3 - 1);
    assert_true(fabs(fv_idle_share((fv_idle_counts){0}, counts) - 1.0 / 3) < 2.0 / ENOUGH);
    backend->table = before;
    fv_backend_destroy(backend);
}

static void test_shares_between_looks(void **state)
{
    (void)state;
    assert_true(fv_idle_share((fv_idle_counts){100, 90}, (fv_idle_counts){140, 100}) == 0.25);
    assert_true(isnan(fv_idle_share((fv_idle_counts){7, 7}, (fv_idle_counts){7, 7})));
}

/* Where a call returns when its operation has run, nobody is asked. */
static void test_nobody_can_tell(void **state)
{
    fv_backend *backend;
    fv_idle *idle;
    (void)state;
    assert_ok(fv_backend_cpu_create(NULL, 1, &backend));
    assert_ok(fv_idle_start(backend, &idle));
    assert_null(idle);
    assert_int_equal(fv_idle_look(idle).n, 0);
    fv_idle_stop(idle);
    fv_backend_destroy(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_share_of_answers),
        cmocka_unit_test(test_shares_between_looks),
        cmocka_unit_test(test_nobody_can_tell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
