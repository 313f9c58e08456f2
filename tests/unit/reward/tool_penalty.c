/* Rewards by part: their sum, the penalty for length, and both kinds of tool penalty against tables made by
 * hand. */
#include "test.h"

#include "fovea/reward/tool_penalty.h"

#include <math.h>

static void assert_near(double a, double b)
{
    if (!(fabs(a - b) <= 1e-12))
        fail_msg("%.17g is not %.17g", a, b);
}

static void test_total_keeps_to_its_weights(void **state)
{
    (void)state;
    fv_reward reward = {.accuracy = 0.5, .format = 0.5, .tool_penalty = 0.1, .overlong = 0.25, .kl = 0.05};
    assert_near(fv_reward_total(&FV_REWARD_WEIGHTS_DEFAULT, &reward), 0.35);
    assert_near(fv_reward_total(&(fv_reward_weights){.accuracy = 0.9, .format = 0.1}, &reward), 0.1);
    assert_ok(fv_reward_weights_check(&FV_REWARD_WEIGHTS_DEFAULT));
    assert_fails(fv_reward_weights_check(&(fv_reward_weights){-1, 0}), FV_ERR_ARGUMENT, "accuracy of -1");
    assert_fails(fv_reward_weights_check(&(fv_reward_weights){1, NAN}), FV_ERR_ARGUMENT, "format of");
}

static void test_length_costs_from_the_buffer_on(void **state)
{
    (void)state;
    fv_overlong_settings settings = {.max_tokens = 100, .buffer_tokens = 20, .size = 0.5};
    static const struct {
        int64_t n_tokens;
        double penalty;
    } cases[] = {{0, 0}, {80, 0}, {81, 0.025}, {90, 0.25}, {99, 0.475}, {100, 0.5}, {101, 0.5}, {1000, 0.5}};
    assert_ok(fv_overlong_check(&settings));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_near(fv_overlong_penalty(&settings, cases[i].n_tokens), cases[i].penalty);
    settings.buffer_tokens = 100;
    assert_ok(fv_overlong_check(&settings));
    assert_ok(fv_overlong_check(&FV_OVERLONG_DEFAULT));
    assert_near(fv_overlong_penalty(&FV_OVERLONG_DEFAULT, 1000), 0);
    settings.buffer_tokens = 101;
    assert_fails(fv_overlong_check(&settings), FV_ERR_ARGUMENT, "buffer of 101");
    settings.max_tokens = 0;
    assert_fails(fv_overlong_check(&settings), FV_ERR_ARGUMENT, "from 0 tokens");
    settings.size = -1;
    assert_fails(fv_overlong_check(&settings), FV_ERR_ARGUMENT, "penalty of -1");
}

/* Answers: D and C are right, direct and with a call; d and c the same but wrong. Penalties, in tenths, one
 * digit an answer. */
typedef struct penalty_case {
    double theta;
    const char *answers, *paper, *code;
} penalty_case;

static void check_kind(fv_tool_penalty_kind kind, const penalty_case *c, const char *expected)
{
    fv_reward rewards[16];
    uint8_t called[16] = {0};
    int n = (int)strlen(c->answers);
    for (int i = 0; i < n; i++) {
        called[i] = strchr("cC", c->answers[i]) != NULL;
        rewards[i] =
            (fv_reward){.accuracy = strchr("CD", c->answers[i]) != NULL, .tool_penalty = 7, .has_verdict = 1};
    }
    fv_tool_penalty_apply(&(fv_tool_penalty_settings){kind, c->theta, 0.1}, 1, called, n, rewards);
    for (int i = 0; i < n; i++)
        if (fabs(rewards[i].tool_penalty - 0.1 * (expected[i] - '0')) > 1e-12)
            fail_msg("kind %d, \"%s\", theta %g: answer %d pays %g", kind, c->answers, c->theta, i,
                     rewards[i].tool_penalty);
}

