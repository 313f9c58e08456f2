/* Time left as squeue prints it. */
#include "test.h"

#include "fovea/allocation.h"

#include <math.h>
#include <stdlib.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_times), cmocka_unit_test(test_environment)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
