/* Masters as pairs, and moments that are rounded at random, bit by bit. */
#include "test.h"

#include "fovea/ops/backend.h"
#include "fovea/base/rng.h"

#include <math.h>

enum { N = 20011, STEPS = 3 };

static fv_backend *backends[3];
static int n_backends;

static int setup(void **state)
{
    static const char *const isas[] = {"avx512", "avx2", "portable"};
    (void)state;
    for (int i = 0; i < 3; i++)
        n_backends += fv_backend_cpu_create(isas[i], 2, &backends[n_backends]) == FV_OK;
    return n_backends == 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < n_backends; i++)
        fv_backend_destroy(backends[i]);
    return 0;
}

static float of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* Every lower half under upper halves that are odd, even, negative, subnormal, large. */
static void test_every_pair_restores_its_number(void **state)
{
    (void)state;
    static const uint16_t uppers[] = {0,      1,      2,      0x3f80, 0x3f81, 0xbf80,
                                      0xbf81, 0x7f7e, 0x7f7f, 0x8000, 0x8001};
    static float x[1 << 16], master[1 << 16], back[1 << 16];
    static uint16_t weight[1 << 16], low[1 << 16], rounded[1 << 16];
    const int64_t n = 1 << 16;
    const fv_tensor t[] = {fv_tensor_1d(master, FV_F32, n), fv_tensor_1d(weight, FV_BF16, n),
                           fv_tensor_1d(low, FV_U16, n), fv_tensor_1d(back, FV_F32, n)};
    for (size_t u = 0; u < sizeof uppers / sizeof *uppers * (size_t)n_backends; u++) {
        fv_backend *backend = backends[u % (size_t)n_backends];
        uint32_t upper = uppers[u / (size_t)n_backends];
        for (uint32_t i = 0; i < n; i++)
            master[i] = x[i] = of_bits(upper << 16 | i);
        fv_dtype_encode(FV_BF16, x, n, rounded);
        assert_ok(fv_pair_split(backend, &(fv_pair_split_args){t[0], t[1], t[2]}));
        assert_ok(fv_pair_join(backend, &(fv_pair_join_args){t[1], t[2], t[3]}));
        assert_memory_equal(weight, rounded, sizeof rounded);
        assert_memory_equal(master, back, sizeof back);
        for (uint32_t i = 0; i < n; i++)
            assert_int_equal(bits_of(master[i]), bits_of(x[i]) + (upper % 2 == 1 && i == 0x8000));
        fv_dtype_encode(FV_BF16, master, n, rounded);
        assert_memory_equal(weight, rounded, sizeof rounded);
    }
}

static void draw(float *x, uint64_t stream, float scale)
{
    for (uint32_t i = 0; i < N; i++)
        x[i] = scale * fv_rng_normal((fv_rng_key){.seed = 5, .prompt = stream}, i);
}

/* A tensor in training, and the arguments of its step. */
typedef struct learner {
    float grad[N], scale, param[N], m[N], v[N];
    uint16_t weight[N], low[N], half_m[N], half_v[N];
    fv_adamw_args args;
} learner;

static void start(learner *l)
{
    draw(l->param, 1, 0.1f);
    for (int i = 0; i < N; i += 5)
        l->param[i] = of_bits((bits_of(l->param[i]) & 0xffff0000u) | 0x8000u);
    memset(l->m, 0, sizeof l->m);
    memset(l->v, 0, sizeof l->v);
    memset(l->half_m, 0, sizeof l->half_m);
    memset(l->half_v, 0, sizeof l->half_v);
    l->scale = 0.7f;
    l->args = (fv_adamw_args){.grad = fv_tensor_1d(l->grad, FV_F32, N),
                              .scale = fv_tensor_1d(&l->scale, FV_F32, 1),
                              .m = fv_tensor_1d(l->m, FV_F32, N),
                              .v = fv_tensor_1d(l->v, FV_F32, N),
                              .lr = 1e-3f,
                              .beta1 = 0.9f,
                              .beta2 = 0.99f,
                              .eps = 1e-8f,
                              .weight_decay = 0.01f,
                              .seed = 3,
                              .tensor = 8,
                              .place = {.cols = N, .block_rows = 1, .whole_cols = N}};
}

static learner whole, paired;

static void test_a_pair_moves_like_its_master(void **state)
{
    (void)state;
    static float master[N];
    const fv_tensor weight = fv_tensor_1d(paired.weight, FV_BF16, N),
                    low = fv_tensor_1d(paired.low, FV_U16, N);
    for (int b = 0; b < n_backends; b++) {
        start(&whole);
        start(&paired);
        whole.args.param = fv_tensor_1d(whole.param, FV_F32, N);
        whole.args.weight = fv_tensor_1d(whole.weight, FV_BF16, N);
        paired.args.weight = weight;
        paired.args.low = low;
        fv_tensor param = fv_tensor_1d(paired.param, FV_F32, N);
        assert_ok(fv_pair_split(
            backends[b], &(fv_pair_split_args){.master = whole.args.param, .weight = whole.args.weight}));
        assert_ok(fv_pair_split(backends[b], &(fv_pair_split_args){param, weight, low}));
        for (int s = 1; s <= STEPS; s++) {
            draw(whole.grad, 10 + (uint64_t)s, 1e-2f);
            memcpy(paired.grad, whole.grad, sizeof whole.grad);
            whole.args.step = paired.args.step = s;
            assert_ok(fv_adamw(backends[b], &whole.args));
            assert_ok(fv_adamw(backends[b], &paired.args));
            assert_ok(fv_pair_join(backends[b],
                                   &(fv_pair_join_args){weight, low, fv_tensor_1d(master, FV_F32, N)}));
            assert_memory_equal(master, whole.param, sizeof master);
            assert_memory_equal(paired.weight, whole.weight, sizeof paired.weight);
            assert_memory_equal(paired.m, whole.m, sizeof paired.m);
            assert_memory_equal(paired.v, whole.v, sizeof paired.v);
        }
    }
}

