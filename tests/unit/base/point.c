/* Points at which a test steers the program. */
#include "test.h"

#include "fovea/base/log.h"
#include "fovea/base/point.h"
#include "fovea/base/process/stop.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_nothing(void **state)
{
    (void)state;
    unsetenv("FOVEA_AT");
    assert_int_equal(fv_point("pass"), FV_OK);
    setenv("FOVEA_AT", "", 1);
    assert_int_equal(fv_point("pass"), FV_OK);
}

/* The items count apart; an item acts once, on its rank. */
static void test_visits(void **state)
{
    (void)state;
    setenv("FOVEA_AT", "update@1=kill pass:3=fail save@0=fail pass=stop", 1);
    assert_int_equal(fv_point("update"), FV_OK);
    assert_int_equal(fv_stop_requested(), 0);
    assert_int_equal(fv_point("pass"), FV_OK);
    assert_int_equal(fv_stop_requested(), 1);
    assert_int_equal(fv_point("pass"), FV_OK);
    assert_int_equal(fv_point("pass"), FV_ERR_IO);
    assert_int_equal(fv_point("pass"), FV_OK);
    assert_int_equal(fv_point("save"), FV_ERR_IO);
}

static int ends(const char *at)
{
    int status = -1;
    setenv("FOVEA_AT", at, 1);
    pid_t child = fork();
    if (child == 0) {
        fv_point("shard");
        _exit(0);
    }
    waitpid(child, &status, WUNTRACED);
    if (WIFSTOPPED(status)) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        return WSTOPSIG(status);
    }
    return WIFSIGNALED(status) ? WTERMSIG(status) : -1;
}

static void test_signals(void **state)
{
    (void)state;
    assert_int_equal(ends("shard=kill"), SIGKILL);
    assert_int_equal(ends("shard=halt"), SIGSTOP);
    assert_int_equal(ends("commit=kill"), -1);
}

static atomic_int is_past;

static void *wait_there(void *context)
{
    (void)context;
    assert_int_equal(fv_point("commit"), FV_OK);
    is_past = 1;
    return NULL;
}

static void test_hold(void **state)
{
    (void)state;
    pthread_t thread;
    char path[] = "/tmp/fovea_point_XXXXXX", at[64];
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    unlink(path);
    snprintf(at, sizeof at, "commit=hold:%s", path);
    setenv("FOVEA_AT", at, 1);
    assert_int_equal(pthread_create(&thread, NULL, wait_there, NULL), 0);
    while (access(path, F_OK) != 0)
        ;
    assert_int_equal(is_past, 0);
    unlink(path);
    pthread_join(thread, NULL);
    assert_int_equal(is_past, 1);
}

static void test_refusals(void **state)
{
    (void)state;
    static const char *const wrong[] = {"=kill",         "pass",      "pass=", "pass:=kill",
                                        "pass:1@x=kill", "pass=jump", "7=kill"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        setenv("FOVEA_AT", wrong[i], 1);
        fv_err err = FV_OK;
        for (int visits = 0; visits < 8 && err == FV_OK; visits++)
            err = fv_point("pass");
        assert_int_equal(err, FV_ERR_ARGUMENT);
        assert_non_null(strstr(fv_error_text(), "FOVEA_AT"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nothing), cmocka_unit_test(test_visits),
                                       cmocka_unit_test(test_signals), cmocka_unit_test(test_hold),
                                       cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
