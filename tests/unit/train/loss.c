/* The policy loss: values by hand, slopes by finite differences, sums and weights. */
#include "test.h"

#include "fovea/train/loss.h"
#include "fovea/base/rng.h"

#include <math.h>

enum { MOST = 32 };

typedef struct batch {
    float new_logprob[MOST], old_logprob[MOST], ref_logprob[MOST], entropy[MOST];
    uint8_t mask[MOST];
    double advantages[8];
    int64_t starts[9], n_sequences;
    float logprob_grad[MOST], entropy_grad[MOST];
} batch;

static int64_t n_tokens(const batch *b)
{
    int64_t n = 0;
    for (int64_t t = 0; t < b->starts[b->n_sequences]; t++)
        n += b->mask[t];
    return n;
}

static fv_loss_args args_of(batch *b)
{
    return (fv_loss_args){.new_logprob = b->new_logprob,
                          .old_logprob = b->old_logprob,
                          .ref_logprob = b->ref_logprob,
                          .entropy = b->entropy,
                          .mask = b->mask,
                          .advantages = b->advantages,
                          .starts = b->starts,
                          .n_sequences = b->n_sequences,
                          .all_sequences = b->n_sequences,
                          .all_tokens = n_tokens(b),
                          .logprob_grad = b->logprob_grad,
                          .entropy_grad = b->entropy_grad};
}

static double loss_of(const fv_loss_settings *settings, batch *b)
{
    fv_loss_sums sums;
    fv_loss_args args = args_of(b);
    memset(b->logprob_grad, 0x7F, sizeof b->logprob_grad);
    memset(b->entropy_grad, 0x7F, sizeof b->entropy_grad);
    assert_ok(fv_loss_compute(settings, &args, &sums));
    return fv_loss_value(settings, &sums);
}

static void assert_near(double a, double b, double tolerance)
{
    if (!(fabs(a - b) <= tolerance))
        fail_msg("%.12g is not %.12g", a, b);
}

/* One sequence of one token. */
static batch one_token(double new_logprob, double old_logprob, double advantage)
{
    return (batch){.new_logprob = {(float)new_logprob},
                   .old_logprob = {(float)old_logprob},
                   .mask = {1},
                   .advantages = {advantage},
                   .starts = {0, 1},
                   .n_sequences = 1};
}

static const fv_loss_settings bare = {.clip_low = 0.2, .clip_high = 0.28};

