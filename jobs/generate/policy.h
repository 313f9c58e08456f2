/* A question asked as training asks it: the wording of a file, the low-resolution view first, and the tool
 * that shows the high-resolution one. */
#ifndef FOVEA_JOBS_GENERATE_POLICY_H
#define FOVEA_JOBS_GENERATE_POLICY_H

#include "jobs/generate/options.h"

#include "fovea/engine/generate.h"
#include "fovea/train/rollout.h"
#include "fovea/train/prompt_builder.h"

typedef struct fv_generate_policy {
    const fv_runtime *runtime; /* borrowed, as all of what prepare is given */
    fv_processor processor;
    fv_prompts *prompts;
    fv_row row;
    fv_prompt_builder builder;
    fv_group group; /* of one sample */
    int is_given;   /* to the rollout */
    int32_t excluded[FV_CHAT_VISION_IDS];
    fv_rollout_settings rollout;
    size_t n_told; /* tokens of the answer */
    fv_token_sink sink;
    fv_err (*turn)(void *context);
    void *context;
} fv_generate_policy;

/* Everything before the first token. With a wording that has a tool the low-resolution view comes first, else
 * the high-resolution one. Starts as {0}. Local. */
fv_err fv_generate_policy_prepare(fv_generate_policy *policy, const fv_runtime *runtime,
                                  const fv_generate_options *options, const fv_chat *chat,
                                  const fv_buffer *question);

/* Answer: each generated token goes to policy->sink, and policy->turn is called before the first of another
 * turn. Collective over the model's tensor group. */
fv_err fv_generate_policy_run(fv_generate_policy *policy, const fv_sampling *sampling, int max_turn_tokens,
                              fv_finish *finish);

/* Turns of the assistant at most. Local. */
int fv_generate_policy_turns(const fv_generate_policy *policy);

/* Tokens of all views shown. Local. */
int64_t fv_generate_policy_visual_tokens(const fv_generate_policy *policy);

void fv_generate_policy_fini(fv_generate_policy *policy); /* Local */

#endif
