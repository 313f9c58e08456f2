/* How many prompts a round takes, and how groups are cut into mini-batches. */
#include "test.h"

#include "fovea/base/rng.h"
#include "fovea/train/step/step_plan.h"

static void check_cut(fv_partial partial, int groups, int n, int n_updates, const int *sizes)
{
    const fv_step_plan plan = {.prompts = 64, .groups = groups, .partial = partial};
    assert_int_equal(fv_step_plan_updates(&plan, n), n_updates);
    assert_int_equal(fv_step_plan_first(&plan, n, 0), 0);
    for (int i = 0; i < n_updates; i++)
        if (fv_step_plan_first(&plan, n, i + 1) - fv_step_plan_first(&plan, n, i) != sizes[i])
            fail_msg("%d groups by %d: mini-batch %d has %d", n, groups, i,
                     fv_step_plan_first(&plan, n, i + 1) - fv_step_plan_first(&plan, n, i));
}

static void test_mini_batches_by_hand(void **state)
{
    (void)state;
    check_cut(FV_PARTIAL_KEEP, 4, 6, 2, (int[]){4, 2});
    check_cut(FV_PARTIAL_DROP, 4, 6, 1, (int[]){4});
    check_cut(FV_PARTIAL_SPREAD, 4, 6, 1, (int[]){6});
    check_cut(FV_PARTIAL_KEEP, 4, 11, 3, (int[]){4, 4, 3});
    check_cut(FV_PARTIAL_DROP, 4, 11, 2, (int[]){4, 4});
    check_cut(FV_PARTIAL_SPREAD, 4, 11, 2, (int[]){5, 6});
    check_cut(FV_PARTIAL_KEEP, 4, 3, 1, (int[]){3});
    check_cut(FV_PARTIAL_DROP, 4, 3, 0, NULL);
    check_cut(FV_PARTIAL_SPREAD, 4, 3, 1, (int[]){3});
    for (int partial = FV_PARTIAL_KEEP; partial <= FV_PARTIAL_SPREAD; partial++) {
        check_cut((fv_partial)partial, 4, 0, 0, NULL);
        check_cut((fv_partial)partial, 4, 12, 3, (int[]){4, 4, 4});
    }
}

/* Spread, all groups are trained on, in mini-batches of one size but for one; none is smaller than a whole
 * one. */
static void test_spread_is_even(void **state)
{
    (void)state;
    for (int groups = 1; groups <= 9; groups++)
        for (int n = 1; n <= 64; n++) {
            const fv_step_plan plan = {.prompts = 64, .groups = groups, .partial = FV_PARTIAL_SPREAD};
            int n_updates = fv_step_plan_updates(&plan, n), least = n, most = 0;
            for (int i = 0; i < n_updates; i++) {
                int size = fv_step_plan_first(&plan, n, i + 1) - fv_step_plan_first(&plan, n, i);
                least = size < least ? size : least;
                most = size > most ? size : most;
            }
            assert_int_equal(fv_step_plan_first(&plan, n, n_updates), n);
            assert_true(most - least <= 1 && (least >= groups || n_updates == 1));
        }
}

static void test_draws_by_hand(void **state)
{
    (void)state;
    const fv_step_plan plan = {.prompts = 8, .groups = 4, .sampling_rounds = 8};
    assert_int_equal(fv_step_plan_more(&plan, 0, 0), 8);
    assert_int_equal(fv_step_plan_more(&plan, 8, 8), 0);
    assert_int_equal(fv_step_plan_more(&plan, 20, 9), 0);
    assert_int_equal(fv_step_plan_more(&plan, 8, 4), 11); /* (4 + sqrt(4 / 2)) x 2 */
    assert_int_equal(fv_step_plan_more(&plan, 8, 2), 33); /* (6 + sqrt(6 x 3 / 4)) x 4 */
    assert_int_equal(fv_step_plan_more(&plan, 8, 1), 64); /* all that is left */
    assert_int_equal(fv_step_plan_more(&plan, 8, 0), 8);  /* nothing is known */
    assert_int_equal(fv_step_plan_more(&plan, 70, 7), 2); /* no more is left */
    assert_int_equal(fv_step_plan_more(&plan, 72, 7), 0);
    const fv_step_plan never = {.prompts = 8, .groups = 4};
    assert_int_equal(fv_step_plan_more(&never, 0, 0), 8);
    assert_int_equal(fv_step_plan_more(&never, 8, 3), 0);
}

/* Rounds of a step in which a group is kept with the probability p; -1: it did not fill. */
static int rounds_of(const fv_step_plan *plan, double p, uint64_t seed)
{
    int64_t n_taken = 0, n_kept = 0;
    for (int round = 0; round <= plan->sampling_rounds; round++) {
        int64_t n = fv_step_plan_more(plan, n_taken, n_kept);
        for (int64_t i = 0; i < n; i++)
            n_kept += fv_rng_uniform((fv_rng_key){.seed = seed}, (uint32_t)(n_taken + i)) < p;
        n_taken += n;
        if (n_kept >= plan->prompts)
            return round + 1;
    }
    return -1;
}

static void test_steps_fill_in_few_rounds(void **state)
{
    (void)state;
    const fv_step_plan plan = {.prompts = 64, .groups = 16, .sampling_rounds = 8};
    static const double shares[] = {0.9, 0.5, 0.25, 0.15};
    for (int s = 0; s < 4; s++) {
        int n_two = 0;
        for (uint64_t seed = 0; seed < 100; seed++) {
            int n = rounds_of(&plan, shares[s], seed);
            assert_true(n > 0 && n <= 6);
            n_two += n <= 2;
        }
        assert_true(n_two > 60);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mini_batches_by_hand),
        cmocka_unit_test(test_spread_is_even),
        cmocka_unit_test(test_draws_by_hand),
        cmocka_unit_test(test_steps_fill_in_few_rounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
