/* What all judges share: each is a table (judge_api, judge_local, judge_program, ...) that is asked and
 * polled through these few functions. */
#include "fovea/reward/judge/judge.h"

#include "fovea/base/phase.h"

#include <stdlib.h>

fv_err fv_judge_create(const fv_judge_table *table, void *state, fv_judge *inner, fv_judge **out)
{
    fv_judge made = {.table = table, .state = state, .inner = inner};
    *out = malloc(sizeof **out);
    if (!*out) {
        if (table->destroy)
            table->destroy(&made);
        fv_judge_destroy(inner);
        return FV_FAIL(FV_ERR_MEMORY, "cannot allocate a judge");
    }
    **out = made;
    return FV_OK;
}

fv_err fv_judge_give(fv_judge *judge, fv_waiter waiter, fv_verdict verdict)
{
    judge->n_pending--;
    return waiter.take(waiter.context, verdict);
}

fv_err fv_judge_ask(fv_judge *judge, const fv_case *asked, fv_waiter waiter)
{
    judge->n_pending++;
    return judge->table->submit(judge, asked, waiter);
}

fv_err fv_judge_poll(fv_judge *judge, double wait_s)
{
    fv_phase_move();
    if (judge->table->poll)
        return judge->table->poll(judge, wait_s);
    return judge->inner ? fv_judge_poll(judge->inner, wait_s) : FV_OK;
}

fv_err fv_judge_collect(fv_judge *judge)
{
    while (judge->n_pending > 0)
        FV_TRY(fv_judge_poll(judge, 1));
    return FV_OK;
}

fv_err fv_judge_share(fv_judge *judge, fv_comm *comm)
{
    for (; judge; judge = judge->inner)
        if (judge->table->share)
            FV_TRY(judge->table->share(judge, comm));
    return FV_OK;
}

void fv_judge_take_counts(fv_judge *judge, fv_judge_counts *out)
{
    *out = (fv_judge_counts){0};
    for (; judge; judge = judge->inner) {
        out->n_asked += judge->counts.n_asked;
        out->n_tries += judge->counts.n_tries;
        out->n_cached += judge->counts.n_cached;
        out->n_compared += judge->counts.n_compared;
        out->n_agreed += judge->counts.n_agreed;
        out->latency_s += judge->counts.latency_s;
        judge->counts = (fv_judge_counts){0};
    }
}

void fv_judge_destroy(fv_judge *judge)
{
    if (!judge)
        return;
    if (judge->table->destroy)
        judge->table->destroy(judge);
    fv_judge_destroy(judge->inner);
    free(judge);
}
