/* What a sample is worth. Local.
 *
 *     reward = accuracy_weight x accuracy + format_weight x format - tool_penalty - overlong - kl
 *
 * The parts stay apart wherever rewards are kept or reported; only advantages see their sum. */
#ifndef FOVEA_REWARD_REWARD_H
#define FOVEA_REWARD_REWARD_H

#include "fovea/base/error.h"
#include "fovea/reward/verdict.h"

#include <stdint.h>

typedef struct fv_reward {
    double accuracy;     /* 0 to 1, from a verifier or a judge; means nothing without a verdict */
    double format;       /* 0 or 1 */
    double tool_penalty; /* what calling, or not calling, the tool costs: 0 or more (tool_penalty.h) */
    double overlong;     /* what length costs: 0 or more */
    double kl;       /* what distance from the reference costs, where it is a part of the reward (loss.h) */
    int has_verdict; /* 0: the judge gave none. Neither right nor wrong: the group is not trained on */
    fv_unjudged why; /* it gave none */
} fv_reward;

typedef struct fv_reward_weights {
    double accuracy, format; /* 0 or more */
} fv_reward_weights;
#define FV_REWARD_WEIGHTS_DEFAULT ((fv_reward_weights){.accuracy = 1, .format = 0.5})

fv_err fv_reward_weights_check(const fv_reward_weights *weights);

/* The sum without kl: what the sample is worth, whatever policy gave it. Meaningless without a verdict, as is
 * the next. */
double fv_reward_of_task(const fv_reward_weights *weights, const fv_reward *reward);

/* The sum. */
double fv_reward_total(const fv_reward_weights *weights, const fv_reward *reward);

/* Whether all n samples of a group have a verdict. */
int fv_rewards_have_verdicts(const fv_reward *rewards, int64_t n);

/* The soft punishment of long responses (DAPO, Yu et al., 2025, equation 13): nothing up to max_tokens -
 * buffer_tokens, then growing linearly to size at max_tokens, and size beyond. */
typedef struct fv_overlong_settings {
    int64_t max_tokens;    /* above 0 */
    int64_t buffer_tokens; /* 1 to max_tokens */
    double size;           /* 0 or more; 0, the default, turns it off and the others are not looked at */
} fv_overlong_settings;
#define FV_OVERLONG_DEFAULT ((fv_overlong_settings){.size = 0})

fv_err fv_overlong_check(const fv_overlong_settings *settings);

/* For a response of n_tokens generated tokens. */
double fv_overlong_penalty(const fv_overlong_settings *settings, int64_t n_tokens);

#endif
