/* The figures of a step, against a batch counted by hand. */
#include "test.h"

#include "fovea/train/metrics.h"

#include <math.h>
#include <stdlib.h>

static const fv_model_shape shape = {.text = {.hidden = 8,
                                              .n_heads = 2,
                                              .n_kv_heads = 1,
                                              .head_dim = 4,
                                              .intermediate = 16,
                                              .n_layers = 2,
                                              .vocab = 100},
                                     .vision = {.merge = 2}};

/* An answer of one turn, or of two if it called. */
static void set(fv_response *response, int drawn, int is_called, int is_cut, fv_reward reward,
                double advantage)
{
    *response = (fv_response){.n_turns = 1 + is_called,
                              .n_shown = is_called,
                              .is_called = is_called,
                              .is_done = 1,
                              .reward = reward,
                              .advantage = advantage};
    response->turns[0].n = drawn - is_called;
    response->turns[1].n = is_called;
    response->turns[is_called].is_cut = is_cut;
}

/* Views of 1 and 4 tokens. */
static fv_group *add(fv_batch *batch, int n_prompt)
{
    fv_group group;
    assert_ok(fv_group_init(&group, batch->n, batch->n, 2));
    for (int i = 0; i < n_prompt; i++)
        assert_ok(fv_tokens_push(&group.prompt, 1));
    group.has_image = 1;
    group.low = (fv_grid){1, 2, 2};
    group.high = (fv_grid){1, 4, 4};
    assert_ok(fv_batch_add(batch, &group));
    return &batch->groups[batch->n - 1];
}

/* One group half right, one all right, one all wrong, and one without a verdict on one of its answers. */
static void fill(fv_batch *batch)
{
    *batch = (fv_batch){0};
    fv_group *g = add(batch, 10);
    set(&g->responses[0], 4, 0, 0,
        (fv_reward){.accuracy = 1, .format = 1, .tool_penalty = 0.1, .has_verdict = 1}, 0.5);
    set(&g->responses[1], 6, 1, 1, (fv_reward){.accuracy = 0, .format = 0, .has_verdict = 1}, -0.5);
    g = add(batch, 10);
    set(&g->responses[0], 2, 1, 0, (fv_reward){.accuracy = 1, .format = 1, .has_verdict = 1}, 0);
    set(&g->responses[1], 2, 0, 0, (fv_reward){.accuracy = 1, .format = 1, .has_verdict = 1}, 0);
    g = add(batch, 20);
    set(&g->responses[0], 8, 1, 0, (fv_reward){.accuracy = 0, .format = 1, .overlong = 0.2, .has_verdict = 1},
        0);
    set(&g->responses[1], 2, 0, 0, (fv_reward){.accuracy = 0, .format = 0, .kl = 0.4, .has_verdict = 1}, 0);
    g = add(batch, 20);
    set(&g->responses[0], 4, 0, 0, (fv_reward){.format = 1, .why = FV_UNJUDGED_LATE}, 0);
    set(&g->responses[1], 4, 1, 0, (fv_reward){.accuracy = 1, .format = 0, .has_verdict = 1}, 0);
}

static double figure(const fv_json *object, const char *name)
{
    double value;
    assert_ok(fv_json_require_real(object, name, &value));
    return value;
}

typedef struct expected {
    const char *name;
    double value;
} expected;

static void check(const fv_json *object, const expected *figures, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (fabs(figure(object, figures[i].name) - figures[i].value) > 1e-9)
            fail_msg("%s is %.12g, expected %.12g", figures[i].name, figure(object, figures[i].name),
                     figures[i].value);
}
#define CHECK(object, ...)                                             \
    do {                                                               \
        const expected figures_[] = {__VA_ARGS__};                     \
        check((object), figures_, sizeof figures_ / sizeof *figures_); \
    } while (0)

static fv_json *metrics_of(const fv_batch *batch, const fv_step_stats *stats, double peak_flops)
{
    fv_json *object;
    const fv_reward_weights weights = FV_REWARD_WEIGHTS_DEFAULT;
    const fv_metrics_args args = {.batch = batch,
                                  .stats = stats,
                                  .weights = &weights,
                                  .shape = &shape,
                                  .rate = 0.25,
                                  .peak_flops = peak_flops,
                                  .memory = {77, 8, 9}};
    assert_ok(fv_metrics_of_step(&args, &object));
    return object;
}

static void test_answers(void **state)
{
    (void)state;
    fv_batch batch;
    const fv_step_stats stats = {0};
    fill(&batch);
    fv_json *object = metrics_of(&batch, &stats, 0);
    const double rewards[] = {1.4, 0, 1.5, 1.5, 0.3, -0.4, 1};
    double sum = 0, squares = 0;
    for (int i = 0; i < 7; i++)
        sum += rewards[i];
    for (int i = 0; i < 7; i++)
        squares += (rewards[i] - sum / 7) * (rewards[i] - sum / 7);
    CHECK(object, {"reward", sum / 7}, {"reward_deviation", sqrt(squares / 6)}, {"accuracy", 4.0 / 7},
          {"format", 5.0 / 8}, {"tool_penalty", 0.1 / 7}, {"overlong", 0.2 / 8}, {"kl_cost", 0.4 / 8},
          {"unjudged_share", 1.0 / 8}, {"advantage_size", 1.0 / 8}, {"response_tokens", 32.0 / 8},
          {"response_tokens_most", 8}, {"prompt_tokens", 15}, {"turns", 12.0 / 8}, {"cut_share", 1.0 / 8},
          {"call_rate", 4.0 / 8}, {"call_rate_right", 2.0 / 4}, {"call_rate_wrong", 2.0 / 3},
          {"visual_share", (8 * 1 + 4 * 4) / 32.0}, {"solved_none_share", 1.0 / 3},
          {"solved_all_share", 1.0 / 3});
    const fv_json *reasons = fv_json_get(object, "unjudged");
    CHECK(reasons, {"late", 1}, {"busy", 0});
    fv_json_destroy(object);
    fv_batch_fini(&batch);
}

