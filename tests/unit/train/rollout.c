/* Rollout: samples do not depend on batching, chunks, memory or evictions; their log-probs are the bits of
 * one whole pass over prompt, response, tool turns and both views; a rollout that was ended is taken up to
 * the same bits; nothing excluded is generated. */
#include "rollout_case.h"

/* One whole pass over prompt and response gives the same bits as the rollout. */
static void check_answer(model_case *c, const fv_group *group, const fv_response *response)
{
    float logprobs[CASE_MAX_TOKENS];
    while (c->n_images > 0)
        fv_picture_release(c->pictures[--c->n_images]);
    c->n_features = 0;
    memcpy(c->ids, group->prompt.ids, group->prompt.n * sizeof *c->ids);
    memcpy(c->ids + group->prompt.n, response->ids.ids, response->ids.n * sizeof *c->ids);
    c->n = (int64_t)(group->prompt.n + response->ids.n);
    for (int large = 0; large < group->has_image + response->n_shown; large++) {
        fv_picture **view = &c->pictures[c->n_images];
        assert_ok(rollout_view(NULL, group, large, view));
        c->grids[c->n_images++] = (*view)->grid;
        c->n_features += fv_grid_tokens((*view)->grid, 2);
    }
    case_place(c);
    case_forward(c, logprobs, NULL);
    for (size_t i = 0; i < response->ids.n; i++)
        if (response->loss_mask[i])
            assert_memory_equal(&response->logprobs[i], &logprobs[group->prompt.n - 1 + i], sizeof *logprobs);
}

static void check_all(void)
{
    model_case c;
    fv_backend *backend;
    assert_ok(fv_backend_cpu_create(NULL, 2, &backend));
    case_open(&c, backend, case_self, temp_path(rollout.folder));
    c.excluded = rollout_excluded;
    c.n_excluded = 5;
    c.inv_temperature = 1.0f / 0.9f;
    for (int g = 0; g < GROUPS; g++)
        for (int i = 0; i < ANSWERS; i++)
            check_answer(&c, &rollout.groups[g], &rollout.groups[g].responses[i]);
    case_close(&c);
}

/* The samples of this rollout are those of groups. */
static void check_same(const fv_group *groups)
{
    for (int g = 0; g < GROUPS; g++)
        for (int i = 0; i < ANSWERS; i++) {
            const fv_response *a = &groups[g].responses[i], *b = &rollout.groups[g].responses[i];
            assert_int_equal(a->ids.n, b->ids.n);
            assert_memory_equal(a->ids.ids, b->ids.ids, a->ids.n * sizeof *a->ids.ids);
            assert_memory_equal(a->logprobs, b->logprobs, a->ids.n * sizeof *a->logprobs);
            assert_memory_equal(a->loss_mask, b->loss_mask, a->ids.n);
        }
}

static void check_batchings(const char *folder)
{
    /* running, tokens a pass, pages: all at once; a group at a time in small passes; too few pages for all */
    static const int ways[][3] = {{12, 2048, 200}, {4, 8, 200}, {4, 64, 14}, {12, 40, 16}};
    fv_group first[GROUPS];
    fv_rollout_stats stats;
    int64_t n_evictions = 0;
    rollout_use(folder);
    for (int i = 0; i < 4; i++) {
        assert_ok(rollout_run(rollout_settings(ways[i][0], ways[i][1], ways[i][2]), &stats));
        assert_int_equal(rollout.n_done, GROUPS);
        assert_int_equal(stats.n_groups, GROUPS);
        n_evictions += stats.n_evictions;
        if (i == 0) {
            check_all();
            memcpy(first, rollout.groups, sizeof first);
            rollout.n_given = 0;
            continue;
        }
        check_same(first);
        rollout_forget();
    }
    assert_true(n_evictions > 0);
    for (int g = 0; g < GROUPS; g++)
        fv_group_fini(&first[g]);
}

static void test_drawn_answers(void **state)
{
    (void)state;
    check_batchings("tiny-vl");
}

/* What the samples of the talker come to; of a right way to draw four kinds among twelve, any has them all.
 */
typedef struct kinds {
    int direct, looked, mistaken, cut;
} kinds;

static void count_kinds(kinds *n, const fv_group *group)
{
    for (int i = 0; i < ANSWERS; i++) {
        const fv_response *a = &group->responses[i];
        const fv_turn *last = &a->turns[a->n_turns - 1];
        assert_true(a->n_shown <= (group->has_image ? 1 : 0) && a->n_shown <= a->n_turns - 1);
        assert_true(a->n_turns <= 3 && (!last->is_cut || a->ids.n >= MAX_TURN));
        n->direct += a->n_turns == 1 && !last->is_cut;
        n->looked += a->n_shown == 1;
        n->mistaken += a->n_turns > 1 + a->n_shown;
        n->cut += last->is_cut;
    }
}

