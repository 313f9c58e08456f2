/* Draws by the Gumbel maximum: their distribution, and that nothing but key and logits decides them. */
#include "test.h"

#include "fovea/base/rng.h"
#include "fovea/ops/staging.h"

#include <math.h>
#include <stdlib.h>

enum { V = 1000, ROWS = 500, TURNS = 100 };

static fv_backend *backend;
static float logits[ROWS * V], inv_temperature[ROWS], value[ROWS], z[ROWS];
static int32_t draws[ROWS * FV_DRAW_FIELDS], ids[ROWS];

static void set_keys(uint32_t step, int is_random)
{
    for (uint32_t t = 0; t < ROWS; t++) {
        fv_rng_words((fv_rng_key){.seed = 3, .step = step}, t, (uint32_t *)draws + t * FV_DRAW_FIELDS);
        draws[t * FV_DRAW_FIELDS + 4] = is_random;
    }
}

static fv_sample_args args_of(int64_t n)
{
    return (fv_sample_args){.logits = fv_tensor_2d(logits, FV_F32, ROWS, n),
                            .inv_temperature = fv_tensor_1d(inv_temperature, FV_F32, ROWS),
                            .draws = fv_tensor_2d(draws, FV_I32, ROWS, FV_DRAW_FIELDS),
                            .value = fv_tensor_1d(value, FV_F32, ROWS),
                            .z = fv_tensor_1d(z, FV_F32, ROWS),
                            .ids = fv_tensor_1d(ids, FV_I32, ROWS)};
}

/* The rows are alike. */
static void set_logits(int64_t n, const float *row, float inv)
{
    for (int64_t t = 0; t < ROWS; t++) {
        memcpy(logits + t * n, row, (size_t)n * sizeof *row);
        inv_temperature[t] = inv;
    }
}

/* Chi-square of counts against softmax(row * inv), ids that are expected less than five times in one bin; it
 * is about normal with this mean and variance (Wilson and Hilferty, 1931). Five deviations. */
static void check_counts(const int64_t *counts, const float *row, int64_t n, float inv)
{
    double total = 0, p[V], rest = 0, square = 0;
    int64_t bins = 0, rest_count = 0;
    for (int64_t j = 0; j < n; j++)
        total += p[j] = exp((double)(row[j] * inv));
    for (int64_t j = 0; j < n; j++) {
        double expected = p[j] / total * ROWS * TURNS;
        if (expected < 5) {
            rest += expected;
            rest_count += counts[j];
            continue;
        }
        square += ((double)counts[j] - expected) * ((double)counts[j] - expected) / expected;
        bins++;
    }
    if (rest >= 5) {
        square += ((double)rest_count - rest) * ((double)rest_count - rest) / rest;
        bins++;
    }
    double freedom = (double)bins - 1;
    double normal = (cbrt(square / freedom) - 1 + 2 / (9 * freedom)) / sqrt(2 / (9 * freedom));
    if (!(fabs(normal) < 5))
        fail_msg("%lld ids: chi-square %g with %g degrees of freedom", (long long)n, square, freedom);
}

static void check_distribution(const float *row, int64_t n, float inv)
{
    int64_t *counts = calloc((size_t)n, sizeof *counts);
    set_logits(n, row, inv);
    for (uint32_t turn = 0; turn < TURNS; turn++) {
        set_keys(turn, 1);
        fv_sample_args args = args_of(n);
        assert_ok(fv_sample(backend, &args));
        for (int t = 0; t < ROWS; t++) {
            assert_in_range(ids[t], 0, n - 1);
            counts[ids[t]]++;
        }
    }
    check_counts(counts, row, n, inv);
    free(counts);
}

/* 50,000 draws each: few ids, many, a steep row, temperatures. */
static void test_distribution(void **state)
{
    (void)state;
    float row[V];
    static const int64_t sizes[] = {2, 50, V};
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < sizes[i]; j++)
            row[j] = 1.5f * fv_rng_normal((fv_rng_key){.seed = 4}, (uint32_t)j);
        check_distribution(row, sizes[i], 1.0f);
        check_distribution(row, sizes[i], 1.0f / 0.6f);
        check_distribution(row, sizes[i], 0.5f);
    }
    for (int j = 0; j < V; j++)
        row[j] = -0.05f * (float)j;
    check_distribution(row, V, 1.0f);
    memset(row, 0, sizeof row);
    check_distribution(row, V, 1.0f);
}

