/* Every estimator of advantages against values made by hand. */
#include "test.h"

#include "fovea/train/advantage.h"

#include <math.h>

enum { MOST_ANSWERS = 16, MOST_GROUPS = 8 };

/* A batch of groups, written as rewards; NAN: no verdict. */
typedef struct batch {
    fv_reward rewards[MOST_ANSWERS], greedy[MOST_GROUPS];
    int64_t starts[MOST_GROUPS + 1], n_groups;
    double advantages[MOST_ANSWERS];
    fv_group_status statuses[MOST_GROUPS];
} batch;

static fv_reward reward_of(double value)
{
    return (fv_reward){.accuracy = isnan(value) ? 0 : value, .has_verdict = !isnan(value)};
}

static void add_group(batch *b, int n, const double *values, double greedy)
{
    int64_t first = b->starts[b->n_groups];
    for (int i = 0; i < n; i++)
        b->rewards[first + i] = reward_of(values[i]);
    b->greedy[b->n_groups++] = reward_of(greedy);
    b->starts[b->n_groups] = first + n;
}

static fv_advantage_settings settings_of(const char *name)
{
    fv_advantage_settings settings = {.eps = FV_ADVANTAGE_EPS, .weights = FV_REWARD_WEIGHTS_DEFAULT};
    assert_ok(fv_estimator_find(name, &settings.estimator));
    assert_string_equal(fv_estimator_name(settings.estimator), name);
    return settings;
}

static fv_err compute_with(batch *b, const fv_advantage_settings *settings)
{
    for (int i = 0; i < MOST_ANSWERS; i++)
        b->advantages[i] = 99;
    return fv_advantage_compute(settings, &(fv_advantage_args){.rewards = b->rewards,
                                                               .starts = b->starts,
                                                               .n_groups = b->n_groups,
                                                               .greedy = b->greedy,
                                                               .advantages = b->advantages,
                                                               .statuses = b->statuses});
}

static fv_err compute(batch *b, const char *name)
{
    fv_advantage_settings settings = settings_of(name);
    return compute_with(b, &settings);
}

static void check(batch *b, const char *name, const double *expected, const fv_group_status *statuses)
{
    assert_ok(compute(b, name));
    for (int64_t i = 0; i < b->starts[b->n_groups]; i++)
        if (!(fabs(b->advantages[i] - expected[i]) < 1e-9))
            fail_msg("%s: sample %lld has %.12g, not %.12g", name, (long long)i, b->advantages[i],
                     expected[i]);
    for (int64_t g = 0; g < b->n_groups; g++)
        assert_int_equal(b->statuses[g], statuses[g]);
    for (int64_t g = 0; g < b->n_groups; g++)
        for (int64_t i = b->starts[g]; i < b->starts[g + 1]; i++)
            assert_true(statuses[g] == FV_GROUP_KEPT || b->advantages[i] == 0);
    for (int i = (int)b->starts[b->n_groups]; i < MOST_ANSWERS; i++)
        assert_true(b->advantages[i] == 99);
}

/* Group 0: 1 0 0 1. Group 1: one answer without a verdict. Group 2: no spread. Group 3: 3 1 2. */
static batch example(void)
{
    batch b = {0};
    add_group(&b, 4, (double[]){1, 0, 0, 1}, 1);
    add_group(&b, 2, (double[]){NAN, 1}, 1);
    add_group(&b, 3, (double[]){0.1, 0.1, 0.1}, 0.1);
    add_group(&b, 3, (double[]){3, 1, 2}, 0.5);
    return b;
}
static const fv_group_status example_statuses[] = {FV_GROUP_KEPT, FV_GROUP_NO_VERDICT, FV_GROUP_NO_SIGNAL,
                                                   FV_GROUP_KEPT};

static void test_estimators_of_groups(void **state)
{
    (void)state;
    batch b = example();
    double g = 0.5 / (sqrt(1.0 / 3) + 1e-6), one = 1 / (1 + 1e-6);
    check(&b, "grpo", (double[]){g, -g, -g, g, 0, 0, 0, 0, 0, one, -one, 0}, example_statuses);
    check(&b, "dr_grpo", (double[]){.5, -.5, -.5, .5, 0, 0, 0, 0, 0, 1, -1, 0}, example_statuses);
    double third = 1.0 / 3;
    check(&b, "rloo", (double[]){2 * third, -2 * third, -2 * third, 2 * third, 0, 0, 0, 0, 0, 1.5, -1.5, 0},
          example_statuses);
    check(&b, "remax", (double[]){0, -1, -1, 0, 0, 0, 0, 0, 0, 2.5, .5, 1.5}, example_statuses);
}