static void test_updates_and_phases(void **state)
{
    (void)state;
    const fv_batch batch = {0};
    const fv_step_stats stats = {
        .collect = {.rollout = {.computed_tokens = 300, .generated_tokens = 100, .n_evictions = 3},
                    .judge = {.n_asked = 10,
                              .n_tries = 15,
                              .n_cached = 2,
                              .n_compared = 4,
                              .n_agreed = 3,
                              .latency_s = 5},
                    .rollout_s = 2,
                    .judge_s = 1},
        .n_groups = 4,
        .n_no_signal = 2,
        .n_no_verdict = 1,
        .n_spare = 3,
        .n_updates = 2,
        .n_skipped = 1,
        .first = {.sums = {.max_logprob_diff = 0.125}},
        .sum = {.loss = 3,
                .norm = 5,
                .computed_tokens = 600,
                .n_tokens = 90,
                .sums = {.policy = 2,
                         .kl = 77,
                         .entropy = 77,
                         .plain_kl = 22.5,
                         .plain_entropy = 180,
                         .ratio = 180,
                         .n_clipped = 9,
                         .approx_kl = 18,
                         .n_tokens = 90}},
        .reference_tokens = 500,
        .reference_s = 5,
        .update_s = 4,
        .step_s = 20,
        .sampling_idle = {.n = 300, .n_idle = 30},
        .update_idle = {.n = 100, .n_idle = 2}};
    /* a layer: 2 (8 (8 + 2 x 4) + 8 x 8 + 3 x 8 x 16) = 1152; the head: 2 x 8 x 100 */
    double token = 2304, draw = 1600, rolled = 300 * token + 100 * draw,
           updated = 3 * (600 * token + 90 * draw);
    fv_json *object = metrics_of(&batch, &stats, 1e6);
    CHECK(object, {"learning_rate", 0.25}, {"groups", 4}, {"groups_no_signal", 2}, {"groups_no_verdict", 1},
          {"groups_spare", 3}, {"updates", 2}, {"updates_skipped", 1}, {"loss", 1.5}, {"policy_loss", 1},
          {"kl", 0.25}, {"entropy", 2}, {"gradient_norm", 2.5}, {"ratio", 2}, {"clip_share", 0.1},
          {"approximate_kl", 0.2}, {"logprob_max_diff", 0.125}, {"step_s", 20}, {"rollout_s", 2},
          {"judge_s", 1}, {"reference_s", 5}, {"update_s", 4}, {"generated_tokens", 100},
          {"rollout_tokens_per_s", 150}, {"generated_tokens_per_s", 50}, {"reference_tokens_per_s", 100},
          {"update_tokens_per_s", 150}, {"evictions", 3}, {"peak_megabytes", 77}, {"tensor_megabytes", 8},
          {"tensor_allocations", 9}, {"judge_asked", 10}, {"judge_cached", 2}, {"judge_tries", 1.5},
          {"judge_latency_s", 0.5}, {"judge_compared", 4}, {"judge_agreement", 0.75}, {"idle_share", 0.08},
          {"sampling_idle_share", 0.1}, {"update_idle_share", 0.02}, {"rollout_flops_per_s", rolled / 2},
          {"update_flops_per_s", updated / 4});
    fv_json_destroy(object);
}

/* What the back end was asked for, freed or not; a wrapper counts the same. */
static void test_memory(void **state)
{
    (void)state;
    fv_backend *backend;
    fv_comm *self;
    fv_memory_figures found;
    void *a, *b;
    assert_ok(fv_comm_self(&self));
    assert_ok(fv_backend_cpu_create(NULL, 1, &backend));
    assert_ok(fv_backend_deferred_create(backend, &backend));
    assert_ok(fv_backend_alloc(backend, 3000000, &a));
    assert_ok(fv_backend_alloc(backend, 2000000, &b));
    fv_backend_free(backend, a);
    assert_ok(fv_backend_alloc(backend, 1000000, &a));
    assert_int_equal(backend->memory.bytes, 3000000);
    assert_ok(fv_memory_look(backend, self, &found));
    assert_true(found.peak_megabytes > 1 && found.tensor_megabytes == 5 && found.tensor_allocations == 3);
    fv_backend_free(backend, a);
    fv_backend_free(backend, b);
    fv_backend_destroy(backend);
    fv_comm_destroy(self);
}

/* A step that trained on nothing still has all figures; what is unknown is null. */
static void test_an_empty_step(void **state)
{
    (void)state;
    const fv_batch batch = {0};
    const fv_step_stats stats = {0};
    fv_json *object = metrics_of(&batch, &stats, 0);
    assert_int_equal(fv_json_kind_of(fv_json_get(object, "mfu")), FV_JSON_NULL);
    assert_int_equal(fv_json_kind_of(fv_json_get(object, "idle_share")), FV_JSON_NULL);
    CHECK(object, {"reward", 0}, {"loss", 0}, {"clip_share", 0}, {"visual_share", 0});
    fv_json_destroy(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_updates_and_phases),
        cmocka_unit_test(test_an_empty_step),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
