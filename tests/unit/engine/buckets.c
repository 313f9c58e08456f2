/* Buckets: the rows that a recorded pass has, of which there are few, and never many more than are wanted. */
#include "test.h"

#include "engine/engine_internal.h"

enum { MOST = 1 << 30 };

static void test_sizes(void **state)
{
    static const int64_t sizes[] = {1,   2,   4,   8,   16,  24,  32,  48,  64,  96,  128,
                                    192, 256, 320, 384, 448, 512, 640, 768, 896, 1024};
    int64_t size, n = 1;
    (void)state;
    for (int i = 0; i < (int)(sizeof sizes / sizeof *sizes); i++)
        for (; n <= sizes[i]; n++) {
            assert_int_equal(fv_bucket_of(n, MOST, &size), i);
            assert_int_equal(size, sizes[i]);
        }
}

static void test_the_largest(void **state)
{
    int64_t size;
    (void)state;
    assert_true(fv_bucket_of(MOST, MOST, &size) < FV_MAX_BUCKETS);
    assert_int_equal(size, MOST);
    assert_int_equal(fv_bucket_of(290, 300, &size), fv_bucket_of(320, 320, &size));
    fv_bucket_of(290, 300, &size);
    assert_int_equal(size, 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_the_largest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
