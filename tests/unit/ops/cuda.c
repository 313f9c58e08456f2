/* The choice of a back end, where the library of CUDA is missing. */
#include "test.h"

#include "fovea/ops/backend_choice.h"
#include "fovea/ops/cuda.h"

#include <limits.h>

static void test_cpu(void **state)
{
    (void)state;
    fv_backend *backend;
    assert_ok(fv_backend_create(&(fv_backend_args){.kind = FV_BACKEND_CPU, .isa = "portable", .n_threads = 2},
                                &backend));
    assert_string_equal(backend->table->name, "cpu/portable");
    assert_int_equal(backend->n_threads, 2);
    fv_backend_destroy(backend);
}

static void test_library_is_missing(void **state)
{
    (void)state;
    char path[PATH_MAX];
    fv_backend *backend = NULL;
    if (fv_cuda_find(path, sizeof path) == FV_OK)
        skip();
    assert_fails(
        fv_backend_create(&(fv_backend_args){.kind = FV_BACKEND_CUDA}, &backend), FV_ERR_UNSUPPORTED,
        "the back end cuda needs libfovea_cuda.so, which is not beside the program: with the CUDA toolkit, "
        "cmake --preset cuda");
    assert_null(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cpu), cmocka_unit_test(test_library_is_missing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
