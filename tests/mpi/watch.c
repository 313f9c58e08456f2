/* The watch sees nothing wrong where nothing is: ranks that work, one that is late, ranks that stop at
 * different times. What it does about faults is seen in tests/slurm. */
#include "test.h"

#include "fovea/base/phase.h"
#include "fovea/base/process/stop.h"
#include "fovea/comm/watch/watch.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static fv_comm *world;

/* Of this process, so far. */
static double processor_seconds(void)
{
    struct rusage used;
    assert_int_equal(getrusage(RUSAGE_SELF, &used), 0);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           1e-6 * (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

static void test_all_is_well(void **state)
{
    const fv_watch_settings settings = {.silence_s = 4, .margin_s = 1};
    fv_watch *watch;
    (void)state;
    assert_ok(fv_watch_start(world, &settings, 3, &watch));
    fv_phase_set("test");
    double before = processor_seconds();
    for (int i = 0; i < 50; i++) { /* more than a silence, but for rank 0's moves */
        usleep(100000);
        if (world->rank == 0)
            fv_phase_move();
    }
    assert_true(processor_seconds() - before < 1); /* in five seconds of waiting */
    usleep((useconds_t)world->rank * 300000);
    fv_watch_stop(watch);
    assert_ok(fv_comm_barrier(world));
    assert_false(fv_stop_requested());
}

static void test_the_end_of_time(void **state)
{
    fv_watch_settings settings = {.silence_s = 0, .margin_s = 2};
    fv_watch *watch;
    char end[32];
    (void)state;
    snprintf(end, sizeof end, "%lld", (long long)time(NULL) + 6);
    setenv("SLURM_JOB_END_TIME", end, 1);
    fv_phase_set("rollout");
    assert_ok(fv_watch_start(world, &settings, 3, &watch));
    usleep(200000);
    assert_false(fv_stop_requested());
    for (int i = 0; i < 600 && world->rank == 0 && !fv_stop_requested(); i++)
        usleep(100000);
    assert_int_equal(fv_stop_requested(), world->rank == 0);
    fv_watch_stop(watch);
    assert_ok(fv_comm_barrier(world));
    assert_fails(fv_watch_start(world, &settings, 3, &watch), FV_ERR_ARGUMENT,
                 "s of the allocation are left, and the watch keeps 2 s");
    assert_null(watch);
    settings.are_keys = 1;
    assert_fails(fv_watch_start(world, &settings, 3, &watch), FV_ERR_ARGUMENT,
                 "s of the allocation are left, and watch.margin_s keeps 2 s");
    unsetenv("SLURM_JOB_END_TIME");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_is_well),
                                       cmocka_unit_test(test_the_end_of_time)};
    assert_ok(fv_comm_world(&world));
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fv_comm_destroy(world);
    return failed;
}
