/* The shuffle of an epoch: a permutation, the same everywhere, another in each epoch, no row favoured. */
#include "test.h"

#include "fovea/data/shuffle.h"

#include <stdlib.h>

static void check_permutation(uint64_t seed, uint32_t epoch, uint64_t n)
{
    uint8_t *seen = calloc(n, 1);
    assert_non_null(seen);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t row = fv_shuffle_row(seed, epoch, n, i);
        assert_true(row < n);
        assert_false(seen[row]++);
    }
    free(seen);
}

static void test_permutation(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 130; n++)
        check_permutation(n, (uint32_t)n % 3, n);
    check_permutation(1, 0, 4096);
    check_permutation(UINT64_MAX, UINT32_MAX, 100003);
}

static void test_known_order(void **state)
{
    (void)state;
    static const uint64_t expected[8] = {2, 4, 6, 7, 0, 5, 3, 1};
    for (uint64_t i = 0; i < 8; i++)
        assert_int_equal(fv_shuffle_row(7, 2, 8, i), expected[i]);
}

/* How many places of two orders agree: about one. */
static int agreements(uint64_t seed_a, uint32_t epoch_a, uint64_t seed_b, uint32_t epoch_b)
{
    enum { N = 1000 };
    int n = 0;
    for (uint64_t i = 0; i < N; i++)
        n += fv_shuffle_row(seed_a, epoch_a, N, i) == fv_shuffle_row(seed_b, epoch_b, N, i);
    return n;
}

static void test_epochs_and_seeds_differ(void **state)
{
    (void)state;
    assert_true(agreements(1, 0, 1, 1) < 8);
    assert_true(agreements(1, 0, 2, 0) < 8);
    assert_true(agreements(1, 0, (uint64_t)1 << 32 | 1, 0) < 8);
    assert_int_equal(agreements(1, 5, 1, 5), 1000);
}

/* Over many epochs every row comes first equally often: chi-square with 4 degrees of freedom. */
static void test_no_row_is_favoured(void **state)
{
    (void)state;
    enum { N = 5, EPOCHS = 10000 };
    int counts[N][N] = {{0}};
    for (uint32_t epoch = 0; epoch < EPOCHS; epoch++)
        for (uint64_t i = 0; i < N; i++)
            counts[i][fv_shuffle_row(3, epoch, N, i)]++;
    for (int i = 0; i < N; i++) {
        double chi = 0, expected = (double)EPOCHS / N;
        for (int r = 0; r < N; r++)
            chi += (counts[i][r] - expected) * (counts[i][r] - expected) / expected;
        assert_true(chi < 25);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_permutation),
        cmocka_unit_test(test_known_order),
        cmocka_unit_test(test_epochs_and_seeds_differ),
        cmocka_unit_test(test_no_row_is_favoured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
