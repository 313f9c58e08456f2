/* The plan back end: whole passes ask of it what they ask of a real one, call for call and byte for byte, and
 * nothing is computed. */
#include "model_case.h"

typedef struct demand {
    fv_backend_memory memory;
    int64_t n_calls[FV_N_OPS];
} demand;

static demand demand_of(fv_backend *backend, const char *model, fv_save save)
{
    static float logprobs[CASE_ROWS], entropies[CASE_ROWS], weights[CASE_ROWS];
    model_case c;
    case_open(&c, backend, case_self, temp_path(model));
    c.save = save;
    case_forward(&c, logprobs, entropies);
    case_row_weights(weights);
    case_backward(&c, weights, 0.01f);
    demand found = {.memory = backend->memory};
    for (int i = 0; i < FV_N_OPS; i++)
        found.n_calls[i] = backend->timer[i].n_calls;
    case_close(&c);
    return found;
}

static void test_passes(void **state)
{
    (void)state;
    const fv_save saves[] = {FV_SAVE_ALL, FV_SAVE_INPUTS};
    for (int i = 0; i < 2 * CASE_MODELS; i++) {
        fv_backend *real, *plan;
        assert_ok(fv_backend_cpu_create(NULL, 2, &real));
        assert_ok(fv_backend_cpu_create(NULL, 2, &plan));
        assert_ok(fv_backend_plan_create(plan, &plan));
        demand planned = demand_of(plan, case_models[i / 2], saves[i % 2]),
               made = demand_of(real, case_models[i / 2], saves[i % 2]);
        assert_int_equal(planned.memory.peak, made.memory.peak);
        assert_int_equal(planned.memory.n_allocs, made.memory.n_allocs);
        assert_true(planned.memory.workspace > 0 && made.memory.workspace == 0);
        assert_memory_equal(planned.n_calls, made.n_calls, sizeof made.n_calls);
        assert_true(made.n_calls[FV_OP_attention_grad] > 0);
    }
}

/* A model of any size is planned in no memory, and wrong arguments are found. */
static void test_sizes(void **state)
{
    (void)state;
    fv_backend *plan;
    void *memory;
    float found[4] = {1, 1, 1, 1};
    enum { N = 1 << 20 };
    assert_ok(fv_backend_cpu_create(NULL, 2, &plan));
    assert_ok(fv_backend_plan_create(plan, &plan));
    assert_ok(fv_backend_alloc(plan, (size_t)N * N * 4, &memory));
    fv_tensor t = fv_tensor_2d(memory, FV_F32, N, N);
    assert_ok(fv_gemm(plan, &(fv_gemm_args){.a = t, .b = t, .c = t}));
    assert_fails(fv_gemm(plan, &(fv_gemm_args){.a = fv_tensor_rows(t, 0, 3), .b = t, .c = t}), FV_ERR_SHAPE,
                 "gemm: tensor a");
    assert_ok(fv_download_now(plan, fv_tensor_1d(memory, FV_F32, 4), found));
    for (int i = 0; i < 4; i++)
        assert_true(found[i] == 0);
    assert_true(plan->memory.workspace >= 2);
    fv_backend_free(plan, memory);
    assert_int_equal(plan->memory.bytes, 0);
    fv_backend_destroy(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_passes), cmocka_unit_test(test_sizes)};
    return cmocka_run_group_tests(tests, case_setup, case_teardown);
}
