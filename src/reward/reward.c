#include "fovea/reward/reward.h"

#include <math.h>

static int is_weight(double value)
{
    return isfinite(value) && value >= 0;
}

fv_err fv_reward_weights_check(const fv_reward_weights *weights)
{
    FV_CHECK(is_weight(weights->accuracy), FV_ERR_ARGUMENT, "a weight of accuracy of %g; 0 or more",
             weights->accuracy);
    FV_CHECK(is_weight(weights->format), FV_ERR_ARGUMENT, "a weight of format of %g; 0 or more",
             weights->format);
    return FV_OK;
}

double fv_reward_of_task(const fv_reward_weights *weights, const fv_reward *reward)
{
    return weights->accuracy * reward->accuracy + weights->format * reward->format - reward->tool_penalty -
           reward->overlong;
}

double fv_reward_total(const fv_reward_weights *weights, const fv_reward *reward)
{
    return fv_reward_of_task(weights, reward) - reward->kl;
}

int fv_rewards_have_verdicts(const fv_reward *rewards, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!rewards[i].has_verdict)
            return 0;
    return 1;
}

fv_err fv_overlong_check(const fv_overlong_settings *settings)
{
    FV_CHECK(is_weight(settings->size), FV_ERR_ARGUMENT, "an over-long penalty of %g; 0 or more",
             settings->size);
    if (settings->size == 0)
        return FV_OK;
    FV_CHECK(settings->max_tokens > 0, FV_ERR_ARGUMENT, "over-long responses from %lld tokens; above 0",
             (long long)settings->max_tokens);
    FV_CHECK(settings->buffer_tokens > 0 && settings->buffer_tokens <= settings->max_tokens, FV_ERR_ARGUMENT,
             "an over-long buffer of %lld tokens; 1 to the limit of %lld", (long long)settings->buffer_tokens,
             (long long)settings->max_tokens);
    return FV_OK;
}

double fv_overlong_penalty(const fv_overlong_settings *settings, int64_t n_tokens)
{
    int64_t excess = n_tokens - (settings->max_tokens - settings->buffer_tokens);
    if (settings->size == 0 || excess <= 0)
        return 0;
    if (excess >= settings->buffer_tokens)
        return settings->size;
    return settings->size * (double)excess / (double)settings->buffer_tokens;
}
