#include "judge_case.h"

static fv_err judged_take(void *context, fv_verdict verdict)
{
    judged *j = context;
    j->verdict = verdict;
    j->n_given++;
    return FV_OK;
}

void judged_ask(fv_judge *judge, judged *j, const char *answer, const char *truth)
{
    *j = (judged){.asked = {fv_slice_of("How many?"), fv_slice_of(answer), fv_slice_of(truth)}};
    assert_ok(fv_judge_ask(judge, &j->asked, (fv_waiter){judged_take, j}));
}

void judged_ask_several(fv_judge *judge, judged *j, const char *answer, const char *truth, size_t size)
{
    *j = (judged){.asked = {fv_slice_of("How many?"), fv_slice_of(answer), {truth, size}}};
    assert_ok(fv_judge_ask(judge, &j->asked, (fv_waiter){judged_take, j}));
}

const char *judged_outcome(const judged *j)
{
    assert_int_equal(j->n_given, 1);
    if (!j->verdict.has_verdict)
        return fv_unjudged_name(j->verdict.why);
    assert_true(j->verdict.score == 0 || j->verdict.score == 1);
    return j->verdict.score == 1 ? "right" : "wrong";
}

fv_err slow_submit(fv_judge *judge, const fv_case *asked, fv_waiter waiter)
{
    slow_judge *s = judge->state;
    assert_true(s->n < 64);
    s->cases[s->n] = *asked;
    s->waiters[s->n++] = waiter;
    s->n_asked++;
    return FV_OK;
}

static fv_err slow_poll(fv_judge *judge, double wait_s)
{
    slow_judge *s = judge->state;
    (void)wait_s;
    while (s->n > 0) {
        const fv_case *c = &s->cases[--s->n];
        int is_odd = fv_slice_find(c->answer, fv_slice_of("odd")) != FV_SLICE_NONE;
        int is_good = fv_slice_find(c->answer, fv_slice_of("good")) != FV_SLICE_NONE;
        FV_TRY(fv_judge_give(judge, s->waiters[s->n],
                             is_odd ? fv_verdict_none(FV_UNJUDGED_UNCLEAR) : fv_verdict_given(is_good)));
    }
    return FV_OK;
}

static const fv_judge_table slow_table = {.name = "slow", .submit = slow_submit, .poll = slow_poll};

fv_judge *slow_create(slow_judge *state)
{
    fv_judge *judge;
    *state = (slow_judge){0};
    assert_ok(fv_judge_create(&slow_table, state, NULL, &judge));
    return judge;
}