/* Columns [from, to) of all rows, as a rank that holds only these, or as the next part. */
static fv_sample_args part_of(int64_t from, int64_t to, int accumulate)
{
    fv_sample_args args = args_of(V);
    args.logits = fv_tensor_cols(args.logits, from, to - from);
    args.first = (int32_t)from;
    args.accumulate = accumulate;
    return args;
}

/* Cut anywhere, in turns or by ranks whose best are compared. */
static void test_parts(void **state)
{
    (void)state;
    static const int64_t cuts[] = {0, 1, 64, 130, 131, 500, 997, V};
    enum { N = sizeof cuts / sizeof *cuts - 1 };
    float whole_value[ROWS], whole_z[ROWS], best[ROWS];
    int32_t whole[ROWS], found[ROWS];
    for (int i = 0; i < ROWS * V; i++)
        logits[i] = 3.0f * fv_rng_normal((fv_rng_key){.seed = 5}, (uint32_t)i);
    for (int t = 0; t < ROWS; t++)
        inv_temperature[t] = 1.0f + 0.01f * (float)t;
    set_keys(7, 1);
    fv_sample_args args = args_of(V);
    assert_ok(fv_sample(backend, &args));
    memcpy(whole, ids, sizeof ids);
    memcpy(whole_value, value, sizeof value);
    memcpy(whole_z, z, sizeof z);
    for (int i = 0; i < N; i++) {
        args = part_of(cuts[i], cuts[i + 1], i > 0);
        assert_ok(fv_sample(backend, &args));
    }
    assert_memory_equal(whole, ids, sizeof ids);
    assert_memory_equal(whole_value, value, sizeof value);
    assert_memory_equal(whole_z, z, sizeof z);
    for (int i = 0; i < N; i++) {
        args = part_of(cuts[i], cuts[i + 1], 0);
        assert_ok(fv_sample(backend, &args));
        for (int t = 0; t < ROWS; t++)
            if (i == 0 || value[t] > best[t]) {
                best[t] = value[t];
                found[t] = ids[t];
            }
    }
    assert_memory_equal(whole, found, sizeof found);
}

/* The number of an id follows from key and id alone: these words of Philox, on any processor. */
static void test_one_key(void **state)
{
    (void)state;
    memset(logits, 0, sizeof logits);
    for (int t = 0; t < ROWS; t++)
        inv_temperature[t] = 1.0f;
    set_keys(1, 1);
    fv_sample_args args = args_of(1);
    args.first = 77;
    assert_ok(fv_sample(backend, &args));
    assert_true(value[0] == -0x1.bda91cp-1f && value[1] == -0x1.d8b3d8p-2f);
}

static void test_rows_without_a_distribution(void **state)
{
    (void)state;
    static const float wrong[] = {NAN, INFINITY, -NAN};
    int32_t excluded[1] = {100};
    for (int i = 0; i < 3; i++) {
        memset(logits, 0, sizeof logits);
        logits[V + 100] = wrong[i];
        for (int j = 0; j < V; j++)
            logits[2 * V + j] = -INFINITY;
        set_keys(2, i != 1);
        fv_sample_args args = args_of(V);
        assert_ok(fv_sample(backend, &args));
        assert_true(ids[0] >= 0 && ids[1] == -1 && value[1] == INFINITY && ids[2] == -1 &&
                    value[2] == -INFINITY && ids[3] >= 0);
        args.excluded = fv_tensor_1d(excluded, FV_I32, 1); /* then it does not matter */
        assert_ok(fv_sample(backend, &args));
        assert_true(ids[1] >= 0 && ids[1] != 100 && ids[2] == -1);
    }
}

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distribution),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_one_key),
        cmocka_unit_test(test_rows_without_a_distribution),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
