#include "fovea/train/step/step_plan.h"

#include <math.h>

/* With a share p kept, n groups keep n p of them, and a standard deviation of sqrt(n p (1 - p)) less or more.
 */
static double needed(double missing, double p)
{
    return ceil((missing + sqrt(missing * (1 - p))) / p);
}

int64_t fv_step_plan_more(const fv_step_plan *plan, int64_t n_taken, int64_t n_kept)
{
    int64_t missing = plan->prompts - n_kept;
    int64_t left = (int64_t)plan->prompts * (1 + plan->sampling_rounds) - n_taken;
    if (missing <= 0 || left <= 0)
        return 0;
    double wanted =
        n_kept > 0 ? needed((double)missing, (double)n_kept / (double)n_taken) : (double)plan->prompts;
    return wanted < (double)left ? (int64_t)wanted : left;
}

int fv_step_plan_updates(const fv_step_plan *plan, int n)
{
    int n_whole = n / plan->groups, has_rest = n % plan->groups > 0;
    if (plan->partial == FV_PARTIAL_KEEP || (plan->partial == FV_PARTIAL_SPREAD && n_whole == 0))
        return n_whole + has_rest;
    return n_whole;
}

int fv_step_plan_first(const fv_step_plan *plan, int n, int i)
{
    int n_updates = fv_step_plan_updates(plan, n);
    if (plan->partial == FV_PARTIAL_SPREAD)
        return n_updates ? (int)((int64_t)n * i / n_updates) : 0;
    int64_t first = (int64_t)i * plan->groups;
    return first < n ? (int)first : n;
}
