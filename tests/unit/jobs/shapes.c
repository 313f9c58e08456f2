/* The shapes that fovea bench knows by name are those of configs/model. */
#include "jobs/bench/shapes.c"

#include "test.h"

#include <stdlib.h>

static void check_shape(const char *name, const char *file)
{
    fv_model_shape known, read;
    char path[512];
    snprintf(path, sizeof path, "%s/../../configs/model/%s", getenv("TEST_DATA"), file);
    assert_ok(fv_bench_shape_find(name, &known));
    assert_ok(fv_model_shape_load_yaml(path, &read));
    assert_memory_equal(&known, &read, sizeof known);
    assert_ok(fv_bench_shape_find(path, &known));
    assert_memory_equal(&known, &read, sizeof known);
}

static void test_names_are_the_files_of_configs(void **state)
{
    fv_model_shape shape;
    (void)state;
    check_shape("3b", "qwen2.5-vl-3b.yaml");
    check_shape("7b", "qwen2.5-vl-7b.yaml");
    assert_ok(fv_bench_shape_find("tiny", &shape));
    assert_fails(fv_bench_shape_find("30b", &shape), FV_ERR_ARGUMENT, "expected 3b, 7b, tiny, or a file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_the_files_of_configs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
