#include "fovea/reward/tool_penalty.h"

#include <math.h>

fv_err fv_tool_penalty_check(const fv_tool_penalty_settings *settings)
{
    FV_CHECK(settings->theta >= 0 && settings->theta <= 1, FV_ERR_ARGUMENT,
             "a tool_penalty_theta of %g; 0 to 1", settings->theta);
    FV_CHECK(isfinite(settings->size) && settings->size >= 0, FV_ERR_ARGUMENT,
             "a tool penalty of %g; 0 or more", settings->size);
    return FV_OK;
}

/* What the released program adds to the number of correct answers: it keeps the ratio below what it is, so
 * that 1 of 5 is below a theta of 0.2, and all of them are below 1. */
static const double code_offset = 1e-4;

static int is_correct(const fv_reward *reward)
{
    return reward->accuracy >= 0.5;
}

/* Correct direct answers among correct ones; 1 if there are none, which nobody pays for. */
static double direct_ratio(const uint8_t *called, int n, const fv_reward *rewards, double offset)
{
    int n_correct = 0, n_direct = 0;
    for (int i = 0; i < n; i++) {
        n_correct += is_correct(&rewards[i]);
        n_direct += is_correct(&rewards[i]) && !called[i];
    }
    return n_correct ? n_direct / (n_correct + offset) : 1;
}

static double penalty(const fv_tool_penalty_settings *settings, double accuracy_weight, double ratio,
                      int called, const fv_reward *reward)
{
    int is_rare = ratio < settings->theta; /* correct direct answers are */
    switch (settings->kind) {
    case FV_TOOL_PENALTY_NONE:
        return 0;
    case FV_TOOL_PENALTY_PAPER:
        return is_correct(reward) && (called ? !is_rare : is_rare) ? settings->size : 0;
    case FV_TOOL_PENALTY_CODE:
        if (called)
            return settings->size * accuracy_weight * reward->accuracy;
        return is_correct(reward) && is_rare && ratio > 0 ? settings->size : 0;
    }
    return 0;
}

void fv_tool_penalty_apply(const fv_tool_penalty_settings *settings, double accuracy_weight,
                           const uint8_t *called, int n, fv_reward *rewards)
{
    int is_judged = fv_rewards_have_verdicts(rewards, n);
    double offset = settings->kind == FV_TOOL_PENALTY_CODE ? code_offset : 0;
    double ratio = is_judged ? direct_ratio(called, n, rewards, offset) : 1;
    for (int i = 0; i < n; i++)
        rewards[i].tool_penalty =
            is_judged ? penalty(settings, accuracy_weight, ratio, called[i], &rewards[i]) : 0;
}
