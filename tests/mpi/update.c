/* An update is the same, but for the rounding of sums, with any micro-batches and any number of data ranks;
 * on fresh samples the log-probs are the rollout's bits; a rate of 0 moves nothing. The KL
 * of the reward. */
#include "rollout_case.h"

#include "fovea/ops/staging.h"
#include "fovea/train/update.h"

#include <math.h>

static fv_comm *data;
static float *before; /* the weights, (n_elements) */

static int setup(void **state)
{
    if (rollout_setup(state) != 0)
        return -1;
    rollout_use("talker");
    if (rollout_run(rollout_settings(12, 2048, 200), NULL) != FV_OK)
        return -1;
    for (int g = 0; g < GROUPS; g++)
        for (int i = 0; i < ANSWERS; i++)
            rollout.groups[g].responses[i].advantage = sin(1 + 5 * g + i);
    return 0;
}

static int teardown(void **state)
{
    rollout_forget();
    free(before);
    return rollout_teardown(state);
}

/* A model with all that an update needs, and its weights at the start as the reference. */
typedef struct learner {
    fv_model *model;
    fv_policy *policy;
    fv_optimizer optimizer;
    fv_reference reference;
    fv_updater *updater;
} learner;

static void learner_open(learner *l, fv_comm *ranks, int64_t micro_tokens, const fv_loss_settings *loss,
                         int on_host)
{
    const fv_policy_settings how = {.temperature = 0.9f, .excluded = rollout_excluded, .n_excluded = 5};
    const fv_optimizer_settings adamw = {0.9f, 0.999f, 1e-3f, 0.01f, 1.0f};
    const fv_model_args model = {.backend = rollout.backend,
                                 .tensor = case_self,
                                 .folder = temp_path(rollout.folder),
                                 .data_ranks = ranks->size};
    assert_ok(fv_model_open(&model, &l->model));
    assert_ok(fv_policy_create(l->model, &how, &l->policy));
    assert_ok(fv_optimizer_init(&l->optimizer, l->model, ranks, &adamw));
    assert_ok(fv_reference_init(&l->reference, l->model, on_host));
    const fv_updater_args args = {
        .settings = {.loss = *loss, .micro_tokens = micro_tokens, .save = FV_SAVE_INPUTS},
        .policy = l->policy,
        .optimizer = &l->optimizer,
        .reference = &l->reference,
        .view = rollout_view};
    assert_ok(fv_updater_create(&args, &l->updater));
}

static void learner_close(learner *l)
{
    fv_updater_destroy(l->updater);
    fv_reference_fini(&l->reference);
    fv_optimizer_fini(&l->optimizer);
    fv_policy_destroy(l->policy);
    fv_model_destroy(l->model);
}

typedef struct outcome {
    fv_update_stats stats;
    float *weights; /* owned */
} outcome;

static outcome update(fv_comm *ranks, int64_t micro_tokens, double rate)
{
    outcome out;
    learner l;
    int64_t tokens = 0;
    learner_open(&l, ranks, micro_tokens, &FV_LOSS_DEFAULT, micro_tokens == 300);
    assert_ok(fv_update_ask_reference(l.updater, rollout.groups, GROUPS, &tokens));
    assert_ok(fv_update(l.updater, rollout.groups, GROUPS, rate, &out.stats));
    assert_true(out.stats.is_skipped || tokens == out.stats.computed_tokens);
    size_t n = (size_t)fv_model_layout(l.model)->n_flat;
    out.weights = malloc(n * sizeof *out.weights);
    assert_ok(fv_download_now(rollout.backend, fv_model_weights(l.model)->flat, out.weights));
    if (!before) {
        before = malloc(n * sizeof *before);
        assert_ok(fv_download_now(rollout.backend, l.reference.weights.flat, before));
    }
    learner_close(&l);
    return out;
}

static void check_close(const float *a, const float *b)
{
    double difference = 0, moved = 0;
    for (int64_t i = 0; i < fv_model_layout(rollout.model)->n_elements; i++) {
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        moved += ((double)a[i] - before[i]) * ((double)a[i] - before[i]);
    }
    assert_true(moved > 0);
    if (sqrt(difference / moved) > 1e-4)
        fail_msg("the ways that the weights moved differ by %g", sqrt(difference / moved));
}

static void test_micro_batches_and_ranks(void **state)
{
    (void)state;
    const int64_t micro[] = {1 << 20, 300, 1};
    outcome one = update(case_self, 1 << 20, 1e-3);
    assert_true(one.stats.sums.max_logprob_diff == 0);
    assert_int_equal(one.stats.n_sequences, GROUPS * ANSWERS);
    assert_int_equal(one.stats.sums.n_tokens, one.stats.n_tokens);
    assert_true(one.stats.norm > 0 && one.stats.sums.kl == 0);
    for (int i = 0; i < 3; i++) {
        outcome other = update(data, micro[i], 1e-3);
        assert_true(other.stats.sums.max_logprob_diff == 0);
        assert_true(fabs(other.stats.loss - one.stats.loss) <= 1e-6 * fabs(one.stats.loss));
        assert_true(fabs(other.stats.norm - one.stats.norm) <= 1e-5 * one.stats.norm);
        assert_int_equal(other.stats.n_tokens, one.stats.n_tokens);
        assert_int_equal(other.stats.sums.n_tokens, one.stats.n_tokens);
        assert_true(i > 0 || data->size > 1 || other.stats.computed_tokens == one.stats.computed_tokens);
        check_close(one.weights, other.weights);
        free(other.weights);
    }
    free(one.weights);
}

static void test_a_rate_of_zero(void **state)
{
    (void)state;
    outcome out = update(data, 500, 0);
    assert_memory_equal(out.weights, before,
                        (size_t)fv_model_layout(rollout.model)->n_elements * sizeof *before);
    free(out.weights);
}

