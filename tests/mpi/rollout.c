/* Two hundred sampled dialogues on any number of ranks are those of one: tokens, masks, views that were
 * shown, and log-probs, bit for bit, in both precisions, whatever the batching. */
#include "rollout_case.h"

#include <stdlib.h>

enum { MIN_DIALOGUES = 200 };
static const uint32_t steps[] = {17, 4}; /* of twelve responses, by precision */

static fv_comm *world;
static fv_backend *backends[2];
static int n_responses, n_shown;

static fv_model *open_model(fv_comm *comm, int i, fv_precision_choice precision)
{
    fv_model *model;
    const fv_model_args args = {.backend = backends[i],
                                .tensor = comm,
                                .folder = temp_path("talker"),
                                .precision = fv_precision_of(precision)};
    assert_ok(fv_model_open(&args, &model));
    return model;
}

static void draw(fv_model *model, uint32_t step, int max_running, int pass_tokens)
{
    rollout_plan plan = rollout_settings(max_running, pass_tokens, 200);
    plan.step = step;
    rollout.model = model;
    assert_ok(rollout_run(plan, NULL));
}

static void compare(const fv_response *a, const fv_response *b)
{
    assert_int_equal(a->ids.n, b->ids.n);
    assert_memory_equal(a->ids.ids, b->ids.ids, a->ids.n * sizeof *a->ids.ids);
    assert_memory_equal(a->loss_mask, b->loss_mask, a->ids.n);
    assert_memory_equal(a->logprobs, b->logprobs, a->ids.n * sizeof *a->logprobs);
    assert_int_equal(a->n_shown, b->n_shown);
    n_responses++;
    n_shown += a->n_shown > 0;
}

/* The first rank alone draws with a whole model, too. */
static void check_step(fv_model *whole, fv_model *split, uint32_t step)
{
    fv_group alone[GROUPS];
    if (whole) {
        draw(whole, step, 12, 2048);
        memcpy(alone, rollout.groups, sizeof alone);
    }
    draw(split, step, 5, 100);
    for (int g = 0; whole && g < GROUPS; g++) {
        for (int i = 0; i < ANSWERS; i++)
            compare(&alone[g].responses[i], &rollout.groups[g].responses[i]);
        fv_group_fini(&alone[g]);
    }
    rollout_forget();
}

static void test_dialogues(void **state)
{
    (void)state;
    for (fv_precision_choice p = FV_PRECISION_FP32; p <= FV_PRECISION_BF16; p++) {
        fv_model *whole = world->rank == 0 ? open_model(case_self, 0, p) : NULL;
        fv_model *split = open_model(world, 1, p);
        for (uint32_t step = 0; step < steps[p]; step++)
            check_step(whole, split, step);
        rollout.model = NULL;
        fv_model_destroy(whole);
        fv_model_destroy(split);
    }
    if (world->rank == 0)
        assert_true(n_responses >= MIN_DIALOGUES && 4 * n_shown > n_responses / 2);
}

static int setup(void **state)
{
    if (rollout_setup(state) != 0)
        return -1;
    fv_model_destroy(rollout.model);
    rollout.model = NULL;
    for (int i = 0; i < 2; i++)
        if (fv_backend_cpu_create(NULL, 1, &backends[i]) != FV_OK)
            return -1;
    return 0;
}

static int teardown(void **state)
{
    for (int i = 0; i < 2; i++)
        fv_backend_destroy(backends[i]);
    return rollout_teardown(state);
}

int main(void)
{
    if (fv_comm_world(&world) != FV_OK)
        return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_dialogues)};
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    fv_comm_destroy(world);
    return failed;
}
