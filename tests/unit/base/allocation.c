/* Time left as squeue prints it, and of whom it is asked. */
#include "temp_folder.h"

#include "fovea/base/process/allocation.h"

#include <math.h>
#include <sys/stat.h>

static double left(const char *text)
{
    return fv_allocation_parse(fv_slice_of(text));
}

static void test_times(void **state)
{
    (void)state;
    assert_true(left("0:05") == 5);
    assert_true(left("12:34") == 754);
    assert_true(left("1:02:03") == 3723);
    assert_true(left("2-03:04:05 ") == 183845);
    static const char *const others[] = {"UNLIMITED", "INVALID", "NOT_SET", "",      "7",        "1-2-3:4",
                                         "1-",        "1-2:3",   "1:2:3:4", "1:2:x", "1:2:3:4:5"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_true(isinf(left(others[i])));
}

static void test_environment(void **state)
{
    fv_allocation allocation;
    char text[64];
    (void)state;
    unsetenv("SLURM_JOB_ID");
    unsetenv("SLURM_JOB_END_TIME");
    fv_allocation_init(&allocation);
    assert_true(isinf(fv_allocation_left(&allocation)));
    fv_allocation_describe(text, sizeof text);
    assert_string_equal(text, "");
    setenv("SLURM_JOB_ID", "12", 1);
    setenv("SLURM_RESTART_COUNT", "2", 1);
    fv_allocation_describe(text, sizeof text);
    assert_string_equal(text, "job 12, start 3");
}

/* A squeue that knows the array 12 and its task 3, as Slurm does, and obeys what is set for it. */
static void make_squeue(void)
{
    static const char text[] = "#!/bin/sh\n"
                               "[ -z \"$SQUEUE_STATES\" ] || exit 0\n"
                               "case $* in\n"
                               "*--jobs=12_3\\ *) echo 1:00 ;;\n"
                               "*--jobs=12\\ *) echo 9:00 && echo 1:00 ;;\n"
                               "*--jobs=7\\ *) echo 2:00 ;;\n"
                               "esac\n";
    char path[4096];
    temp_write("squeue", text);
    assert_int_equal(chmod(temp_path("squeue"), 0755), 0);
    snprintf(path, sizeof path, "%s:%s", temp_root, getenv("PATH"));
    setenv("PATH", path, 1);
}

/* The answer's seconds. */
static double asked(void)
{
    fv_allocation allocation;
    fv_allocation_init(&allocation);
    double seconds = fv_allocation_left(&allocation);
    while (allocation.child) {
        usleep(1000);
        seconds = fv_allocation_left(&allocation);
    }
    fv_allocation_fini(&allocation);
    return seconds;
}

static void test_question(void **state)
{
    char text[64];
    (void)state;
    make_squeue();
    unsetenv("SLURM_JOB_END_TIME");
    setenv("SQUEUE_STATES", "PENDING", 1);
    setenv("SLURM_JOB_ID", "7", 1);
    assert_in_range(asked(), 110, 120);
    setenv("SLURM_JOB_ID", "12", 1); /* the task that was started last */
    setenv("SLURM_ARRAY_JOB_ID", "12", 1);
    setenv("SLURM_ARRAY_TASK_ID", "3", 1);
    assert_in_range(asked(), 50, 60);
    fv_allocation_describe(text, sizeof text);
    assert_string_equal(text, "job 12_3, start 3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_times), cmocka_unit_test(test_environment),
                                       cmocka_unit_test(test_question)};
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
