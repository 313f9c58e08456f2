/* What the CPU back end promises beyond the operations: the choice of kernels, the order of sums, refusals.
 */
#include "test.h"

#include "fovea/ops/backend.h"

#include <math.h>

static fv_backend *backend;

static int setup(void **state)
{
    (void)state;
    return fv_backend_cpu_create(NULL, 2, &backend) == FV_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    fv_backend_destroy(backend);
    return 0;
}

static fv_tensor matrix(float *x, int64_t rows, int64_t cols)
{
    return fv_tensor_2d(x, FV_F32, rows, cols);
}

static fv_tensor vector(float *x, int64_t n)
{
    return fv_tensor_1d(x, FV_F32, n);
}

static void test_choice(void **state)
{
    (void)state;
    fv_backend *other;
    assert_ok(fv_backend_cpu_create("portable", 3, &other));
    assert_string_equal(other->table->name, "cpu/portable");
    assert_int_equal(other->n_threads, 3);
    fv_backend_destroy(other);
    assert_ok(fv_backend_cpu_create(NULL, 0, &other));
    assert_true(other->n_threads >= 1);
    fv_backend_destroy(other);
    assert_fails(fv_backend_cpu_create("sse", 1, &other), FV_ERR_ARGUMENT, "no kernels for \"sse\"");
    assert_null(other);
}

/* Numbers whose sum tells the order it was made in. */
static void test_sums_in_row_order(void **state)
{
    (void)state;
    enum { ROWS = 40, COLS = 50 };
    static float x[ROWS * COLS], sum[COLS], table[COLS], want[COLS];
    static int32_t index[ROWS];
    for (int i = 0; i < ROWS * COLS; i++) {
        x[i] = ldexpf((float)(i % 7 - 3), i * 5 % 31);
        want[i % COLS] += x[i];
    }
    assert_ok(fv_colsum(backend, &(fv_colsum_args){.x = matrix(x, ROWS, COLS), .out = vector(sum, COLS)}));
    assert_memory_equal(sum, want, sizeof want);
    fv_scatter_add_args add = {.in = matrix(x, ROWS, COLS), .table = matrix(table, 1, COLS)};
    add.index = fv_tensor_1d(index, FV_I32, ROWS);
    assert_ok(fv_scatter_add(backend, &add));
    assert_memory_equal(table, want, sizeof want);
}

static void test_heads_too_wide(void **state)
{
    (void)state;
    static float x[513], out[513];
    int32_t segment[FV_SEGMENT_FIELDS] = {0, 1, 0, 0, 1, 1}, span[FV_SPAN_FIELDS] = {0, 1};
    fv_tensor row = fv_tensor_3d(x, FV_F32, 1, 1, 513);
    fv_attention_args args = {.q = row, .k = row, .v = row, .scale = 1.0f};
    args.segments = fv_tensor_2d(segment, FV_I32, 1, FV_SEGMENT_FIELDS);
    args.spans = fv_tensor_2d(span, FV_I32, 1, FV_SPAN_FIELDS);
    args.out = fv_tensor_3d(out, FV_F32, 1, 1, 513);
    assert_fails(fv_attention(backend, &args), FV_ERR_UNSUPPORTED, "513 channels");
}

/* What a rank does not have leaves the sum over ranks as it is, -0 too. */
static void test_rows_of_other_ranks(void **state)
{
    (void)state;
    float table[6] = {1, 2, -0.0f, 4, 5, 6}, out[6];
    int32_t index[3] = {5, 4, -1};
    fv_gather_args args = {.table = matrix(table, 2, 3), .out = matrix(out, 2, 3), .first = 5};
    for (int i = 0; i < 2; i++) {
        args.index = fv_tensor_1d(index + i, FV_I32, 2);
        assert_ok(fv_gather(backend, &args));
        for (int j = 0; j < 6; j++) {
            float one = i == 0 && j < 3 ? table[j] : -0.0f;
            assert_memory_equal(&out[j], &one, sizeof one);
        }
    }
}

static float logits[40];

/* A NaN among the logits does not vanish. */
static void test_nan_in_statistics(void **state)
{
    (void)state;
    float parts[FV_VOCAB_FIELDS], one = 1;
    memset(logits, 0, sizeof logits);
    logits[0] = NAN;
    for (int n = 1; n <= 40; n += 13) {
        fv_vocab_stats_args args = {.logits = matrix(logits, 1, n), .inv_temperature = vector(&one, 1)};
        args.parts = fv_tensor_3d(parts, FV_F32, 1, 1, FV_VOCAB_FIELDS);
        assert_ok(fv_vocab_stats(backend, &args));
        assert_true(isnan(parts[1]) && parts[3] == -INFINITY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_sums_in_row_order),
        cmocka_unit_test(test_heads_too_wide),
        cmocka_unit_test(test_rows_of_other_ranks),
        cmocka_unit_test(test_nan_in_statistics),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
