#include "fovea/train/changeable_settings.h"

#include "fovea/reward/judge/judge.h"

#include <string.h>

/* A dot at the end: the whole section. */
static const char *const in_both[] = {"model",
                                      "out",
                                      "prompts",
                                      "resume.",
                                      "steps",
                                      "threads",
                                      "kernels",
                                      "memory_gigabytes",
                                      "data.train",
                                      "data.validate",
                                      "layout.judge_ranks",
                                      "views.workers",
                                      "views.cache_megabytes",
                                      "rollout.max_running",
                                      "rollout.pass_tokens",
                                      "rollout.cache_pages",
                                      "reward.max_unjudged_share",
                                      FV_JUDGE_CHANGEABLE_KEYS,
                                      "optimizer.master",
                                      "optimizer.on_host",
                                      "update.micro_tokens",
                                      "update.recompute",
                                      "update.kept_layers",
                                      "update.reference_on_host",
                                      "update.skip_limit",
                                      "validate.",
                                      "save.",
                                      "watch.",
                                      "log.",
                                      NULL};

static const char *const in_run[] = {"layout.tensor", NULL};

static const char *const in_selection[] = {"data.",
                                           "views.prompt",
                                           "rollout.prompts",
                                           "rollout.max_turns",
                                           "rollout.max_images",
                                           "rollout.sampling_rounds",
                                           "reward.product",
                                           "reward.needs_valid_call",
                                           "reward.accuracy_weight",
                                           "reward.format_weight",
                                           "reward.tool_penalty",
                                           "reward.tool_penalty_theta",
                                           "reward.tool_penalty_size",
                                           "reward.overlong_tokens",
                                           "reward.overlong_buffer",
                                           "reward.overlong_size",
                                           "advantage.",
                                           "loss.",
                                           "update.",
                                           "optimizer.",
                                           "sft.",
                                           NULL};

int fv_setting_is_among(const char *const *keys, const char *key)
{
    for (; *keys; keys++) {
        size_t n = strlen(*keys);
        if ((*keys)[n - 1] == '.' ? strncmp(key, *keys, n) == 0 : strcmp(key, *keys) == 0)
            return 1;
    }
    return 0;
}

int fv_setting_may_change(const char *key, fv_change of)
{
    return fv_setting_is_among(in_both, key) ||
           fv_setting_is_among(of == FV_CHANGE_IN_RUN ? in_run : in_selection, key);
}
