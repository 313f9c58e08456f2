/* A model in bf16: its weights are those of the folder, rounded once; log-probs and gradients are those in
 * fp32 but for rounding; and it keeps to every contract of the operations. */
#include "model_case.h"

#include <math.h>

static void open_case(model_case *c, const char *model, int is_checked)
{
    fv_backend *backend;
    assert_ok(fv_backend_cpu_create(NULL, 2, &backend));
    if (is_checked)
        assert_ok(fv_backend_check_create(backend, &backend));
    case_open(c, backend, case_self, temp_path(model));
}

/* Forward and backward: log-probs, and the gradient of every weight, which the caller frees. */
static float *compute(const char *model, int is_checked, float *logprobs, size_t *n)
{
    model_case c;
    float weights[CASE_ROWS];
    open_case(&c, model, is_checked);
    *n = (size_t)fv_tensor_count(c.grads.flat);
    float *grads = malloc(*n * sizeof *grads);
    assert_non_null(grads);
    case_row_weights(weights);
    c.save = FV_SAVE_INPUTS;
    case_forward(&c, logprobs, NULL);
    case_backward(&c, weights, 0.01f);
    assert_ok(fv_download_now(c.backend, c.grads.flat, grads));
    case_close(&c);
    return grads;
}

static void test_names(void **state)
{
    (void)state;
    fv_precision precision = fv_precision_of(FV_PRECISION_BF16);
    assert_true(precision.param == FV_BF16 && precision.cache == FV_BF16 && precision.gradient == FV_F32);
    assert_string_equal(fv_precision_names[FV_PRECISION_FP32], "fp32");
    assert_string_equal(fv_precision_names[FV_PRECISION_BF16], "bf16");
    assert_null(fv_precision_names[FV_PRECISION_BF16 + 1]);
}

static void test_weights_are_rounded_once(void **state)
{
    (void)state;
    model_case c, wide;
    fv_backend *backend;
    case_use_fp32(state);
    assert_ok(fv_backend_cpu_create(NULL, 2, &backend));
    case_open(&wide, backend, case_self, temp_path("tiny-vl"));
    case_use_bf16(state);
    open_case(&c, "tiny-vl", 0);
    size_t n = (size_t)fv_model_layout(c.model)->n_elements;
    float *numbers = malloc(n * sizeof *numbers);
    uint16_t *rounded = malloc(n * sizeof *rounded), *found = malloc(n * sizeof *found);
    assert_true(numbers && rounded && found);
    fv_tensor flat = fv_model_weights(c.model)->flat;
    assert_int_equal(flat.dtype, FV_BF16);
    assert_int_equal(c.grads.flat.dtype, FV_F32);
    assert_ok(fv_download_now(wide.backend, fv_tensor_rows(fv_model_weights(wide.model)->flat, 0, (int64_t)n),
                              numbers));
    assert_ok(fv_download_now(c.backend, fv_tensor_rows(flat, 0, (int64_t)n), found));
    fv_dtype_encode(FV_BF16, numbers, (int64_t)n, rounded);
    assert_memory_equal(found, rounded, n * sizeof *found);
    free(numbers);
    free(rounded);
    free(found);
    case_close(&c);
    case_close(&wide);
}

static double norm(const float *x, const float *minus, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double difference = (double)x[i] - (minus ? (double)minus[i] : 0.0);
        sum += difference * difference;
    }
    return sqrt(sum);
}

/* A number is off by a random part of 2^-8 of itself each time that it is stored; between a token and its
 * logits lie fewer than 100 such times, whose errors add up like their root: 10 2^-9. */
static void test_near_fp32(void **state)
{
    const double bound = 10 * 0x1p-9;
    for (int m = 0; m < CASE_MODELS; m++) {
        float wide[CASE_ROWS], logprobs[CASE_ROWS];
        size_t n;
        case_use_fp32(state);
        float *exact = compute(case_models[m], 0, wide, &n);
        case_use_bf16(state);
        float *grads = compute(case_models[m], 0, logprobs, &n);
        double off = norm(logprobs, wide, CASE_ROWS) / norm(wide, NULL, CASE_ROWS);
        double slope_off = norm(grads, exact, n) / norm(exact, NULL, n);
        if (!(off > 0 && off < bound && slope_off < 3 * bound))
            fail_msg("%s: log-probs are off by %g of themselves, gradients by %g", case_models[m], off,
                     slope_off);
        free(exact);
        free(grads);
    }
}

static void test_through_the_check_back_end(void **state)
{
    case_use_bf16(state);
    for (int m = 0; m < CASE_MODELS; m++) {
        float plain[CASE_ROWS], checked[CASE_ROWS];
        size_t n;
        float *a = compute(case_models[m], 0, plain, &n), *b = compute(case_models[m], 1, checked, &n);
        assert_memory_equal(plain, checked, sizeof plain);
        assert_memory_equal(a, b, n * sizeof *a);
        free(a);
        free(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_weights_are_rounded_once),
        cmocka_unit_test(test_near_fp32),
        cmocka_unit_test(test_through_the_check_back_end),
    };
    return cmocka_run_group_tests(tests, case_setup, case_teardown);
}
