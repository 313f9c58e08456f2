#include "test.h"

#include "fovea/base/dtype.h"

#include <math.h>

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* The value of an fp16 number by its definition. */
static double value_of_half(uint16_t half)
{
    int exponent = half >> 10 & 31, fraction = half & 1023;
    double size = exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25);
    return half & 0x8000 ? -size : size;
}

static void test_every_half_decodes_exactly_and_back(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 0x10000; i++) {
        uint16_t half = (uint16_t)i, back;
        float value;
        fv_dtype_decode(FV_F16, &half, 1, &value);
        if ((half & 0x7c00) != 0x7c00)
            assert_true((double)value == value_of_half(half) && !signbit(value) == !(half >> 15));
        else if (half & 0x3ff)
            assert_true(isnan(value));
        else
            assert_true(isinf(value) && !signbit(value) == !(half >> 15));
        assert_int_equal(fv_dtype_encode(FV_F16, &value, 1, &back), 0);
        assert_int_equal(back, half);
    }
}

static void test_every_bfloat_decodes_exactly_and_back(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 0x10000; i++) {
        uint16_t half = (uint16_t)i, back;
        float value;
        fv_dtype_decode(FV_BF16, &half, 1, &value);
        assert_int_equal(bits_of(value), i << 16);
        assert_int_equal(fv_dtype_encode(FV_BF16, &value, 1, &back), 0);
        assert_int_equal(back, half);
    }
}

static uint16_t encode(fv_dtype dtype, float value, int64_t n_overflows)
{
    uint16_t half;
    assert_int_equal(fv_dtype_encode(dtype, &value, 1, &half), n_overflows);
    return half;
}

/* Between every two neighbours: the middle goes to the even one, a little aside to the nearer one. */
static void test_rounding_is_to_nearest_even(void **state)
{
    (void)state;
    const fv_dtype dtypes[] = {FV_F16, FV_BF16};
    for (int s = 0; s < 2; s++) {
        uint32_t last = s == 0 ? 0x7bff : 0x7f7f;
        for (uint32_t i = 0; i < last; i++) {
            uint16_t pair[2] = {(uint16_t)i, (uint16_t)(i + 1)};
            float value[2];
            fv_dtype_decode(dtypes[s], pair, 2, value);
            float middle = (float)(((double)value[0] + (double)value[1]) / 2);
            assert_int_equal(encode(dtypes[s], middle, 0), i + (i & 1));
            assert_int_equal(encode(dtypes[s], nextafterf(middle, 0), 0), i);
            assert_int_equal(encode(dtypes[s], -nextafterf(middle, INFINITY), 0), 0x8000 | (i + 1));
        }
    }
}

static void test_overflow_is_counted(void **state)
{
    (void)state;
    assert_int_equal(encode(FV_F16, 65519.0f, 0), 0x7bff);
    assert_int_equal(encode(FV_F16, 65520.0f, 1), 0x7c00);
    assert_int_equal(encode(FV_F16, -1e30f, 1), 0xfc00);
    assert_int_equal(encode(FV_F16, INFINITY, 0), 0x7c00);
    assert_int_equal(encode(FV_BF16, 3.4e38f, 1), 0x7f80);
    assert_int_equal(encode(FV_BF16, NAN, 0) & 0x7fff, 0x7fc0);
}

static void test_names(void **state)
{
    (void)state;
    fv_dtype dtype;
    assert_int_equal(fv_dtype_parse("BF16", &dtype), 1);
    assert_int_equal(dtype, FV_BF16);
    assert_int_equal(fv_dtype_parse("bf16", &dtype), 0);
    assert_ok(fv_dtype_parse_float("fp16", &dtype));
    assert_string_equal(fv_dtype_float_name(dtype), "float16");
    assert_fails(fv_dtype_parse_float("int8", &dtype), FV_ERR_ARGUMENT, "\"int8\", only as fp32");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_half_decodes_exactly_and_back),
        cmocka_unit_test(test_every_bfloat_decodes_exactly_and_back),
        cmocka_unit_test(test_rounding_is_to_nearest_even),
        cmocka_unit_test(test_overflow_is_counted),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