static void test_clipped_ratio_by_hand(void **state)
{
    (void)state;
    static const struct {
        double ratio, advantage, value, slope;
        int is_clipped;
    } cases[] = {
        {1, 2, -2, -2, 0},      {1.25, 1, -1.25, -1.25, 0}, {1.5, 1, -1.28, 0, 1},
        {1.5, -1, 1.5, 1.5, 0}, {0.5, 1, -0.5, -0.5, 0},    {0.5, -1, 0.8, 0, 1},
        {0.9, -1, 0.9, 0.9, 0}, {1.5, 0, 0, 0, 0},          {1e-9, -1, 0.8, 0, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int kind = 0; kind < 2; kind++) { /* of one token, the sequence's ratio is the token's */
            fv_loss_settings settings = bare;
            fv_loss_sums sums;
            batch b = one_token(log(cases[i].ratio) - 3, -3, cases[i].advantage);
            settings.ratio = kind ? FV_RATIO_SEQUENCE : FV_RATIO_TOKEN;
            fv_loss_args args = args_of(&b);
            assert_ok(fv_loss_compute(&settings, &args, &sums));
            assert_near(sums.policy, cases[i].value, 1e-6);
            assert_near(b.logprob_grad[0], cases[i].slope, 1e-6);
            assert_int_equal(sums.n_clipped, cases[i].is_clipped);
            assert_near(sums.ratio, cases[i].ratio, 1e-6);
            assert_near(sums.approx_kl, -log(cases[i].ratio), 1e-6);
            assert_near(sums.max_logprob_diff, fabs(log(cases[i].ratio)), 2e-6);
        }
}

/* Beyond a dual clip the loss of a negative advantage is constant; a positive one does not see it. */
static void test_dual_clip_by_hand(void **state)
{
    (void)state;
    static const struct {
        double ratio, advantage, value, slope;
        int is_clipped;
    } cases[] = {
        {2.5, -2, 5, 5, 0},    {3.5, -2, 6, 0, 1},   {1e6, -2, 6, 0, 1}, {2.9, -1, 2.9, 2.9, 0},
        {3.5, 2, -2.56, 0, 1}, {0.5, -1, 0.8, 0, 1}, {1, -2, 2, 2, 0},   {1e6, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int kind = 0; kind < 2; kind++) {
            fv_loss_settings settings = bare;
            fv_loss_sums sums;
            batch b = one_token(log(cases[i].ratio) - 20, -20, cases[i].advantage);
            settings.dual_clip = 3;
            settings.ratio = kind ? FV_RATIO_SEQUENCE : FV_RATIO_TOKEN;
            fv_loss_args args = args_of(&b);
            assert_ok(fv_loss_compute(&settings, &args, &sums));
            assert_near(sums.policy, cases[i].value, 1e-5);
            assert_near(b.logprob_grad[0], cases[i].slope, 1e-5);
            assert_int_equal(sums.n_clipped, cases[i].is_clipped);
        }
}

static void test_cispo_by_hand(void **state)
{
    (void)state;
    static const double ratios[] = {1, 1.5, 0.5, 1.1}, weights[] = {1, 1.28, 0.8, 1.1};
    for (int i = 0; i < 4; i++) {
        fv_loss_settings settings = bare;
        fv_loss_sums sums;
        settings.ratio = FV_RATIO_CISPO;
        batch b = one_token(log(ratios[i]) - 3, -3, -2);
        fv_loss_args args = args_of(&b);
        assert_ok(fv_loss_compute(&settings, &args, &sums));
        assert_near(sums.policy, weights[i] * 2 * (log(ratios[i]) - 3), 1e-5);
        assert_near(b.logprob_grad[0], weights[i] * 2, 1e-6);
        assert_int_equal(sums.n_clipped, i == 1 || i == 2);
    }
}

/* A log-prob that fell or rose without measure gives finite numbers, and no slope. */
static void test_ratio_cannot_overflow(void **state)
{
    (void)state;
    batch b = one_token(-1, -200, -1);
    assert_near(loss_of(&bare, &b), exp(20), 1);
    assert_true(b.logprob_grad[0] == 0);
    b = one_token(-200, -1, 1);
    assert_near(loss_of(&bare, &b), -exp(-20), 1e-15);
    assert_true(b.logprob_grad[0] == 0);
}

static void test_kl_by_hand(void **state)
{
    (void)state;
    static const struct {
        fv_kl_kind kind;
        double d, value, slope;
    } cases[] = {
        {FV_KL_PLAIN, 0.5, -0.5, 1},
        {FV_KL_PLAIN, -0.5, 0.5, 1},
        {FV_KL_ABS, 0.5, 0.5, -1},
        {FV_KL_ABS, -0.5, 0.5, 1},
        {FV_KL_ABS, 0, 0, 0},
        {FV_KL_MSE, 0.5, 0.125, -0.5},
        {FV_KL_MSE, -2, 2, 2},
        {FV_KL_LOW_VAR, 0, 0, 0},
        {FV_KL_LOW_VAR, 1, M_E - 2, 1 - M_E},
        {FV_KL_LOW_VAR, -1, 1 / M_E, 1 - 1 / M_E},
        {FV_KL_LOW_VAR, 3, 10, 0},
        {FV_KL_LOW_VAR, -20, 10, 0},
        {FV_KL_LOW_VAR, 1000, 10, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fv_loss_settings settings = bare;
        settings.kl = cases[i].kind;
        settings.kl_weight = 0.25;
        batch b = one_token(-2, -2, 0);
        b.ref_logprob[0] = (float)(cases[i].d - 2);
        assert_near(loss_of(&settings, &b), 0.25 * cases[i].value, 1e-6);
        assert_near(b.logprob_grad[0], 0.25 * cases[i].slope, 1e-6);
        assert_near(fv_loss_kl_of_answer(&settings, b.new_logprob, b.ref_logprob, b.mask, 1),
                    0.25 * cases[i].value, 1e-6);
        settings.kl_place = FV_KL_IN_REWARD;
        assert_near(loss_of(&settings, &b), 0, 0);
    }
}

/* Two fresh answers, of 1 and 3 tokens, with advantages 1 and -1. */
static void test_means_by_hand(void **state)
{
    (void)state;
    static const double losses[] = {0, 0.5, 0.1}, weights[3][2] = {{0.5, 1 / 6.}, {.25, .25}, {.05, .05}};
    for (int mean = FV_MEAN_SEQUENCE; mean <= FV_MEAN_CONSTANT; mean++) {
        fv_loss_settings settings = bare;
        settings.mean = (fv_loss_mean)mean;
        settings.constant = 10;
        settings.entropy_weight = 0.5;
        batch b = {.mask = {1, 0, 1, 0, 1, 1}, .advantages = {1, -1}, .starts = {0, 2, 6}, .n_sequences = 2};
        for (int t = 0; t < 6; t++)
            b.entropy[t] = b.mask[t] ? 2 : NAN;
        double total_weight = weights[mean][0] + 3 * weights[mean][1];
        assert_near(loss_of(&settings, &b), losses[mean] - 0.5 * 2 * total_weight, 1e-9);
        for (int t = 0; t < 6; t++) {
            double weight = b.mask[t] ? weights[mean][t > 1] : 0;
            assert_near(b.logprob_grad[t], t > 1 ? weight : -weight, 1e-7);
            assert_near(b.entropy_grad[t], -0.5 * weight, 1e-7);
        }
    }
}

/* Numbers in steps of 2^-12, so that a step of 2^-10 is exact in fp32. */
static float draw(uint32_t index, double low, double high)
{
    double u = fv_rng_uniform((fv_rng_key){.seed = 11}, index);
    return (float)(round((low + u * (high - low)) * 4096) / 4096);
}

static batch random_batch(void)
{
    batch b = {.starts = {0, 5, 6, 14, 20}, .n_sequences = 4, .advantages = {0.75, -1.5, 1.25, -0.5}};
    for (uint32_t t = 0; t < 20; t++) {
        b.old_logprob[t] = draw(5 * t, -4, -0.1);
        b.new_logprob[t] = b.old_logprob[t] + draw(5 * t + 1, -0.5, 0.5);
        b.ref_logprob[t] = b.old_logprob[t] + draw(5 * t + 2, -1, 1);
        b.entropy[t] = draw(5 * t + 3, 0.5, 2);
        b.mask[t] = t == 5 || draw(5 * t + 4, 0, 1) < 0.75f;
    }
    return b;
}

/* The plain sums, of which metrics are made, are the same whatever the loss is a mean over. */
static void test_plain_sums_do_not_know_the_mean(void **state)
{
    (void)state;
    fv_loss_sums sums[3];
    for (int i = 0; i < 3; i++) {
        fv_loss_settings settings = FV_LOSS_DEFAULT;
        settings.mean = (fv_loss_mean)i;
        settings.constant = 1000;
        settings.kl_weight = 0.5;
        batch b = random_batch();
        fv_loss_args args = args_of(&b);
        assert_ok(fv_loss_compute(&settings, &args, &sums[i]));
        assert_true(sums[i].plain_kl == sums[0].plain_kl && sums[i].plain_entropy == sums[0].plain_entropy);
    }
    batch b = random_batch();
    double entropy = 0;
    for (int t = 0; t < 20; t++)
        entropy += b.mask[t] ? b.entropy[t] : 0;
    assert_near(sums[0].plain_entropy, entropy, 1e-12);
    assert_near(sums[FV_MEAN_TOKEN].kl * (double)n_tokens(&b), sums[0].plain_kl, 1e-12);
    fv_loss_sums twice = sums[0];
    fv_loss_sums_add(&twice, &sums[0]);
    assert_near(twice.plain_kl, 2 * sums[0].plain_kl, 0);
    assert_near(twice.plain_entropy, 2 * sums[0].plain_entropy, 0);
}

static void test_sequence_ratio_is_a_geometric_mean(void **state)
{
    (void)state;
    fv_loss_settings settings = bare;
    settings.ratio = FV_RATIO_SEQUENCE;
    batch b = {.new_logprob = {-1, 9, -1.5},
               .old_logprob = {-1.25, 0, -1.625},
               .mask = {1, 0, 1},
               .advantages = {2},
               .starts = {0, 3},
               .n_sequences = 1};
    double ratio = exp((0.25 + 0.125) / 2);
    assert_near(loss_of(&settings, &b), -2 * ratio, 1e-9);
    assert_near(b.logprob_grad[0], -2 * ratio / 2, 1e-6);
    assert_near(b.logprob_grad[2], -2 * ratio / 2, 1e-6);
    assert_true(b.logprob_grad[1] == 0);
}

/* Central difference in the entropy or the log-prob of token t. cispo's weight is a constant: the old
 * log-prob moves along. */
static double difference(const fv_loss_settings *settings, const batch *b, int t, int of_entropy)
{
    const float step = 1.0f / 1024;
    double loss[2];
    for (int side = 0; side < 2; side++) {
        batch moved = *b;
        float by = side ? step : -step;
        (of_entropy ? moved.entropy : moved.new_logprob)[t] += by;
        if (settings->ratio == FV_RATIO_CISPO && !of_entropy)
            moved.old_logprob[t] += by;
        loss[side] = loss_of(settings, &moved);
    }
    return (loss[1] - loss[0]) / (2 * (double)step);
}

static void check_slopes(const fv_loss_settings *settings)
{
    batch b = random_batch();
    loss_of(settings, &b);
    for (int t = 0; t < 20; t++) {
        double slope = difference(settings, &b, t, 0), bonus = difference(settings, &b, t, 1);
        if (fabs(b.logprob_grad[t] - slope) > 1e-7 + 1e-6 * fabs(slope) ||
            fabs(b.entropy_grad[t] - bonus) > 1e-8)
            fail_msg("ratio %d, kl %d, mean %d, token %d: %g and %g, not %g and %g", settings->ratio,
                     settings->kl, settings->mean, t, (double)b.logprob_grad[t], (double)b.entropy_grad[t],
                     slope, bonus);
        assert_true(b.mask[t] || (b.logprob_grad[t] == 0 && b.entropy_grad[t] == 0));
    }
}

static void test_slopes_are_those_of_the_loss(void **state)
{
    (void)state;
    for (int i = 0; i < 3 * 4 * 3; i++) {
        fv_loss_settings settings = FV_LOSS_DEFAULT;
        settings.ratio = (fv_ratio_kind)(i % 3);
        settings.kl = (fv_kl_kind)(i / 3 % 4);
        settings.mean = (fv_loss_mean)(i / 12);
        settings.constant = 50;
        settings.kl_weight = settings.entropy_weight = 0.125;
        check_slopes(&settings);
    }
}

/* With a dual clip low enough that some tokens of the batch are beyond it, and some are not. */
static void test_slopes_with_a_dual_clip(void **state)
{
    (void)state;
    for (int i = 0; i < 2 * 3; i++) {
        fv_loss_settings settings = FV_LOSS_DEFAULT;
        fv_loss_sums with, without;
        settings.ratio = (fv_ratio_kind)(i % 2);
        settings.mean = (fv_loss_mean)(i / 2);
        settings.constant = 50;
        settings.kl_weight = settings.entropy_weight = 0.125;
        settings.dual_clip = i % 2 ? 1.03 : 1.2;
        check_slopes(&settings);
        batch b = random_batch();
        fv_loss_args args = args_of(&b);
        assert_ok(fv_loss_compute(&settings, &args, &with));
        settings.dual_clip = 0;
        assert_ok(fv_loss_compute(&settings, &args, &without));
        assert_true(i % 2 || (with.n_clipped > without.n_clipped && with.policy < without.policy));
        assert_true(with.n_clipped < with.n_tokens);
    }
}

/* The sequences of a mini-batch one by one: the same bits of every gradient, the same loss. */
static void test_micro_batches_do_not_show(void **state)
{
    (void)state;
    for (int i = 0; i < 9; i++) {
        fv_loss_settings settings = FV_LOSS_DEFAULT;
        settings.ratio = (fv_ratio_kind)(i % 3);
        settings.mean = (fv_loss_mean)(i / 3);
        settings.constant = 50;
        settings.clip_low = settings.clip_high = 0.05;
        batch whole = random_batch(), parts = random_batch();
        fv_loss_sums all, sum = {0}, part;
        fv_loss_args args = args_of(&whole);
        assert_ok(fv_loss_compute(&settings, &args, &all));
        for (int64_t s = 0; s < 4; s++) {
            int64_t first = parts.starts[s];
            fv_loss_args one = args_of(&parts);
            one.new_logprob += first, one.old_logprob += first, one.ref_logprob += first;
            one.entropy += first, one.mask += first, one.advantages += s;
            one.logprob_grad += first, one.entropy_grad += first;
            one.starts = (int64_t[]){0, parts.starts[s + 1] - first};
            one.n_sequences = 1;
            assert_ok(fv_loss_compute(&settings, &one, &part));
            fv_loss_sums_add(&sum, &part);
        }
        assert_memory_equal(whole.logprob_grad, parts.logprob_grad, 20 * sizeof(float));
        assert_memory_equal(whole.entropy_grad, parts.entropy_grad, 20 * sizeof(float));
        assert_near(fv_loss_value(&settings, &sum), fv_loss_value(&settings, &all), 1e-14);
        assert_near(sum.approx_kl, all.approx_kl, 1e-13);
        assert_near(sum.ratio, all.ratio, 1e-13);
        assert_near(sum.max_logprob_diff, all.max_logprob_diff, 0);
        assert_int_equal(sum.n_tokens, all.n_tokens);
        assert_int_equal(sum.n_clipped, all.n_clipped);
        assert_true(all.n_clipped > 0 && all.n_clipped < all.n_tokens);
    }
}

/* cispo on fresh log-probs with advantages of 1 is cross-entropy; a fresh sample has a ratio of exactly 1. */
static void test_fresh_samples(void **state)
{
    (void)state;
    fv_loss_settings settings = bare;
    settings.ratio = FV_RATIO_CISPO;
    settings.mean = FV_MEAN_TOKEN;
    batch b = random_batch();
    double sum = 0;
    for (int t = 0; t < 20; t++) {
        b.new_logprob[t] = b.old_logprob[t];
        sum -= b.mask[t] ? b.new_logprob[t] : 0;
        b.advantages[t / 5] = 1;
    }
    fv_loss_sums sums;
    fv_loss_args args = args_of(&b);
    assert_ok(fv_loss_compute(&settings, &args, &sums));
    assert_near(sums.policy, sum / (double)n_tokens(&b), 1e-12);
    assert_true(sums.ratio == (double)sums.n_tokens && sums.max_logprob_diff == 0 && sums.n_clipped == 0);
}

static void test_kl_of_an_answer_is_a_sum(void **state)
{
    (void)state;
    fv_loss_settings settings = FV_LOSS_DEFAULT;
    settings.kl = FV_KL_MSE;
    settings.kl_weight = 0.5;
    const float logprob[] = {-1, -7, -3}, reference[] = {-2, -1, -1};
    assert_near(fv_loss_kl_of_answer(&settings, logprob, reference, (uint8_t[]){1, 0, 1}, 3), 1.25, 1e-12);
}

static void check_refused(const fv_loss_settings *settings, fv_err code, const char *part,
                          void (*spoil)(batch *, fv_loss_args *))
{
    batch b = random_batch();
    fv_loss_sums sums;
    fv_loss_args args = args_of(&b);
    if (spoil)
        spoil(&b, &args);
    assert_fails(fv_loss_compute(settings, &args, &sums), code, part);
}

static void spoil_logprob(batch *b, fv_loss_args *args)
{
    (void)args;
    b->mask[7] = 1;
    b->new_logprob[7] = -INFINITY;
}

static void spoil_reference(batch *b, fv_loss_args *args)
{
    (void)args;
    b->ref_logprob[5] = NAN;
}

static void spoil_advantage(batch *b, fv_loss_args *args)
{
    (void)args;
    b->advantages[2] = NAN;
}

static void drop_reference(batch *b, fv_loss_args *args)
{
    (void)b;
    args->ref_logprob = NULL;
}

static void drop_entropy(batch *b, fv_loss_args *args)
{
    (void)b;
    args->entropy_grad = NULL;
}

static void miscount(batch *b, fv_loss_args *args)
{
    (void)b;
    args->all_sequences = 3;
}

static void test_refusals(void **state)
{
    (void)state;
    fv_loss_settings good = FV_LOSS_DEFAULT, bad = good;
    check_refused(&good, FV_ERR_NUMERIC, "sequence 2, token 1: the log-prob is -inf", spoil_logprob);
    check_refused(&good, FV_ERR_NUMERIC, "sequence 1, token 0: the reference's log-prob", spoil_reference);
    check_refused(&good, FV_ERR_NUMERIC, "sequence 2: an advantage", spoil_advantage);
    check_refused(&good, FV_ERR_ARGUMENT, "needs the reference's", drop_reference);
    check_refused(&good, FV_ERR_ARGUMENT, "an entropy bonus needs", drop_entropy);
    check_refused(&good, FV_ERR_ARGUMENT, "mini-batch of 3 sequences", miscount);
    assert_ok(fv_loss_check(&(fv_loss_settings){.clip_low = 0}));
    assert_ok(fv_loss_check(&(fv_loss_settings){.clip_low = 1}));
    bad.clip_low = 1.5;
    check_refused(&bad, FV_ERR_ARGUMENT, "lower clip of 1.5", NULL);
    bad = good, bad.clip_high = -1;
    check_refused(&bad, FV_ERR_ARGUMENT, "upper clip of -1", NULL);
    bad = good, bad.dual_clip = 1;
    check_refused(&bad, FV_ERR_ARGUMENT, "a dual clip of 1; above 1, or 0 for none", NULL);
    bad.dual_clip = INFINITY;
    check_refused(&bad, FV_ERR_ARGUMENT, "a dual clip of inf", NULL);
    bad.dual_clip = 3, bad.ratio = FV_RATIO_CISPO;
    check_refused(&bad, FV_ERR_ARGUMENT, "cispo has none", NULL);
    bad = good, bad.kl_weight = NAN;
    check_refused(&bad, FV_ERR_ARGUMENT, "weight of the KL", NULL);
    bad = good, bad.entropy_weight = -1;
    check_refused(&bad, FV_ERR_ARGUMENT, "weight of the entropy", NULL);
    bad = good, bad.mean = FV_MEAN_CONSTANT;
    check_refused(&bad, FV_ERR_ARGUMENT, "divided by 0", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clipped_ratio_by_hand),
        cmocka_unit_test(test_dual_clip_by_hand),
        cmocka_unit_test(test_cispo_by_hand),
        cmocka_unit_test(test_ratio_cannot_overflow),
        cmocka_unit_test(test_kl_by_hand),
        cmocka_unit_test(test_means_by_hand),
        cmocka_unit_test(test_plain_sums_do_not_know_the_mean),
        cmocka_unit_test(test_sequence_ratio_is_a_geometric_mean),
        cmocka_unit_test(test_slopes_are_those_of_the_loss),
        cmocka_unit_test(test_slopes_with_a_dual_clip),
        cmocka_unit_test(test_micro_batches_do_not_show),
        cmocka_unit_test(test_fresh_samples),
        cmocka_unit_test(test_kl_of_an_answer_is_a_sum),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
