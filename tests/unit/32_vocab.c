/* Statistics of logits, their merge and their gradient on the CPU. */
#include "kernels.h"

enum { T = 9, V = 2 * FV_VOCAB_CHUNK + 1003, P = 3, FIRST = 4 * FV_VOCAB_CHUNK };

static float logits[T * V];
static int32_t targets[T];
static int32_t excluded[600]; /* unsorted, one twice, some outside */
static const float inv_temperature = 1.25f;

static void setup_inputs(void)
{
    fill_normal(logits, T * V, 1, 3.0f);
    for (int t = 0; t < T; t++)
        targets[t] = FIRST + t * 977 + 5;
    for (int i = 0; i < 600; i++)
        excluded[i] = FIRST + (i * 7919 + 3) % (V - 1) + 1;
    excluded[1] = excluded[0];
    excluded[2] = 3;
    excluded[3] = FIRST + V;
    excluded[4] = targets[2];
    logits[3 * V + 17] = -INFINITY;
    targets[5] = FIRST - 1;
    targets[6] = FIRST + V;
}

static int is_excluded(int64_t id)
{
    for (int i = 0; i < 600; i++)
        if (excluded[i] == id)
            return 1;
    return 0;
}

/* ---- plain references in double, of one row ---- */

typedef struct row_point {
    int64_t target;
    double dlogprob, dentropy;
} row_point;

typedef struct row_stats {
    double lse, logprob, entropy;
} row_stats;

static uint8_t out_of_row[V];

static row_stats stats_of(const double *row, int64_t target)
{
    double max = -INFINITY, sum = 0.0, weighted = 0.0;
    for (int j = 0; j < V; j++)
        max = !out_of_row[j] && row[j] > max ? row[j] : max;
    max *= (double)inv_temperature;
    for (int j = 0; j < V; j++) {
        double z = row[j] * (double)inv_temperature, e = out_of_row[j] ? 0.0 : exp(z - max);
        sum += e;
        weighted += e > 0.0 ? e * z : 0.0;
    }
    double lse = max + log(sum);
    int64_t j = target - FIRST;
    int inside = j >= 0 && j < V && !out_of_row[j];
    return (row_stats){lse, inside ? row[j] * (double)inv_temperature - lse : -INFINITY,
                       lse - weighted / sum};
}

static double loss(const double *row, const void *context)
{
    const row_point *point = context;
    row_stats s = stats_of(row, point->target);
    return (isinf(s.logprob) ? -s.lse : s.logprob) * point->dlogprob + s.entropy * point->dentropy;
}

/* ---- through the kernels ---- */

static void run_stats(fv_backend *backend, float *parts, float *merged)
{
    RUN(backend, vocab_stats, .logits = f32_2d(logits, T, V), .targets = i32_1d(targets, T),
        .excluded = i32_1d(excluded, 600), .parts = fv_tensor_3d(parts, FV_F32, P, T, 4), .first = FIRST,
        .inv_temperature = inv_temperature);
    RUN(backend, vocab_merge, .parts = fv_tensor_3d(parts, FV_F32, P, T, 4), .lse = f32_1d(merged, T),
        .logprob = f32_1d(merged + T, T), .entropy = f32_1d(merged + 2 * T, T));
}

static void case_vocab(fv_backend *backend, float *out)
{
    static float dlogprob[T], dentropy[T];
    float *merged = out + P * T * 4, *grad = merged + 3 * T;
    run_stats(backend, out, merged);
    fill_normal(dlogprob, T, 11, 1.0f);
    fill_normal(dentropy, T, 12, 1.0f);
    memcpy(grad, logits, sizeof logits);
    RUN(backend, vocab_grad, .targets = i32_1d(targets, T), .excluded = i32_1d(excluded, 600),
        .lse = f32_1d(merged, T), .dlogprob = f32_1d(dlogprob, T), .entropy = f32_1d(merged + 2 * T, T),
        .dentropy = f32_1d(dentropy, T), .logits = f32_2d(grad, T, V), .first = FIRST,
        .inv_temperature = inv_temperature);
}

enum { CASE = P * T * 4 + 3 * T + T * V };
static float out[CASE];

static int setup_case(void **state)
{
    (void)state;
    fv_backend *backend = best();
    case_vocab(backend, out);
    fv_backend_destroy(backend);
    for (int j = 0; j < V; j++)
        out_of_row[j] = (uint8_t)is_excluded(FIRST + j);
    return 0;
}

static const double *row_of(int t)
{
    static double row[V];
    for (int j = 0; j < V; j++)
        row[j] = (double)logits[t * V + j];
    return row;
}

static void test_statistics(void **state)
{
    (void)state;
    const float *lse = out + P * T * 4, *logprob = lse + T, *entropy = logprob + T;
    for (int t = 0; t < T; t++) {
        row_stats exact = stats_of(row_of(t), targets[t]);
        assert_near(lse[t], exact.lse, 3e-6, "lse");
        assert_near(entropy[t], exact.entropy, 3e-6, "entropy");
        if (t == 2 || t == 5 || t == 6)
            assert_true(logprob[t] == -INFINITY);
        else
            assert_near(logprob[t], exact.logprob, 5e-6, "logprob");
    }
}

