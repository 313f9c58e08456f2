/* Checks of arguments: what they refuse and how they say it, empty work, timers. */
#include "test.h"

#include "fovea/ops/backend.h"

static float memory[64];
static fv_backend *backend;

static int setup(void **state)
{
    (void)state;
    return fv_backend_cpu_create(NULL, 1, &backend) == FV_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    fv_backend_destroy(backend);
    return 0;
}

static fv_tensor matrix(int64_t rows, int64_t cols)
{
    return fv_tensor_2d(memory, FV_F32, rows, cols);
}

static fv_tensor vector(int64_t n)
{
    return fv_tensor_1d(memory, FV_F32, n);
}

static void test_names_what_is_wrong(void **state)
{
    (void)state;
    assert_fails(fv_gemm(backend, &(fv_gemm_args){.a = matrix(2, 3), .b = matrix(4, 5), .c = matrix(2, 5)}),
                 FV_ERR_SHAPE, "gemm: tensor b is F32 (4, 5), expected F32 (3, 5)");
    assert_fails(fv_gemm(backend, &(fv_gemm_args){.a = matrix(2, 3),
                                                  .b = matrix(5, 3),
                                                  .c = matrix(2, 5),
                                                  .bias = vector(4),
                                                  .trans_b = 1}),
                 FV_ERR_SHAPE, "gemm: tensor bias is F32 (4), expected F32 or BF16 (5)");
    assert_fails(fv_gelu(backend, &(fv_gelu_args){.x = matrix(2, 3)}), FV_ERR_SHAPE,
                 "gelu: tensor y is absent, expected F32 (2, 3)");
    assert_fails(
        fv_gather(backend, &(fv_gather_args){.table = matrix(2, 3), .out = matrix(4, 3), .index = vector(4)}),
        FV_ERR_SHAPE, "gather: tensor index is F32 (4), expected I32 (4)");
    assert_fails(fv_norm(backend, &(fv_norm_args){.x = matrix(2, 0)}), FV_ERR_SHAPE,
                 "norm: tensor x is F32 (2, 0), expected F32 or BF16 (any, 1 or more)");
    assert_fails(fv_norm(backend, &(fv_norm_args){.x = matrix(2, 3), .residual = matrix(2, 3)}), FV_ERR_SHAPE,
                 "norm: tensor sum is absent and residual is there");
    assert_fails(fv_fill(backend, &(fv_fill_args){.x = {memory, FV_F32, 9}}), FV_ERR_SHAPE,
                 "has 9 dimensions");
}

static void test_patches_are_whole(void **state)
{
    (void)state;
    fv_patches_args args = {.pixels = fv_tensor_3d(memory, FV_U8, 4, 6, 3), .patch = 2, .merge = 2};
    assert_fails(fv_patches(backend, &args), FV_ERR_SHAPE, "patch is 2, merge 2 and frames 0, expected");
    args.frames = 1;
    assert_fails(fv_patches(backend, &args), FV_ERR_SHAPE, "has 6 x 4 pixels, expected multiples of 4");
    args.merge = 1;
    args.out = matrix(6, 11);
    assert_fails(fv_patches(backend, &args), FV_ERR_SHAPE,
                 "out is F32 (6, 11), expected F32 or BF16 (6, 12)");
}

/* A class of dtypes, or the dtype of another tensor. */
static void test_names_dtypes(void **state)
{
    (void)state;
    fv_tensor ids = fv_tensor_2d(memory, FV_I32, 2, 3), halves = fv_tensor_2d(memory, FV_F16, 2, 3);
    assert_fails(fv_cast(backend, &(fv_cast_args){.in = ids, .out = matrix(2, 3)}), FV_ERR_SHAPE,
                 "cast: tensor in is I32 (2, 3), expected F32 or F16 or BF16 (any, any)");
    assert_fails(fv_copy(backend, &(fv_copy_args){.in = halves, .out = matrix(2, 3)}), FV_ERR_SHAPE,
                 "copy: tensor out is F32 (2, 3), expected F16 (2, 3)");
    assert_fails(fv_gelu(backend, &(fv_gelu_args){.x = halves, .y = halves}), FV_ERR_SHAPE,
                 "gelu: tensor x is F16 (2, 3), expected F32 or BF16 (any, any)");
    fv_tensor x = fv_tensor_2d(memory, FV_BF16, 2, 3);
    assert_fails(fv_gelu(backend, &(fv_gelu_args){.x = x, .y = matrix(2, 3)}), FV_ERR_SHAPE,
                 "gelu: tensor y is F32 (2, 3), expected BF16 (2, 3)");
    assert_fails(fv_norm(backend, &(fv_norm_args){.x = x, .weight = vector(3), .y = x, .rstd = x}),
                 FV_ERR_SHAPE, "norm: tensor rstd is BF16 (2, 3), expected F32 (2)");
}

