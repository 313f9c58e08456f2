/* Ranks that judge for others: every case has its own verdict, whoever asks; a failure arrives with its
 * sentence; a rank that says nothing is named. The last rank, or two of four, judge. */
#include "judge_case.h"

#include "fovea/reward/judge/judge_ranks.h"

#include <stdlib.h>

enum { N = 400 };

static fv_comm *world;
static fv_mailbox *mailbox;

static int n_judges(void)
{
    return world->size > 2 ? 2 : 1;
}

static int is_judge(void)
{
    return world->rank >= world->size - n_judges();
}

/* A judge that has up to 64 cases and says right to even numbers; it may break. */
typedef struct even {
    slow_judge slow;
    int breaks_after;
} even;

static fv_err even_poll(fv_judge *judge, double wait_s)
{
    even *e = judge->state;
    (void)wait_s;
    while (e->slow.n > 0) {
        const fv_case c = e->slow.cases[--e->slow.n];
        FV_CHECK(e->breaks_after-- != 0, FV_ERR_NUMERIC, "it broke over \"%.*s\"", (int)c.answer.size,
                 c.answer.data);
        int number = atoi(c.answer.data);
        FV_TRY(fv_judge_give(judge, e->slow.waiters[e->slow.n], fv_verdict_given(number % 2 == 0)));
    }
    return FV_OK;
}

/* Polled when it is full, so that it can be asked at any pace. */
static fv_err even_submit(fv_judge *judge, const fv_case *asked, fv_waiter waiter)
{
    even *e = judge->state;
    FV_TRY(slow_submit(judge, asked, waiter));
    return e->slow.n == 64 ? even_poll(judge, 0) : FV_OK;
}

static const fv_judge_table even_table = {.name = "even", .submit = even_submit, .poll = even_poll};

/* breaks_after: cases; -1: never. */
static fv_err serve(int breaks_after)
{
    even state = {.breaks_after = breaks_after};
    fv_judge *judge;
    assert_ok(fv_judge_create(&even_table, &state, NULL, &judge));
    fv_err err = fv_judge_serve(judge, mailbox, world->size - n_judges());
    fv_judge_destroy(judge);
    return err;
}

static fv_judge *open_asker(double silence_s)
{
    const fv_judge_ranks_settings settings = {
        .mailbox = mailbox, .first = world->size - n_judges(), .n = n_judges(), .silence_s = silence_s};
    fv_judge *judge;
    assert_ok(fv_judge_ranks_create(&settings, &judge));
    return judge;
}

static char answers[N][32];
static judged cases[N];

static void ask(fv_judge *judge, int i)
{
    snprintf(answers[i], sizeof answers[i], "%d of %d", i * 7 + world->rank, world->rank);
    judged_ask(judge, &cases[i], answers[i], "7");
}

static void test_verdicts(void **state)
{
    (void)state;
    fv_judge_counts counts;
    if (is_judge()) {
        assert_ok(serve(-1));
        return;
    }
    fv_judge *judge = open_asker(60);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < N; i++) {
            ask(judge, i);
            if (i % 16 == 0)
                assert_ok(fv_judge_poll(judge, 0));
        }
        assert_ok(fv_judge_collect(judge));
        for (int i = 0; i < N; i++)
            assert_string_equal(judged_outcome(&cases[i]),
                                (i * 7 + world->rank) % 2 == 0 ? "right" : "wrong");
    }
    fv_judge_take_counts(judge, &counts);
    assert_int_equal(counts.n_asked, 3 * N);
    fv_judge_destroy(judge);
}

static void test_a_judge_that_fails(void **state)
{
    (void)state;
    char who[64];
    if (is_judge()) {
        int fails = world->rank == world->size - 1;
        assert_int_equal(serve(fails ? 20 : -1), fails ? FV_ERR_NUMERIC : FV_OK);
        if (fails)
            assert_int_equal(fv_error_scope_get(), FV_ERROR_AGREED_OTHER);
        return;
    }
    fv_judge *judge = open_asker(60);
    for (int i = 0; i < N; i++)
        ask(judge, i);
    snprintf(who, sizeof who, "rank %d, which judges: it broke", world->size - 1);
    assert_fails(fv_judge_collect(judge), FV_ERR_NUMERIC, who);
    fv_judge_destroy(judge);
}

static void test_a_judge_that_is_silent(void **state)
{
    (void)state;
    if (is_judge()) { /* it says nothing until everybody has given it up */
        assert_ok(fv_comm_barrier(world));
        assert_ok(serve(-1));
        return;
    }
    fv_judge *judge = open_asker(0.2);
    assert_ok(fv_judge_poll(judge, 0.3)); /* nothing is asked: silence is no fault */
    ask(judge, 0);
    assert_fails(fv_judge_collect(judge), FV_ERR_COMM,
                 "has died or hangs while judging: it has said nothing");
    assert_non_null(strstr(fv_error_text(), " 0 verdicts and with 1 cases before it"));
    assert_ok(fv_comm_barrier(world));
    fv_judge_destroy(judge);
}

/* Messages of one test that nobody has taken up do not reach the next. */
static int open_mailbox(void **state)
{
    (void)state;
    return fv_mailbox_create(world, &mailbox) != FV_OK;
}

static int close_mailbox(void **state)
{
    (void)state;
    if (fv_comm_barrier(world) != FV_OK)
        return -1;
    fv_mailbox_destroy(mailbox);
    return 0;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_mailbox, close_mailbox)

int main(void)
{
    if (fv_comm_world(&world) != FV_OK)
        return 1;
    const struct CMUnitTest tests[] = {TEST(test_verdicts), TEST(test_a_judge_that_fails),
                                       TEST(test_a_judge_that_is_silent)};
    int failed = world->size > 1 ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
    fv_comm_destroy(world);
    return failed;
}