static void test_not_finite(void **state)
{
    (void)state;
    double kept = rollout.groups[1].responses[2].advantage;
    rollout.groups[1].responses[2].advantage = NAN;
    outcome out = update(data, 500, 1e-3);
    assert_int_equal(out.stats.is_skipped, 1);
    assert_memory_equal(out.weights, before,
                        (size_t)fv_model_layout(rollout.model)->n_elements * sizeof *before);
    free(out.weights);
    rollout.groups[1].responses[2].advantage = kept;
}

/* 0.5 x sum of old - ref over what a sample drew, with the reference as the policy. */
static double kl_by_hand(learner *l, const fv_group *group, int a)
{
    const fv_tree tree = {group, a, 1};
    const fv_response *response = &group->responses[a];
    fv_packed packed = {0};
    double sum = 0;
    assert_ok(fv_packed_fill(&packed, fv_model_shape_of(l->model), &tree, 1, rollout_view, NULL));
    float *ref = malloc((size_t)packed.n_logprobs * sizeof *ref), *at = ref;
    assert_ok(fv_reference_exchange(&l->reference));
    assert_ok(fv_policy_forward(l->policy, &packed, FV_SAVE_NONE, ref, NULL));
    assert_ok(fv_reference_exchange(&l->reference));
    for (size_t t = 0; t < response->ids.n; t++)
        if (response->loss_mask[t])
            sum += 0.5 * ((double)response->logprobs[t] - *at++);
    free(ref);
    fv_packed_fini(&packed);
    return sum;
}

/* No distance from oneself; from a reference that has moved on, the sum over a sample's tokens. */
static void check_kl_in_the_reward(int on_host)
{
    learner l;
    fv_update_stats stats;
    int64_t tokens = 0;
    fv_loss_settings loss = FV_LOSS_DEFAULT;
    loss.kl = FV_KL_PLAIN;
    loss.kl_place = FV_KL_IN_REWARD;
    loss.kl_weight = 0.5;
    learner_open(&l, data, 300, &loss, on_host);
    rollout.groups[1].responses[1].reward.kl = 7;
    assert_ok(fv_update_charge_kl(l.updater, rollout.groups, GROUPS, &tokens));
    for (int g = 0; g < GROUPS; g++)
        for (int a = 0; a < ANSWERS; a++)
            assert_true(rollout.groups[g].responses[a].reward.kl == 0);
    assert_ok(fv_update(l.updater, rollout.groups, GROUPS, 1e-3, &stats));
    assert_true(stats.sums.kl == 0);
    assert_ok(fv_reference_exchange(&l.reference)); /* the model is what the run started from */
    assert_ok(fv_update_charge_kl(l.updater, rollout.groups, GROUPS, &tokens));
    for (int g = 0; g < GROUPS; g++)
        for (int a = 0; a < ANSWERS; a++) {
            double kl = rollout.groups[g].responses[a].reward.kl,
                   expected = kl_by_hand(&l, &rollout.groups[g], a);
            assert_true(fabs(expected) > 1e-4 && fabs(kl - expected) < 1e-12);
        }
    learner_close(&l);
}

static void test_kl_in_the_reward(void **state)
{
    (void)state;
    check_kl_in_the_reward(0);
    check_kl_in_the_reward(1);
}

static void test_an_update_that_did_not_ask(void **state)
{
    (void)state;
    learner l;
    fv_update_stats stats;
    learner_open(&l, data, 300, &FV_LOSS_DEFAULT, 0);
    float *kept = rollout.groups[1].responses[0].reference;
    rollout.groups[1].responses[0].reference = NULL;
    assert_fails(fv_update(l.updater, rollout.groups, GROUPS, 1e-3, &stats), FV_ERR_INTERNAL,
                 "was not asked");
    rollout.groups[1].responses[0].reference = kept;
    learner_close(&l);
}

/* Every sample is in exactly one tree of one rank, and the ranks' loads differ by at most a tree. */
static void test_sharing_out(void **state)
{
    (void)state;
    enum { RANKS = 3 };
    const int64_t micro[] = {1, 400, 1 << 20};
    for (int m = 0; m < 3; m++) {
        int seen[GROUPS][ANSWERS] = {{0}};
        int64_t loads[RANKS] = {0}, largest = 0, scratch[GROUPS * ANSWERS + RANKS];
        for (int rank = 0; rank < RANKS; rank++) {
            fv_tree trees[GROUPS * ANSWERS];
            int n = fv_update_share(rollout.groups, GROUPS, micro[m], rank, RANKS, trees, scratch);
            for (int i = 0; i < n; i++) {
                int64_t tokens = fv_tree_tokens(&trees[i]);
                assert_true(trees[i].n == 1 || tokens <= micro[m]);
                loads[rank] += tokens;
                largest = tokens > largest ? tokens : largest;
                for (int a = trees[i].first; a < trees[i].first + trees[i].n; a++)
                    seen[trees[i].group - rollout.groups][a]++;
            }
        }
        for (int g = 0; g < GROUPS; g++)
            for (int a = 0; a < ANSWERS; a++)
                assert_int_equal(seen[g][a], 1);
        for (int i = 0; i < RANKS; i++)
            for (int j = 0; j < RANKS; j++)
                assert_true(loads[i] - loads[j] <= largest);
    }
}

int main(void)
{
    if (fv_comm_world(&data) != FV_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_micro_batches_and_ranks),
        cmocka_unit_test(test_a_rate_of_zero),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_kl_in_the_reward),
        cmocka_unit_test(test_an_update_that_did_not_ask),
        cmocka_unit_test(test_sharing_out),
    };
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    fv_comm_destroy(data);
    return failed;
}
