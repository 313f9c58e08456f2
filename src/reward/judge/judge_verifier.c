/* A verifier as a judge. */
#include "fovea/reward/judge/judge.h"

static fv_err submit(fv_judge *judge, const fv_case *asked, fv_waiter waiter)
{
    double score;
    FV_TRY(fv_verifier_ask(judge->state, asked->question, asked->answer, asked->truth, &score));
    return fv_judge_give(judge, waiter, fv_verdict_given(score));
}

static const fv_judge_table verifier_table = {.name = "verifier", .submit = submit};

fv_err fv_judge_verifier_create(const fv_verifier *verifier, fv_judge **out)
{
    return fv_judge_create(&verifier_table, (void *)verifier, NULL, out);
}
