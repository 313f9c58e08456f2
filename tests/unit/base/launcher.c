/* A launcher that was held and let go runs, however little time was between. */
#include "test.h"

#include "fovea/base/process/launcher.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N_RANKS = 200, PATIENCE_S = 60 };

/* Ends in order, so that no guard lets the launcher go. */
static void rank(pid_t parent)
{
    fv_launcher_find();
    if (!fv_launcher_is_known())
        _exit(1);
    fv_launcher_hold(parent);
    if (!fv_launcher_is_held())
        _exit(2);
    fv_launcher_release();
    fv_launcher_hold(parent); /* is not held again */
    fv_launcher_leave();
    _exit(0);
}

static void launch(void)
{
    pid_t self = getpid();
    alarm(PATIENCE_S); /* ends one that stands still, too, when it goes on */
    prctl(PR_SET_NAME, "mpirun");
    setenv("OMPI_COMM_WORLD_SIZE", "1", 1);
    for (int i = 0; i < N_RANKS; i++) {
        int status;
        pid_t child = fork();
        if (child == 0)
            rank(self);
        if (waitpid(child, &status, 0) != child || status != 0)
            _exit(1);
    }
    _exit(0);
}

static void test_a_launcher_goes_on(void **state)
{
    (void)state;
    int status = 0;
    pid_t launcher = fork();
    assert_true(launcher >= 0);
    if (launcher == 0)
        launch();
    for (int waited = 0; waitpid(launcher, &status, WNOHANG) == 0; waited++) {
        if (waited == 10 * PATIENCE_S) {
            kill(launcher, SIGKILL);
            fail_msg("the launcher stands still");
        }
        usleep(100000);
    }
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_launcher_goes_on)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
