/* A guarded process ends soon after what has started it; one whose guard was stopped, or whose parent lives,
 * does not. */
#include "test.h"

#include "comm/watch/orphan.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* The end to read of a pipe whose other end the process holds as long as it lives: a grandchild of this one,
 * guarded or guarded no more, whose parent ends once it is. */
static int start(int is_stopped)
{
    int life[2], ready[2];
    char byte;
    assert_int_equal(pipe(life), 0);
    assert_int_equal(pipe(ready), 0);
    pid_t parent = fork();
    if (parent == 0) {
        if (fork() == 0) {
            fv_orphan_guard guard;
            if (fv_orphan_guard_start(&guard) != FV_OK)
                _exit(2);
            if (is_stopped)
                fv_orphan_guard_stop(&guard);
            (void)!write(ready[1], "", 1);
            alarm(is_stopped ? 3 : 120);
            pause();
            _exit(0);
        }
        (void)!read(ready[0], &byte, 1);
        _exit(0);
    }
    close(life[1]);
    close(ready[0]);
    close(ready[1]);
    assert_int_equal(waitpid(parent, NULL, 0), parent);
    return life[0];
}

static int ends_within(int life, int ms)
{
    struct pollfd end = {life, POLLIN, 0};
    int has_ended = poll(&end, 1, ms) == 1;
    close(life);
    return has_ended;
}

static void test_guarded(void **state)
{
    (void)state;
    assert_true(ends_within(start(0), 60000));
}

static void test_not_guarded(void **state)
{
    (void)state;
    assert_false(ends_within(start(1), 1500));
}

static void test_parent_lives(void **state)
{
    fv_orphan_guard guard;
    (void)state;
    assert_ok(fv_orphan_guard_start(&guard));
    usleep(1200000);
    fv_orphan_guard_stop(&guard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_guarded), cmocka_unit_test(test_not_guarded),
                                       cmocka_unit_test(test_parent_lives)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
