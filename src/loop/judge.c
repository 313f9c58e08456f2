#include "fovea/judge.h"

fv_err fv_judge_submit(fv_judge *judge, const fv_case *asked, fv_verdict *verdict)
{
    *verdict = (fv_verdict){0};
    return judge->table->submit(judge, asked, verdict);
}

fv_err fv_judge_collect(fv_judge *judge)
{
    return judge->table->collect(judge);
}

void fv_judge_destroy(fv_judge *judge)
{
    if (judge)
        judge->table->destroy(judge);
}
