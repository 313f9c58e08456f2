/* The policy over packed trees: the rollout's bits whatever is packed together, and gradients that equal
 * those of separate sequences. */
#include "rollout_case.h"

#include "fovea/ops/staging.h"
#include "fovea/train/policy.h"

#include <math.h>

enum { MAX_TREES = GROUPS * ANSWERS };

static fv_policy *policy;

static int setup(void **state)
{
    const fv_policy_settings settings = {.temperature = 0.9f, .excluded = rollout_excluded, .n_excluded = 5};
    if (rollout_setup(state) != 0)
        return -1;
    rollout_use("talker");
    assert_ok(fv_policy_create(rollout.model, &settings, &policy));
    return rollout_run(rollout_settings(12, 2048, 200), NULL) != FV_OK;
}

static int teardown(void **state)
{
    rollout_forget();
    fv_policy_destroy(policy);
    return rollout_teardown(state);
}

/* All groups, their answers in trees of n. */
static int cut(int n, fv_tree *trees)
{
    int n_trees = 0;
    for (int g = 0; g < GROUPS; g++)
        for (int first = 0; first < ANSWERS; first += n)
            trees[n_trees++] =
                (fv_tree){&rollout.groups[g], first, ANSWERS - first < n ? ANSWERS - first : n};
    return n_trees;
}

static int64_t count_generated(const fv_tree *trees, int n_trees)
{
    int64_t n = 0;
    for (int i = 0; i < n_trees; i++)
        n += fv_tree_generated(&trees[i]);
    return n;
}

/* What the rollout said, in the order of the trees. */
static float *rolled(const fv_tree *trees, int n_trees)
{
    float *all = malloc((size_t)count_generated(trees, n_trees) * sizeof *all), *at = all;
    for (int i = 0; i < n_trees; i++)
        for (int a = trees[i].first; a < trees[i].first + trees[i].n; a++) {
            const fv_response *response = &trees[i].group->responses[a];
            for (size_t t = 0; t < response->ids.n; t++)
                if (response->loss_mask[t])
                    *at++ = response->logprobs[t];
        }
    return all;
}

static void check_bits(const fv_tree *trees, int n_trees)
{
    fv_packed packed = {0};
    assert_ok(fv_packed_fill(&packed, fv_model_shape_of(rollout.model), trees, n_trees, rollout_view, NULL));
    assert_int_equal(packed.n_logprobs, count_generated(trees, n_trees));
    float *expected = rolled(trees, n_trees), *ours = malloc((size_t)packed.n_logprobs * sizeof *ours);
    assert_ok(fv_policy_forward(policy, &packed, FV_SAVE_NONE, ours, NULL));
    assert_memory_equal(ours, expected, (size_t)packed.n_logprobs * sizeof *ours);
    free(expected);
    free(ours);
    fv_packed_fini(&packed);
}

static void test_any_packing_gives_the_bits_of_the_rollout(void **state)
{
    (void)state;
    fv_tree trees[MAX_TREES];
    for (int n = 1; n <= ANSWERS; n++)
        check_bits(trees, cut(n, trees));
    for (int i = 0, n = cut(1, trees); i < n; i++)
        check_bits(&trees[i], 1);
}

/* Gradients of the sum of weighted log-probs and entropies; the weight of a token depends on what it is. */
static void add_gradients(const fv_tree *trees, int n_trees, fv_save save, fv_weights *grads)
{
    fv_packed packed = {0};
    assert_ok(fv_packed_fill(&packed, fv_model_shape_of(rollout.model), trees, n_trees, rollout_view, NULL));
    size_t n = (size_t)packed.n_logprobs;
    float *logprobs = malloc(n * sizeof *logprobs), *entropies = malloc(n * sizeof *entropies);
    assert_ok(fv_policy_forward(policy, &packed, save, logprobs, entropies));
    for (size_t i = 0; i < n; i++) {
        logprobs[i] = sinf(3 * logprobs[i]);
        entropies[i] = 0.01f * sinf(entropies[i]);
    }
    assert_ok(fv_policy_backward(policy, logprobs, entropies, grads));
    free(logprobs);
    free(entropies);
    fv_packed_fini(&packed);
}

static float *gradients(int answers_a_tree, int trees_a_batch, fv_save save)
{
    fv_tree trees[MAX_TREES];
    fv_weights grads;
    int n_trees = cut(answers_a_tree, trees);
    assert_ok(fv_model_alloc_weights(rollout.model, FV_F32, &grads));
    for (int i = 0; i < n_trees; i += trees_a_batch)
        add_gradients(trees + i, n_trees - i < trees_a_batch ? n_trees - i : trees_a_batch, save, &grads);
    float *host = malloc((size_t)fv_tensor_count(grads.flat) * sizeof *host);
    assert_ok(fv_download_now(rollout.backend, grads.flat, host));
    fv_model_free_weights(rollout.model, &grads);
    return host;
}

static double relative(const float *a, const float *b)
{
    double difference = 0, square = 0;
    for (int64_t i = 0; i < fv_model_layout(rollout.model)->n_elements; i++) {
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        square += (double)a[i] * a[i];
    }
    assert_true(square > 0);
    return sqrt(difference / square);
}

static void test_trees_and_sequences_have_equal_gradients(void **state)
{
    (void)state;
    float *separate = gradients(1, 1, FV_SAVE_ALL);
    const int ways[][2] = {{ANSWERS, GROUPS}, {ANSWERS, 1}, {2, 3}, {1, MAX_TREES}};
    for (int i = 0; i < 4; i++) {
        float *packed = gradients(ways[i][0], ways[i][1], FV_SAVE_ALL);
        if (relative(separate, packed) > 1e-6)
            fail_msg("trees of %d, %d a batch: relative difference %g", ways[i][0], ways[i][1],
                     relative(separate, packed));
        free(packed);
    }
    free(separate);
}

static void test_recomputation_gives_the_same_bits(void **state)
{
    (void)state;
    float *kept = gradients(ANSWERS, GROUPS, FV_SAVE_ALL),
          *again = gradients(ANSWERS, GROUPS, FV_SAVE_INPUTS),
          *some = gradients(ANSWERS, GROUPS, fv_save_blocks(2));
    assert_memory_equal(kept, again, (size_t)fv_model_layout(rollout.model)->n_elements * sizeof *kept);
    assert_memory_equal(kept, some, (size_t)fv_model_layout(rollout.model)->n_elements * sizeof *kept);
    free(kept);
    free(again);
    free(some);
}

static int setup_in_bf16(void **state)
{
    case_use_bf16(state);
    return setup(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_packing_gives_the_bits_of_the_rollout),
        cmocka_unit_test(test_trees_and_sequences_have_equal_gradients),
        cmocka_unit_test(test_recomputation_gives_the_same_bits),
    };
    const struct CMUnitTest in_bf16[] = {
        cmocka_unit_test(test_any_packing_gives_the_bits_of_the_rollout),
        cmocka_unit_test(test_recomputation_gives_the_same_bits),
    };
    int n_failed = cmocka_run_group_tests(tests, setup, teardown);
    return n_failed + cmocka_run_group_tests(in_bf16, setup_in_bf16, teardown);
}
