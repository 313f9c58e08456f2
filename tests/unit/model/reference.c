/* Weights kept aside: passes use them and then the model's own again, bit for bit, under the check back end;
 * kept on the host they take two slots of the back end's memory, however often they trade places. */
#include "model_case.h"

#include "fovea/model/reference.h"

static void open_case(model_case *c, const char *model)
{
    fv_backend *inner, *backend;
    assert_ok(fv_backend_cpu_create(NULL, 2, &inner));
    assert_ok(fv_backend_check_create(inner, &backend));
    case_open(c, backend, case_self, temp_path(model));
}

/* The weights move, as an update would move them. */
static void move(model_case *c)
{
    fv_tensor flat = fv_model_weights(c->model)->flat;
    size_t n = (size_t)flat.dim[0];
    float *host = malloc(n * sizeof *host);
    assert_ok(fv_download_now(c->backend, flat, host));
    for (size_t i = 0; i < n; i++)
        host[i] += 0.01f * (float)(i % 3);
    assert_ok(fv_upload_array(c->backend, flat, host));
    free(host);
}

static void check_exchange(const char *model, int on_host)
{
    model_case c;
    fv_reference reference;
    float before[CASE_ROWS], after[CASE_ROWS], found[CASE_ROWS];
    open_case(&c, model);
    size_t bytes = fv_tensor_span_bytes(fv_model_weights(c.model)->flat);
    case_forward(&c, before, NULL);
    const fv_backend_memory taken = c.backend->memory;
    assert_ok(fv_reference_init(&reference, c.model, on_host));
    move(&c);
    case_forward(&c, after, NULL);
    assert_memory_not_equal(before, after, sizeof before);
    for (int i = 0; i < 2; i++) {
        assert_ok(fv_reference_exchange(&reference));
        case_forward(&c, found, NULL);
        assert_memory_equal(before, found, sizeof before);
        assert_ok(fv_reference_exchange(&reference));
        case_forward(&c, found, NULL);
        assert_memory_equal(after, found, sizeof after);
    }
    const fv_backend_memory *now = &c.backend->memory;
    assert_true(now->n_allocs == taken.n_allocs + 1);
    size_t slots = fv_reference_slot_bytes(&reference);
    assert_true(now->bytes == taken.bytes + (on_host ? slots : bytes) && slots < bytes / 4);
    fv_reference_fini(&reference);
    assert_null(reference.model);
    case_close(&c);
}

static void test_exchange(void **state)
{
    (void)state;
    for (int on_host = 0; on_host < 2; on_host++) {
        check_exchange("tiny-vl", on_host);
        check_exchange("tiny-qwen2", on_host);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_exchange)};
    return cmocka_run_group_tests(tests, case_setup, case_teardown);
}