static void test_refuses_bad_layouts(void **state)
{
    (void)state;
    fv_tensor folded = {memory, FV_F32, 2, {3, 4, 1}, 2}, column = {memory, FV_F32, 1, {3, 1, 1}, 4};
    assert_fails(fv_fill(backend, &(fv_fill_args){.x = folded}), FV_ERR_SHAPE,
                 "rows of 4 elements 2 apart, expected rows that do not overlap");
    assert_fails(fv_fill(backend, &(fv_fill_args){.x = column}), FV_ERR_SHAPE,
                 "expected a vector without gaps");
    fv_tensor q = fv_tensor_3d(memory, FV_F32, 1, 3, 2), k = fv_tensor_3d(memory, FV_F32, 1, 2, 2);
    fv_attention_args attention = {.q = q,
                                   .k = k,
                                   .v = k,
                                   .out = q,
                                   .segments = fv_tensor_2d(memory, FV_I32, 1, FV_SEGMENT_FIELDS),
                                   .spans = fv_tensor_2d(memory, FV_I32, 1, FV_SPAN_FIELDS)};
    assert_fails(fv_attention(backend, &attention), FV_ERR_SHAPE, "q has 3 heads and k 2");
    fv_rope_args rope = {
        .x = fv_tensor_3d(memory, FV_F32, 1, 1, 3), .cos = matrix(1, 1), .sin = matrix(1, 1)};
    assert_fails(fv_rope(backend, &rope), FV_ERR_SHAPE, "heads of 3 channels, expected an even number");
}

static void test_refuses_bad_numbers(void **state)
{
    (void)state;
    fv_adamw_args adamw = {
        .grad = vector(2), .scale = vector(1), .param = vector(2), .m = vector(2), .v = vector(2)};
    assert_fails(fv_adamw(backend, &adamw), FV_ERR_ARGUMENT, "the step is 0");
    fv_sample_args sample = {.logits = matrix(1, 3), .inv_temperature = vector(1), .draws = matrix(1, 4)};
    sample.draws.dtype = FV_I32;
    assert_fails(fv_sample(backend, &sample), FV_ERR_SHAPE, "draws is I32 (1, 4), expected I32 (1, 5)");
}

/* Nothing to compute is no call; a sum over nothing is one. */
static void test_empty_work(void **state)
{
    (void)state;
    memory[0] = 1.0f;
    memset(backend->timer, 0, sizeof backend->timer);
    assert_ok(fv_fill(backend, &(fv_fill_args){.x = matrix(0, 8), .value = 2.0f}));
    assert_ok(fv_gelu(backend, &(fv_gelu_args){.x = {NULL, FV_F32, 2, {0, 8, 1}, 8}, .y = matrix(0, 8)}));
    assert_int_equal(backend->timer[FV_OP_fill].n_calls, 0);
    assert_true(memory[0] == 1.0f);
    assert_ok(
        fv_colsum(backend, &(fv_colsum_args){.x = {memory + 8, FV_F32, 2, {0, 2, 1}, 2}, .out = vector(2)}));
    assert_true(memory[0] == 0.0f);
    assert_int_equal(backend->timer[FV_OP_colsum].n_calls, 1);
    assert_true(backend->timer[FV_OP_colsum].ns > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_what_is_wrong), cmocka_unit_test(test_patches_are_whole),
        cmocka_unit_test(test_names_dtypes),        cmocka_unit_test(test_refuses_bad_layouts),
        cmocka_unit_test(test_refuses_bad_numbers), cmocka_unit_test(test_empty_work),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
