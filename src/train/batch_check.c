/* Whether a batch that comes from a file is one that a run could have left. What follows counts, divides and
 * reads by its numbers. */
#include "fovea/train/batch.h"

#include <math.h>

/* What is wrong, as text; NULL: nothing. */

static const char *fault_of_grids(const fv_group *group, int merge)
{
    const fv_grid grids[2] = {group->low, group->high};
    for (int i = 0; i < 2 && group->has_image; i++) {
        const fv_grid g = grids[i];
        if (merge < 1 || g.t != 1 || g.h < merge || g.w < merge || g.h % merge || g.w % merge ||
            g.h > 1 << 14 || g.w > 1 << 14)
            return "the size of its image";
    }
    return NULL;
}

static int are_ids(const fv_tokens *ids, int vocab)
{
    for (size_t i = 0; i < ids->n; i++)
        if (ids->ids[i] < 0 || ids->ids[i] >= vocab)
            return 0;
    return 1;
}

static int are_flags(const int *flags, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (flags[i] != 0 && flags[i] != 1)
            return 0;
    return 1;
}

static const char *fault_of_group(const fv_group *g, int vocab, int merge)
{
    const int flags[] = {g->has_image, g->is_high_first, g->has_greedy};
    if (!are_flags(flags, sizeof flags / sizeof *flags))
        return "what it has";
    if (g->prompt.n == 0 || !are_ids(&g->prompt, vocab))
        return "the tokens of its prompt";
    return fault_of_grids(g, merge);
}

static int are_turns(const fv_response *a)
{
    int64_t end = 0, n = (int64_t)a->ids.n;
    for (int r = 0; r < a->n_turns; r++) {
        const fv_turn *turn = &a->turns[r];
        if (turn->first < end || turn->first > n || turn->n > n - turn->first || !are_flags(&turn->is_cut, 1))
            return 0;
        end = turn->first + turn->n;
    }
    return 1;
}

static int is_reward(const fv_reward *r)
{
    return r->accuracy >= 0 && r->accuracy <= 1 && r->format >= 0 && r->format <= 1 &&
           isfinite(r->tool_penalty) && isfinite(r->overlong) && isfinite(r->kl) &&
           are_flags(&r->has_verdict, 1);
}

static const char *fault_of_answer(const fv_response *a, int sample, int vocab)
{
    const int flags[] = {a->is_done, a->is_called};
    if (a->sample != sample || a->n_shown > FV_MAX_TURNS || !are_flags(flags, sizeof flags / sizeof *flags))
        return "its number, or what it did";
    if (!are_ids(&a->ids, vocab))
        return "its tokens";
    if (!are_turns(a))
        return "its turns";
    for (size_t t = 0; t < a->ids.n; t++)
        if (a->loss_mask[t] > 1 || !isfinite(a->logprobs[t]) || a->logprobs[t] > 0)
            return "its log-probabilities";
    return is_reward(&a->reward) ? NULL : "its reward";
}

fv_err fv_batch_check(const fv_batch *batch, int vocab, int merge)
{
    for (int g = 0; g < batch->n; g++) {
        const fv_group *group = &batch->groups[g];
        const char *fault = fault_of_group(group, vocab, merge);
        FV_CHECK(!fault, FV_ERR_FORMAT, "group %d of %d cannot be: %s", g, batch->n, fault);
        for (int i = 0; i < fv_group_size(group); i++) {
            fault = fault_of_answer(&group->responses[i], i, vocab);
            FV_CHECK(!fault, FV_ERR_FORMAT, "sample %d of group %d cannot be: %s", i, g, fault);
        }
    }
    return FV_OK;
}