static void test_batch_is_whitened(void **state)
{
    (void)state;
    batch b = {0};
    add_group(&b, 2, (double[]){3, 5}, 0);
    add_group(&b, 2, (double[]){NAN, 50}, 0);
    add_group(&b, 2, (double[]){7, 7}, 0);
    add_group(&b, 1, (double[]){0}, 0);
    add_group(&b, 1, (double[]){2}, 0);
    add_group(&b, 1, (double[]){2.5}, 0);
    /* Mean 2.5; squares 0.25 + 6.25 + 6.25 + 0.25 + 0 over 4. */
    double scale = 1 / (sqrt(13.0 / 4) + 1e-6);
    check(&b, "reinforce_pp", (double[]){.5 * scale, 2.5 * scale, 0, 0, 0, 0, -2.5 * scale, -.5 * scale, 0},
          (fv_group_status[]){FV_GROUP_KEPT, FV_GROUP_NO_VERDICT, FV_GROUP_NO_SIGNAL, FV_GROUP_KEPT,
                              FV_GROUP_KEPT, FV_GROUP_KEPT});
}

static void test_nothing_to_learn_from(void **state)
{
    (void)state;
    static const char *const names[] = {"grpo", "dr_grpo", "rloo", "remax", "reinforce_pp"};
    for (int i = 0; i < 5; i++) {
        batch b = {0};
        assert_ok(compute(&b, names[i])); /* no groups */
        add_group(&b, 1, (double[]){0.7}, 0.7);
        add_group(&b, 3, (double[]){0.7, 0.7, 0.7}, 0.7);
        add_group(&b, 1, (double[]){NAN}, 0.7);
        check(&b, names[i], (double[]){0, 0, 0, 0, 0},
              (fv_group_status[]){FV_GROUP_NO_SIGNAL, FV_GROUP_NO_SIGNAL, FV_GROUP_NO_VERDICT});
    }
}

static void test_greedy_answer_needs_a_verdict(void **state)
{
    (void)state;
    batch b = {0};
    add_group(&b, 2, (double[]){1, 0}, NAN);
    check(&b, "remax", (double[]){0, 0}, (fv_group_status[]){FV_GROUP_NO_VERDICT});
    check(&b, "dr_grpo", (double[]){.5, -.5}, (fv_group_status[]){FV_GROUP_KEPT});
    fv_advantage_settings settings = settings_of("remax");
    assert_true(fv_estimator_needs_greedy(settings.estimator));
    fv_advantage_args args = {.rewards = b.rewards,
                              .starts = b.starts,
                              .n_groups = 1,
                              .advantages = b.advantages,
                              .statuses = b.statuses};
    assert_fails(fv_advantage_compute(&settings, &args), FV_ERR_ARGUMENT, "remax needs a greedy sample");
}

/* All parts of a reward count, by their weights. */
static void test_advantages_are_of_totals(void **state)
{
    (void)state;
    batch b = {0};
    add_group(&b, 2, (double[]){1, 1}, 0);
    b.rewards[0].tool_penalty = 0.1;
    b.rewards[1].format = 1;
    check(&b, "dr_grpo", (double[]){-0.3, 0.3}, (fv_group_status[]){FV_GROUP_KEPT});
}