static void use_halves(learner *l)
{
    l->args.param = fv_tensor_1d(l->param, FV_F32, N);
    l->args.m = fv_tensor_1d(l->half_m, FV_BF16, N);
    l->args.v = fv_tensor_1d(l->half_v, FV_BF16, N);
}

/* Rounded up as often as it should be: the mean of N moments is off by a few of its deviations at most. */
static void test_moments_are_right_on_average(void **state)
{
    (void)state;
    for (int i = 0; i < 8 * n_backends; i++) {
        double sum[2] = {0};
        start(&whole);
        use_halves(&whole);
        whole.args.step = 1 + i / n_backends;
        whole.scale = 1;
        float g = whole.grad[0] = 0.1f + 0.037f * (float)i;
        for (int j = 0; j < N; j++)
            whole.grad[j] = g;
        assert_ok(fv_adamw(backends[i % n_backends], &whole.args));
        float exact[2] = {(1 - 0.9f) * g, (1 - 0.99f) * (g * g)};
        for (int j = 0; j < N; j++)
            for (int k = 0; k < 2; k++) {
                uint16_t half = k ? whole.half_v[j] : whole.half_m[j];
                assert_in_range(half, bits_of(exact[k]) >> 16, (bits_of(exact[k]) >> 16) + 1);
                sum[k] += (double)of_bits((uint32_t)half << 16);
            }
        for (int k = 0; k < 2; k++) {
            double up = (double)of_bits(((bits_of(exact[k]) >> 16) + 1) << 16),
                   unit = up - (double)of_bits(bits_of(exact[k]) & 0xffff0000u);
            assert_true(fabs(sum[k] / N - (double)exact[k]) <= 5 * unit * 0.5 / sqrt(N));
        }
    }
}

/* A matrix of ROWS rows in one piece, and as two ranks have it, cut by columns, each in two pieces. */
static void test_no_layout_changes_a_draw(void **state)
{
    (void)state;
    enum { ROWS = 20, COLS = 1000, OWN = COLS / 2, PART = ROWS * OWN, FIRST = PART / 3 };
    static learner part;
    for (int b = 0; b < n_backends; b++) {
        start(&whole);
        use_halves(&whole);
        draw(whole.grad, 77, 1e-2f);
        whole.args.step = 4;
        whole.args.place = (fv_part_place){.cols = COLS, .block_rows = ROWS, .whole_cols = COLS};
        assert_ok(fv_adamw(backends[b], &whole.args));
        for (int rank = 0; rank < 2; rank++) {
            start(&part);
            use_halves(&part);
            for (int i = 0; i < PART; i++)
                part.grad[i] = whole.grad[i / OWN * COLS + rank * OWN + i % OWN];
            fv_adamw_args args = part.args;
            args.step = 4;
            args.place =
                (fv_part_place){.cols = OWN, .block_rows = ROWS, .first_col = rank * OWN, .whole_cols = COLS};
            for (int k = 0; k < 2; k++) {
                int64_t first = k ? FIRST : 0, n = k ? PART - FIRST : FIRST;
                args.first = first;
                args.grad = fv_tensor_1d(part.grad + first, FV_F32, n);
                args.param = fv_tensor_1d(part.param + first, FV_F32, n);
                args.m = fv_tensor_1d(part.half_m + first, FV_BF16, n);
                args.v = fv_tensor_1d(part.half_v + first, FV_BF16, n);
                assert_ok(fv_adamw(backends[b], &args));
            }
            for (int i = 0; i < PART; i++) {
                int at = i / OWN * COLS + rank * OWN + i % OWN;
                assert_int_equal(part.half_m[i], whole.half_m[at]);
                assert_int_equal(part.half_v[i], whole.half_v[at]);
            }
        }
    }
}

/* How many of N moments change when one number of the key does. */
static int other_draws(uint64_t seed, uint64_t tensor, int step)
{
    int n = 0;
    start(&whole);
    start(&paired);
    use_halves(&whole);
    use_halves(&paired);
    draw(whole.grad, 78, 1e-2f);
    memcpy(paired.grad, whole.grad, sizeof paired.grad);
    whole.args.step = 5;
    paired.args.step = step;
    paired.args.seed = seed;
    paired.args.tensor = tensor;
    assert_ok(fv_adamw(backends[0], &whole.args));
    assert_ok(fv_adamw(backends[0], &paired.args));
    for (int i = 0; i < N; i++)
        n += whole.half_m[i] != paired.half_m[i];
    return n;
}

static void test_every_number_of_the_key_counts(void **state)
{
    (void)state;
    assert_int_equal(other_draws(3, 8, 5), 0);
    assert_true(other_draws(4, 8, 5) > N / 5);
    assert_true(other_draws(3, 9, 5) > N / 5);
    assert_true(other_draws(3, 8, 6) > N / 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_pair_restores_its_number),
                                       cmocka_unit_test(test_a_pair_moves_like_its_master),
                                       cmocka_unit_test(test_moments_are_right_on_average),
                                       cmocka_unit_test(test_no_layout_changes_a_draw),
                                       cmocka_unit_test(test_every_number_of_the_key_counts)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
