/* exp and log of the CPU kernels against the C library in double. */
#include "test.h"

#include "kernels/cpu/vec.h"

#include <math.h>

static double ulp_of(float y)
{
    int exponent;
    frexp((double)y, &exponent);
    return ldexp(1.0, (exponent < -125 ? -125 : exponent) - 24);
}

static float from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static double worst(v16 (*f)(v16), double (*exact)(double), uint32_t first, uint32_t last, uint32_t step)
{
    double most = 0.0;
    for (uint64_t b = first; b + (uint64_t)step * V_LANES <= last; b += (uint64_t)step * V_LANES) {
        float x[V_LANES], y[V_LANES];
        for (int i = 0; i < V_LANES; i++)
            x[i] = from_bits((uint32_t)b + (uint32_t)i * step);
        v_store(y, f(v_load(x)));
        for (int i = 0; i < V_LANES; i++) {
            double error = fabs((double)y[i] - exact((double)x[i])) / ulp_of(y[i]);
            most = error > most ? error : most;
        }
    }
    return most;
}

static v16 vector_exp(v16 x)
{
    return v_exp(x);
}

static v16 vector_log(v16 x)
{
    return v_log(x);
}

static void test_exp_is_within_one_ulp(void **state)
{
    (void)state;
    assert_true(worst(vector_exp, exp, 0x30000000, 0x42b09000, 30011) < 1.0); /* to 88.28 */
    assert_true(worst(vector_exp, exp, 0xb0000000, 0xc2ae9000, 30011) < 1.0); /* to -87.28 */
    assert_true(s_exp(-INFINITY) == 0.0f && s_exp(-200.0f) == 0.0f && s_exp(0.0f) == 1.0f);
    assert_true(isinf(s_exp(INFINITY)) && isnan(s_exp(NAN)));
}

static void test_log_is_within_one_ulp(void **state)
{
    (void)state;
    assert_true(worst(vector_log, log, 0x00000001, 0x7f7f0000, 100003) < 1.0);
    assert_true(worst(vector_log, log, 0x3f000001, 0x3f7fff00, 1009) < 1.0);
    assert_true(worst(vector_log, log, 0x3f800001, 0x40000000, 1009) < 1.0);
    assert_true(s_log(1.0f) == 0.0f && isinf(s_log(INFINITY)) && s_log(0.0f) == -INFINITY);
    assert_true(isnan(s_log(-1.0f)) && isnan(s_log(NAN)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exp_is_within_one_ulp),
        cmocka_unit_test(test_log_is_within_one_ulp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
