/* A rule as a judge. */
#include "fovea/judge.h"

#include <stdlib.h>

static fv_err submit(fv_judge *judge, const fv_case *asked, fv_verdict *verdict)
{
    FV_TRY(fv_rule_score(judge->state, asked->answer, &asked->truth, 1, &verdict->score));
    verdict->has_verdict = 1;
    return FV_OK;
}

static fv_err collect(fv_judge *judge)
{
    (void)judge;
    return FV_OK;
}

static void destroy(fv_judge *judge)
{
    free(judge);
}

static const fv_judge_table rule_table = {"rule", submit, collect, destroy};

fv_err fv_judge_rule_create(const fv_rule *rule, fv_judge **out)
{
    *out = malloc(sizeof **out);
    FV_CHECK(*out, FV_ERR_MEMORY, "cannot allocate a judge");
    **out = (fv_judge){&rule_table, rule};
    return FV_OK;
}
