/* The choice of a back end, where the library of CUDA is missing. */
#include "temp_folder.h"

#include "fovea/base/log.h"
#include "fovea/ops/backend_choice.h"
#include "fovea/ops/cuda.h"

#include <limits.h>

static void test_cpu(void **state)
{
    (void)state;
    fv_backend *backend;
    fv_backend_kind taken;
    assert_ok(fv_backend_create(&(fv_backend_args){.kind = FV_BACKEND_CPU, .isa = "portable", .n_threads = 2},
                                &taken, &backend));
    assert_int_equal(taken, FV_BACKEND_CPU);
    assert_string_equal(backend->table->name, "cpu/portable");
    assert_int_equal(backend->n_threads, 2);
    fv_backend_destroy(backend);
}

static void test_library_is_missing(void **state)
{
    (void)state;
    char path[PATH_MAX];
    fv_backend *backend = NULL;
    fv_backend_kind taken;
    if (fv_cuda_find(path, sizeof path) == FV_OK)
        skip();
    assert_fails(
        fv_backend_create(&(fv_backend_args){.kind = FV_BACKEND_CUDA}, &taken, &backend), FV_ERR_UNSUPPORTED,
        "the back end cuda needs libfovea_cuda.so, which is not beside the program: with the CUDA toolkit, "
        "cmake --preset cuda");
    assert_null(backend);
}

/* The line of the log that a choice leaves. */
static void choose(const fv_backend_args *args, char line[512])
{
    fv_backend *backend = NULL;
    fv_backend_kind taken = FV_BACKEND_AUTO;
    assert_ok(fv_log_keep(temp_path("log")));
    assert_ok(fv_backend_create(args, &taken, &backend));
    assert_int_equal(taken, FV_BACKEND_CPU);
    assert_memory_equal(backend->table->name, "cpu", 3);
    fv_backend_destroy(backend);
    FILE *log = fopen(temp_path("log"), "r");
    assert_non_null(log);
    while (fgets(line, 512, log)) {
    }
    fclose(log);
}

static void test_auto(void **state)
{
    (void)state;
    char line[512] = "", path[PATH_MAX];
    choose(&(fv_backend_args){.kind = FV_BACKEND_AUTO, .n_threads = 1, .against = "it is cold"}, line);
    assert_non_null(strstr(line, "computing on the cpu: it is cold\n"));
    if (fv_cuda_find(path, sizeof path) == FV_OK)
        skip();
    choose(&(fv_backend_args){.kind = FV_BACKEND_AUTO, .n_threads = 1}, line);
    assert_non_null(strstr(line, "computing on the cpu: the back end cuda needs libfovea_cuda.so"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cpu), cmocka_unit_test(test_library_is_missing),
                                       cmocka_unit_test(test_auto)};
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