static void test_dialogues(void **state)
{
    (void)state;
    kinds n = {0};
    check_batchings("talker");
    assert_ok(rollout_run(rollout_settings(12, 2048, 200), NULL));
    for (int g = 0; g < GROUPS; g++)
        count_kinds(&n, &rollout.groups[g]);
    if (!n.direct || !n.looked || !n.mistaken || !n.cut)
        fail_msg("%d direct answers, %d that looked, %d with a wrong call, %d cut: another seed has them all",
                 n.direct, n.looked, n.mistaken, n.cut);
    rollout_forget();
}

/* Ended again and again and taken up again, in another batching each time: the same samples. */
static void check_taken_up(const char *folder)
{
    static const int ways[][3] = {{12, 2048, 200}, {4, 8, 200}, {4, 64, 14}, {12, 40, 16}};
    fv_group whole[GROUPS];
    int n_ended = 0;
    rollout_use(folder);
    assert_ok(rollout_run(rollout_settings(12, 2048, 200), NULL));
    memcpy(whole, rollout.groups, sizeof whole);
    memset(rollout.groups, 0, sizeof rollout.groups);
    assert_ok(rollout_run(rollout_settings(12, 2048, 200), NULL)); /* all groups are given */
    for (int g = 0; g < GROUPS; g++)
        for (int i = 0; i < ANSWERS; i++) {
            fv_response *a = &rollout.groups[g].responses[i];
            fv_tokens_fini(&a->ids);
            free(a->logprobs);
            free(a->loss_mask);
            *a = (fv_response){.sample = i, .n_turns = 1};
        }
    rollout.is_left = 1;
    do {
        const int *way = ways[n_ended++ % 4];
        rollout.passes_left = 5 + 3 * (n_ended % 5);
        assert_ok(rollout_run(rollout_settings(way[0], way[1], way[2]), NULL));
    } while (rollout.n_done < GROUPS);
    rollout.is_left = 0;
    rollout.passes_left = -1;
    assert_true(n_ended > 5);
    check_same(whole);
    check_all();
    rollout_forget();
    for (int g = 0; g < GROUPS; g++)
        fv_group_fini(&whole[g]);
}

static void test_ended_and_taken_up(void **state)
{
    (void)state;
    check_taken_up("tiny-vl");
    check_taken_up("talker");
}

/* An excluded token is never generated, however likely; a step or a seed gives other draws. */
static void test_draws(void **state)
{
    (void)state;
    rollout_plan plan = rollout_settings(12, 2048, 200);
    int32_t allowed[320], n = 0;
    rollout_use("tiny-vl");
    for (int32_t id = 0; id < 320; id++)
        if (id != 'a' && id != 'b')
            allowed[n++] = id;
    plan.engine.excluded = allowed;
    plan.engine.n_excluded = n;
    assert_ok(rollout_run(plan, NULL));
    for (int g = 0; g < GROUPS; g++)
        for (int i = 0; i < ANSWERS; i++)
            for (size_t t = 0; t < rollout.groups[g].responses[i].ids.n; t++)
                assert_in_range(rollout.groups[g].responses[i].ids.ids[t], 'a', 'b');
    fv_group before[GROUPS];
    memcpy(before, rollout.groups, sizeof before);
    plan.step++;
    assert_ok(rollout_run(plan, NULL));
    assert_memory_not_equal(before[0].responses[0].ids.ids, rollout.groups[0].responses[0].ids.ids,
                            MAX_TURN * sizeof(int32_t));
    assert_memory_not_equal(before[0].responses[0].ids.ids, before[0].responses[1].ids.ids,
                            MAX_TURN * sizeof(int32_t));
    rollout_forget();
    for (int g = 0; g < GROUPS; g++)
        fv_group_fini(&before[g]);
}

/* A greedy sample beside the others changes none of them, and is what a temperature of 0 gives. */
static void test_greedy_answers(void **state)
{
    (void)state;
    fv_group sampled[GROUPS], greedy[GROUPS];
    rollout_plan cold = rollout_settings(12, 2048, 200);
    cold.rollout.temperature = 0;
    rollout_use("tiny-vl");
    assert_ok(rollout_run(rollout_settings(12, 2048, 200), NULL));
    memcpy(sampled, rollout.groups, sizeof sampled);
    assert_ok(rollout_run(cold, NULL));
    memcpy(greedy, rollout.groups, sizeof greedy);
    rollout.has_greedy = 1;
    assert_ok(rollout_run(rollout_settings(10, 60, 24), NULL));
    rollout.has_greedy = 0;
    check_same(sampled);
    for (int g = 0; g < GROUPS; g++) {
        const fv_response *a = &rollout.groups[g].responses[ANSWERS], *b = &greedy[g].responses[0];
        assert_int_equal(rollout.groups[g].n_samples, ANSWERS);
        assert_int_equal(a->ids.n, b->ids.n);
        assert_memory_equal(a->ids.ids, b->ids.ids, a->ids.n * sizeof *a->ids.ids);
    }
    rollout_forget();
    for (int g = 0; g < GROUPS; g++) {
        fv_group_fini(&sampled[g]);
        fv_group_fini(&greedy[g]);
    }
}