static void test_gradient(void **state)
{
    (void)state;
    static double row[V];
    float dlogprob[T], dentropy[T];
    fill_normal(dlogprob, T, 11, 1.0f);
    fill_normal(dentropy, T, 12, 1.0f);
    const float *grad = out + P * T * 4 + 3 * T;
    for (int t = 0; t < T; t += 2) {
        memcpy(row, row_of(t), sizeof row);
        row_point point = {targets[t], (double)dlogprob[t], (double)dentropy[t]};
        for (int j = t; j < V; j += 1499)
            assert_near(grad[t * V + j], out_of_row[j] ? 0.0 : slope(loss, row, j, &point), 1e-6, "gradient");
        int64_t j = targets[t] - FIRST;
        if (j >= 0 && j < V && !out_of_row[j])
            assert_near(grad[t * V + j], slope(loss, row, j, &point), 2e-6, "gradient of the target");
    }
    for (int i = 0; i < T * V; i++)
        assert_true(out_of_row[i % V] ? grad[i] == 0.0f && !signbit(grad[i]) : isfinite(grad[i]));
    assert_true(grad[3 * V + 17] == 0.0f); /* logit -inf */
}

static void test_same_bits(void **state)
{
    (void)state;
    check_same_bits(case_vocab, CASE);
}

/* A shard that starts at a multiple of the chunk gives the parts that one call over all gives. */
static void test_shards_and_rows_alone(void **state)
{
    (void)state;
    float parts[4];
    fv_backend *backend = best();
    for (int p = 0; p < P; p++)
        for (int t = 0; t < T; t += 4) {
            int n = p < P - 1 ? FV_VOCAB_CHUNK : V - p * FV_VOCAB_CHUNK;
            const float *shard = logits + t * V + p * FV_VOCAB_CHUNK;
            RUN(backend, vocab_stats, .logits = f32_2d(shard, 1, n), .targets = i32_1d(targets + t, 1),
                .excluded = i32_1d(excluded, 600), .parts = fv_tensor_3d(parts, FV_F32, 1, 1, 4),
                .first = FIRST + p * FV_VOCAB_CHUNK, .inv_temperature = inv_temperature);
            assert_same_bits(parts, out + (p * T + t) * 4, 4, "a part");
        }
    fv_backend_destroy(backend);
}

static void test_nothing_left(void **state)
{
    (void)state;
    const int32_t all[5] = {3, 1, 4, 0, 2};
    const float x[5] = {1, INFINITY, NAN, 2, 3};
    float parts[4], merged[3], grad[5], zero = 0.0f, one = 1.0f;
    fv_backend *backend = best();
    RUN(backend, vocab_stats, .logits = f32_2d(x, 1, 5), .excluded = i32_1d(all, 5),
        .parts = fv_tensor_3d(parts, FV_F32, 1, 1, 4), .inv_temperature = 1.0f);
    assert_true(parts[0] == -INFINITY && parts[1] == 0.0f && parts[2] == 0.0f && parts[3] == -INFINITY);
    RUN(backend, vocab_merge, .parts = fv_tensor_3d(parts, FV_F32, 1, 1, 4), .lse = f32_1d(merged, 1),
        .logprob = f32_1d(merged + 1, 1), .entropy = f32_1d(merged + 2, 1));
    assert_true(merged[0] == -INFINITY && merged[1] == -INFINITY && merged[2] == 0.0f);
    memcpy(grad, x, sizeof grad);
    RUN(backend, vocab_grad, .targets = i32_1d(all, 1), .excluded = i32_1d(all, 5), .lse = f32_1d(merged, 1),
        .dlogprob = f32_1d(&one, 1), .entropy = f32_1d(&zero, 1), .dentropy = f32_1d(&one, 1),
        .logits = f32_2d(grad, 1, 5), .inv_temperature = 1.0f);
    for (int j = 0; j < 5; j++)
        assert_true(grad[j] == 0.0f);
    fv_backend_destroy(backend);
}

/* A NaN must not vanish. */
static void test_nan_is_seen(void **state)
{
    (void)state;
    float x[40], parts[4];
    fv_backend *backend = best();
    for (int n = 1; n <= 40; n += 13) {
        for (int j = 0; j < 40; j++)
            x[j] = j == 0 ? NAN : 1.0f;
        RUN(backend, vocab_stats, .logits = f32_2d(x, 1, n), .parts = fv_tensor_3d(parts, FV_F32, 1, 1, 4),
            .inv_temperature = 1.0f);
        assert_true(isnan(parts[1]) && parts[3] == -INFINITY);
    }
    fv_backend_destroy(backend);
}

int main(void)
{
    setup_inputs();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statistics),   cmocka_unit_test(test_gradient),
        cmocka_unit_test(test_same_bits),    cmocka_unit_test(test_shards_and_rows_alone),
        cmocka_unit_test(test_nothing_left), cmocka_unit_test(test_nan_is_seen),
    };
    return cmocka_run_group_tests(tests, setup_case, NULL);
}
