/* The log of verdicts: what one rank adds all ranks find, in memory and in the folder. */
#include "test.h"

#include "fovea/reward/judge/verdict_log.h"

#include <stdlib.h>

static fv_comm *world;
static char folder[64] = "/tmp/fovea_test_XXXXXX";

static fv_verdict_key key_of(int rank, int i)
{
    char text[32];
    snprintf(text, sizeof text, "%d %d", rank, i);
    const fv_case asked = {.answer = fv_slice_of(text)};
    return fv_verdict_key_of(fv_slice_of("me"), &asked);
}

/* Rank r adds 100 r verdicts a round, so that the first adds none. */
static void test_all_learn_of_all(void **state)
{
    (void)state;
    fv_verdict_log *log;
    double score;
    assert_ok(fv_verdict_log_open(folder, world->rank, 100000, &log));
    for (int round = 0; round < 3; round++) {
        int n = 100 * world->rank;
        for (int i = round * n; i < (round + 1) * n; i++)
            assert_ok(fv_verdict_log_add(log, key_of(world->rank, i), i % 2));
        assert_ok(fv_verdict_log_share(log, world));
        for (int r = 0; r < world->size; r++)
            for (int i = 0; i < (round + 1) * 100 * r; i++)
                assert_true(fv_verdict_log_find(log, key_of(r, i), &score) && score == i % 2);
    }
    fv_verdict_log_close(log);
    assert_ok(fv_comm_barrier(world));
    assert_ok(fv_verdict_log_open(folder, 99, 100000, &log));
    for (int r = 0; r < world->size; r++)
        for (int i = 0; i < 300 * r; i++)
            assert_true(fv_verdict_log_find(log, key_of(r, i), &score) && score == i % 2);
    fv_verdict_log_close(log);
    assert_ok(fv_comm_barrier(world));
}

static int setup(void **state)
{
    (void)state;
    if (fv_comm_world(&world) != FV_OK || (world->rank == 0 && !mkdtemp(folder)))
        return -1;
    return fv_comm_broadcast(world, folder, sizeof folder, 0) == FV_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    int status = world->rank == 0 ? system(command) : 0;
    fv_comm_destroy(world);
    return status;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_learn_of_all)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