static void test_both_kinds_by_hand(void **state)
{
    (void)state;
    static const penalty_case cases[] = {
        {0.2, "DCCCCdc", "0111100", "1111100"},          /* 1 of 5: r is theta; by `code` it is below */
        {0.2, "DDCCCCCCCC", "0011111111", "1111111111"}, /* 2 of 10 */
        {0.2, "DDDCCCCCCCCCCCC", "000111111111111", "111111111111111"}, /* 3 of 15 */
        {0.2, "DCCCdc", "011100", "011100"},                            /* 1 of 4 */
        {0.2, "DCCCCCdc", "10000000", "11111100"},                      /* 1 of 6 */
        {0.2, "DDCC", "0011", "0011"},
        {0.2, "dcdc", "0000", "0000"}, /* all wrong */
        {0.2, "DDDD", "0000", "0000"}, /* all direct */
        {0.2, "DDDc", "0000", "0000"},
        {0.2, "CCCC", "0000", "1111"}, /* r = 0: below theta, but by `code` only 0 < r counts */
        {0.2, "CCdd", "0000", "1100"},
        {0.2, "D", "0", "0"},
        {0.2, "C", "0", "1"},
        {0.25, "DCCC", "0111", "1111"}, /* r is theta exactly */
        {0.3, "DDDCCCCCCC", "0001111111", "1111111111"},
        {0.0, "CC", "11", "11"}, /* r is never below 0 */
        {1.0, "DC", "10", "11"},
        {1.0, "DD", "00", "11"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check_kind(FV_TOOL_PENALTY_PAPER, &cases[i], cases[i].paper);
        check_kind(FV_TOOL_PENALTY_CODE, &cases[i], cases[i].code);
        check_kind(FV_TOOL_PENALTY_NONE, &cases[i], "000000000000000");
    }
}

/* Scores between 0 and 1: right from one half on; `code` takes its share of them. */
static void test_partial_accuracy(void **state)
{
    (void)state;
    uint8_t called[] = {0, 0, 1, 1};
    fv_reward rewards[4];
    for (int i = 0; i < 4; i++)
        rewards[i] = (fv_reward){.accuracy = i % 2 ? 0.5 : 0.4, .has_verdict = 1};
    fv_tool_penalty_settings settings = FV_TOOL_PENALTY_DEFAULT;
    fv_tool_penalty_apply(&settings, 1, called, 4, rewards);
    assert_near(rewards[0].tool_penalty + rewards[1].tool_penalty + rewards[2].tool_penalty, 0);
    assert_near(rewards[3].tool_penalty, 0.1);
    settings.kind = FV_TOOL_PENALTY_CODE;
    fv_tool_penalty_apply(&settings, 1, called, 4, rewards);
    assert_near(rewards[2].tool_penalty, 0.04);
    assert_near(rewards[3].tool_penalty, 0.05);
}

/* `code` multiplies what a call's accuracy is worth by 1 - size; what a direct answer pays has no weight. */
static void test_weight_of_accuracy(void **state)
{
    (void)state;
    static const double weights[] = {0, 0.5, 1, 10};
    for (int w = 0; w < 4; w++) {
        uint8_t called[] = {0, 1, 1, 1, 1, 1};
        fv_reward rewards[6];
        const fv_reward_weights reward_weights = {.accuracy = weights[w], .format = 0.5};
        fv_tool_penalty_settings settings = {FV_TOOL_PENALTY_CODE, 0.2, 0.1};
        for (int i = 0; i < 6; i++)
            rewards[i] = (fv_reward){.accuracy = i == 5 ? 0.25 : 1, .format = 1, .has_verdict = 1};
        fv_tool_penalty_apply(&settings, weights[w], called, 6, rewards);
        assert_near(rewards[0].tool_penalty, 0.1);
        assert_near(fv_reward_total(&reward_weights, &rewards[1]), 0.9 * weights[w] + 0.5);
        assert_near(fv_reward_total(&reward_weights, &rewards[5]), 0.9 * weights[w] * 0.25 + 0.5);
        settings.kind = FV_TOOL_PENALTY_PAPER;
        fv_tool_penalty_apply(&settings, weights[w], called, 6, rewards);
        assert_near(rewards[0].tool_penalty, 0);
        assert_near(rewards[1].tool_penalty, 0.1);
    }
}

static void test_no_penalty_without_all_verdicts(void **state)
{
    (void)state;
    uint8_t called[] = {0, 1, 1};
    fv_reward rewards[3] = {{.accuracy = 1, .has_verdict = 1},
                            {.accuracy = 1, .tool_penalty = 7, .has_verdict = 1},
                            {.accuracy = 1, .has_verdict = 0}};
    fv_tool_penalty_apply(&FV_TOOL_PENALTY_DEFAULT, 1, called, 2, rewards);
    assert_near(rewards[1].tool_penalty, 0.1);
    fv_tool_penalty_apply(&FV_TOOL_PENALTY_DEFAULT, 1, called, 3, rewards);
    for (int i = 0; i < 3; i++)
        assert_true(rewards[i].tool_penalty == 0);
}

static void test_settings_have_ranges(void **state)
{
    (void)state;
    assert_ok(fv_tool_penalty_check(&FV_TOOL_PENALTY_DEFAULT));
    assert_ok(fv_tool_penalty_check(&(fv_tool_penalty_settings){FV_TOOL_PENALTY_PAPER, 0, 0}));
    assert_ok(fv_tool_penalty_check(&(fv_tool_penalty_settings){FV_TOOL_PENALTY_PAPER, 1, 0}));
    fv_tool_penalty_settings settings = {FV_TOOL_PENALTY_CODE, 1.5, 0.1};
    assert_fails(fv_tool_penalty_check(&settings), FV_ERR_ARGUMENT, "theta of 1.5");
    settings = (fv_tool_penalty_settings){FV_TOOL_PENALTY_CODE, 0.5, INFINITY};
    assert_fails(fv_tool_penalty_check(&settings), FV_ERR_ARGUMENT, "penalty of inf");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_total_keeps_to_its_weights),
        cmocka_unit_test(test_length_costs_from_the_buffer_on),
        cmocka_unit_test(test_both_kinds_by_hand),
        cmocka_unit_test(test_partial_accuracy),
        cmocka_unit_test(test_weight_of_accuracy),
        cmocka_unit_test(test_no_penalty_without_all_verdicts),
        cmocka_unit_test(test_settings_have_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