/* Equal task rewards are no signal, whatever the weights, eps and the KL are, and however they add up. */
static void test_equal_task_rewards_are_no_signal(void **state)
{
    (void)state;
    static const char *const names[] = {"grpo", "dr_grpo", "rloo", "remax", "reinforce_pp"};
    static const struct {
        double accuracy_weight, format_weight, eps;
        fv_reward a, b;
    } cases[] = {
        {1, 0.5, 1e-6, {.accuracy = 1, .format = 1, .kl = 0.3}, {.accuracy = 1, .format = 1, .kl = 1e-5}},
        {10, 0.4, 1e-8, {.accuracy = 1, .format = 1}, {.accuracy = 1, .format = 1}},
        {0.1, 0.7, 1e-300, {.accuracy = 0.3, .format = 1}, {.accuracy = 0.3, .format = 1}},
        /* 0.3 - 0.1 and 0.2, which differ in the last bit. */
        {0.3, 0.2, 1e-8, {.accuracy = 1, .tool_penalty = 0.1}, {.format = 1}},
        {1e6, 0.1, 1e-8, {.accuracy = 0.3, .format = 1, .overlong = 0.1}, {.accuracy = 0.3}},
        {0, 0.5, 1e-8, {.accuracy = 1}, {.accuracy = 0}},
        {0, 0, 1e-8, {.accuracy = 1, .format = 1}, {.accuracy = 0}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int name = 0; name < 5; name++) {
            batch b = {0};
            fv_advantage_settings settings = settings_of(names[name]);
            settings.weights = (fv_reward_weights){cases[c].accuracy_weight, cases[c].format_weight};
            settings.eps = cases[c].eps;
            add_group(&b, 7, (double[]){0, 0, 0, 0, 0, 0, 0}, 0);
            add_group(&b, 2, (double[]){0, 1}, 0);
            for (int i = 0; i < 7; i++)
                b.rewards[i] = i % 3 ? cases[c].a : cases[c].b;
            b.greedy[0] = cases[c].a;
            for (int i = 0; i < 9; i++)
                b.rewards[i].has_verdict = b.greedy[i % 2].has_verdict = 1;
            b.rewards[8].tool_penalty = 0.25;
            assert_ok(compute_with(&b, &settings));
            assert_int_equal(b.statuses[0], FV_GROUP_NO_SIGNAL);
            assert_int_equal(b.statuses[1], FV_GROUP_KEPT);
            for (int i = 0; i < 7; i++)
                assert_true(b.advantages[i] == 0);
        }
}

/* Task rewards that differ by little are a signal: nothing is cut off at a deviation. */
static void test_small_differences_are_a_signal(void **state)
{
    (void)state;
    static const char *const names[] = {"grpo", "dr_grpo", "rloo", "remax", "reinforce_pp"};
    static const double differences[] = {1e-12, 1e-9, 1e-5, 0.1};
    for (int i = 0; i < 4; i++)
        for (int name = 0; name < 5; name++) {
            batch b = {0};
            add_group(&b, 3, (double[]){1, 1, 1 - differences[i]}, 1);
            assert_ok(compute(&b, names[name]));
            assert_int_equal(b.statuses[0], FV_GROUP_KEPT);
            assert_true(b.advantages[2] < 0 && b.advantages[2] < b.advantages[0]);
        }
}

/* The KL is charged to what is kept. */
static void test_a_kl_counts_in_kept_groups(void **state)
{
    (void)state;
    batch b = {0};
    add_group(&b, 2, (double[]){1, 0}, 0);
    b.rewards[0].kl = 0.5;
    check(&b, "dr_grpo", (double[]){0.25, -0.25}, (fv_group_status[]){FV_GROUP_KEPT});
}

/* A group's advantages are the same bits alone and in any batch. */
static void test_groups_do_not_see_each_other(void **state)
{
    (void)state;
    static const char *const names[] = {"grpo", "dr_grpo", "rloo", "remax"};
    for (int i = 0; i < 4; i++) {
        batch whole = example(), alone = {0};
        add_group(&alone, 3, (double[]){3, 1, 2}, 0.5);
        assert_ok(compute(&whole, names[i]));
        assert_ok(compute(&alone, names[i]));
        assert_memory_equal(alone.advantages, whole.advantages + 9, 3 * sizeof(double));
    }
}

static void test_refusals(void **state)
{
    (void)state;
    batch b = example();
    b.rewards[9].accuracy = INFINITY;
    assert_fails(compute(&b, "grpo"), FV_ERR_NUMERIC, "group 3: a reward of inf");
    b = example();
    b.starts[1] = 0;
    assert_fails(compute(&b, "grpo"), FV_ERR_ARGUMENT, "group 0 has no samples");
    fv_advantage_settings settings = settings_of("grpo");
    settings.eps = 0;
    assert_fails(fv_advantage_check(&settings), FV_ERR_ARGUMENT, "eps of advantages of 0");
    settings = settings_of("grpo");
    settings.weights.format = -1;
    assert_fails(fv_advantage_check(&settings), FV_ERR_ARGUMENT, "weight of format");
    settings.estimator = NULL;
    assert_fails(fv_advantage_check(&settings), FV_ERR_ARGUMENT, "no estimator");
    assert_fails(fv_estimator_find("gae", &settings.estimator), FV_ERR_ARGUMENT,
                 "\"gae\"; there are grpo, dr_grpo, rloo");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_estimators_of_groups),
        cmocka_unit_test(test_batch_is_whitened),
        cmocka_unit_test(test_nothing_to_learn_from),
        cmocka_unit_test(test_greedy_answer_needs_a_verdict),
        cmocka_unit_test(test_advantages_are_of_totals),
        cmocka_unit_test(test_equal_task_rewards_are_no_signal),
        cmocka_unit_test(test_small_differences_are_a_signal),
        cmocka_unit_test(test_a_kl_counts_in_kept_groups),
        cmocka_unit_test(test_groups_do_not_see_each_other),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
