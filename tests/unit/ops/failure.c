/* Failures of a device: each names rank, phase and the call that met it, once. */
#include "test.h"

#include "fovea/base/phase.h"
#include "fovea/ops/backend.h"

static fv_backend_table table;

static fv_err failed_fill(fv_backend *backend, const fv_fill_args *args)
{
    (void)backend, (void)args;
    return FV_FAIL(FV_ERR_DEVICE, "the kernel has failed");
}

static fv_err failed_wait(fv_backend *backend)
{
    (void)backend;
    assert_string_equal(fv_phase_get().inside, "a wait for the device");
    return FV_FAIL(FV_ERR_DEVICE, "something has failed");
}

static fv_err short_fill(fv_backend *backend, const fv_fill_args *args)
{
    (void)backend, (void)args;
    return FV_FAIL(FV_ERR_MEMORY, "no room");
}

static void test_sentences(void **state)
{
    (void)state;
    fv_backend *backend;
    float numbers[4] = {0};
    const fv_fill_args args = {.x = fv_tensor_1d(numbers, FV_F32, 4)};
    assert_ok(fv_backend_cpu_create(NULL, 1, &backend));
    table = *backend->table;
    backend->table = &table;
    fv_phase_set("rollout");
    table.fill = failed_fill;
    assert_fails(fv_fill(backend, &args), FV_ERR_DEVICE,
                 "rank 0, phase rollout, fill: the kernel has failed");
    table.synchronize = failed_wait;
    assert_fails(fv_backend_synchronize(backend), FV_ERR_DEVICE,
                 "rank 0, phase rollout, waiting for the device after fill: something has failed");
    assert_null(fv_phase_get().inside);
    table.fill = short_fill;
    assert_fails(fv_fill(backend, &args), FV_ERR_MEMORY, "no room");
    assert_string_equal(fv_error_text(), "no room");
    fv_backend_destroy(backend);
}

/* At an end the failure that was told first stays. */
static void test_settled(void **state)
{
    (void)state;
    fv_backend *backend;
    void *memory;
    assert_ok(fv_backend_cpu_create(NULL, 1, &backend));
    table = *backend->table;
    table.synchronize = failed_wait;
    backend->table = &table;
    assert_ok(fv_backend_alloc(backend, 64, &memory));
    assert_int_equal(FV_FAIL(FV_ERR_DEVICE, "the first"), FV_ERR_DEVICE);
    fv_backend_release(backend, memory);
    assert_string_equal(fv_error_text(), "the first");
    assert_int_equal(backend->has_failed, 1);
    fv_backend_destroy(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sentences), cmocka_unit_test(test_settled)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