static int is_in(const fv_tokens *ids, size_t n, int32_t id)
{
    for (size_t i = 0; i < n; i++)
        if (ids->ids[i] == id)
            return 1;
    return 0;
}

/* A penalty changes what is generated, but not what its log-prob means: check_all. A large one forbids
 * whatever was in the prompt or the response. */
static void test_repetition_penalty(void **state)
{
    (void)state;
    fv_group plain[GROUPS];
    rollout_plan plan = rollout_settings(12, 2048, 200);
    int n_other = 0;
    rollout_use("tiny-vl");
    assert_ok(rollout_run(plan, NULL));
    memcpy(plain, rollout.groups, sizeof plain);
    plan.engine.has_filters = 1;
    plan.rollout.repetition_penalty = 3;
    assert_ok(rollout_run(plan, NULL));
    check_all();
    for (int g = 0; g < GROUPS; g++) {
        const fv_tokens *a = &plain[g].responses[0].ids, *b = &rollout.groups[g].responses[0].ids;
        n_other += a->n != b->n || memcmp(a->ids, b->ids, a->n * sizeof *a->ids) != 0;
    }
    assert_true(n_other > 0);
    rollout_forget();
    plan.rollout.repetition_penalty = 1e4f;
    plan.rollout.temperature = 0;
    assert_ok(rollout_run(plan, NULL));
    for (int g = 0; g < GROUPS; g++) {
        const fv_tokens *prompt = &rollout.groups[g].prompt, *ids = &rollout.groups[g].responses[0].ids;
        for (size_t i = 0; i < ids->n; i++)
            if (rollout.groups[g].responses[0].loss_mask[i])
                assert_false(is_in(prompt, prompt->n, ids->ids[i]) || is_in(ids, i, ids->ids[i]));
    }
    rollout_forget();
    for (int g = 0; g < GROUPS; g++)
        fv_group_fini(&plain[g]);
}

/* One engine for a whole run: a rollout that was ended leaves nothing behind, and features that are given up,
 * because there is room for one image, are computed again to the same bits. */
static void test_one_engine(void **state)
{
    (void)state;
    rollout_plan plan = rollout_settings(12, 60, 20);
    fv_group whole[GROUPS];
    fv_rollout_stats all, again;
    fv_engine *engine;
    rollout_use("talker");
    assert_ok(rollout_run(rollout_settings(12, 2048, 200), &all));
    memcpy(whole, rollout.groups, sizeof whole);
    plan.engine.image_rows = 24;
    assert_ok(fv_engine_create(rollout.model, &plan.engine, &engine));
    rollout.passes_left = 15;
    assert_ok(rollout_through(engine, &plan, NULL));
    rollout.passes_left = -1;
    rollout_forget();
    assert_int_equal(fv_engine_free_pages(engine), 20);
    assert_ok(rollout_through(engine, &plan, &again));
    assert_int_equal(fv_engine_free_pages(engine), 20);
    check_same(whole);
    assert_true(again.vision_patches > all.vision_patches);
    fv_engine_destroy(engine);
    rollout_forget();
    for (int g = 0; g < GROUPS; g++)
        fv_group_fini(&whole[g]);
}

static void test_refusals(void **state)
{
    (void)state;
    rollout_use("tiny-vl");
    assert_fails(rollout_run(rollout_settings(12, 20, 200), NULL), FV_ERR_ARGUMENT, "pass_tokens is 20");
    assert_fails(rollout_run(rollout_settings(3, 64, 200), NULL), FV_ERR_ARGUMENT,
                 "row 100: 4 responses at once");
    rollout_forget();
    assert_fails(rollout_run(rollout_settings(12, 64, 10), NULL), FV_ERR_ARGUMENT, "raise cache_pages");
    rollout_forget();
    rollout_plan plan = rollout_settings(12, 64, 100);
    plan.rollout.dialogue.max_tokens = 20;
    assert_fails(rollout_run(plan, NULL), FV_ERR_ARGUMENT, "row 100: a prompt of");
    rollout_forget();
    plan = rollout_settings(12, 64, 100);
    plan.rollout.top_p = 2;
    assert_fails(rollout_run(plan, NULL), FV_ERR_ARGUMENT, "top_p is 2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drawn_answers),  cmocka_unit_test(test_dialogues),
        cmocka_unit_test(test_draws),          cmocka_unit_test(test_ended_and_taken_up),
        cmocka_unit_test(test_greedy_answers), cmocka_unit_test(test_repetition_penalty),
        cmocka_unit_test(test_one_engine),     cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, rollout_setup, rollout_teardown);
}
