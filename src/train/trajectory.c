#include "fovea/train/trajectory.h"

#include <stdlib.h>
#include <string.h>

fv_err fv_group_init(fv_group *group, int64_t prompt_index, int64_t row, int n_samples)
{
    *group = (fv_group){.prompt_index = prompt_index, .row = row};
    group->responses = calloc((size_t)n_samples, sizeof *group->responses);
    FV_CHECK(group->responses, FV_ERR_MEMORY, "cannot allocate %d responses", n_samples);
    group->n_samples = n_samples;
    for (int i = 0; i < n_samples; i++)
        group->responses[i] = (fv_response){.sample = i, .n_turns = 1};
    return FV_OK;
}

fv_err fv_group_add_greedy(fv_group *group)
{
    int n = group->n_samples;
    fv_response *responses = realloc(group->responses, ((size_t)n + 1) * sizeof *responses);
    FV_CHECK(responses, FV_ERR_MEMORY, "cannot allocate %d responses", n + 1);
    responses[n] = (fv_response){.sample = n, .n_turns = 1};
    group->responses = responses;
    group->has_greedy = 1;
    return FV_OK;
}

int fv_group_open(const fv_group *group)
{
    int n = 0;
    for (int i = 0; i < fv_group_size(group); i++)
        n += !group->responses[i].is_done;
    return n;
}

void fv_group_fini(fv_group *group)
{
    for (int i = 0; i < fv_group_size(group); i++) {
        fv_tokens_fini(&group->responses[i].ids);
        free(group->responses[i].logprobs);
        free(group->responses[i].loss_mask);
        free(group->responses[i].reference);
    }
    free(group->responses);
    fv_tokens_fini(&group->prompt);
    *group = (fv_group){0};
}
