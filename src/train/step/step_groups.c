/* The groups of a step: gathered, weighed, chosen; and refused if too few of them are judged. */
#include "train/step/step_internal.h"

#include <stdlib.h>

fv_err fv_step_append(fv_batch *batch, fv_batch *more)
{
    fv_err err = FV_OK;
    for (int g = 0; g < more->n && err == FV_OK; g++)
        err = fv_batch_add(batch, &more->groups[g]);
    fv_batch_fini(more);
    return err;
}

/* Advantages. */

static void list_rewards(const fv_batch *batch, fv_reward *rewards, fv_reward *greedy, int64_t *starts)
{
    int64_t n = 0;
    for (int g = 0; g < batch->n; g++) {
        const fv_group *group = &batch->groups[g];
        starts[g] = n;
        for (int i = 0; i < group->n_samples; i++)
            rewards[n++] = group->responses[i].reward;
        if (group->has_greedy)
            greedy[g] = group->responses[group->n_samples].reward;
    }
    starts[batch->n] = n;
}

static void hand_out(const fv_batch *batch, const double *advantages)
{
    for (int g = 0; g < batch->n; g++)
        for (int i = 0; i < batch->groups[g].n_samples; i++)
            batch->groups[g].responses[i].advantage = *advantages++;
}

/* Advantages of all samples, and what becomes of every group (statuses: batch->n). */
static fv_err set_advantages(const fv_advantage_settings *settings, const fv_batch *batch,
                             fv_group_status *statuses)
{
    size_t n = 0;
    for (int g = 0; g < batch->n; g++)
        n += (size_t)batch->groups[g].n_samples;
    fv_reward *rewards = malloc((n + 1) * sizeof *rewards);
    fv_reward *greedy = malloc(((size_t)batch->n + 1) * sizeof *greedy);
    double *advantages = malloc((n + 1) * sizeof *advantages);
    int64_t *starts = malloc(((size_t)batch->n + 1) * sizeof *starts);
    fv_err err = FV_OK;
    FV_CHECK_DONE(rewards && greedy && advantages && starts, FV_ERR_MEMORY,
                  "cannot allocate the advantages of %zu samples", n);
    list_rewards(batch, rewards, greedy, starts);
    const fv_advantage_args args = {.rewards = rewards,
                                    .starts = starts,
                                    .n_groups = batch->n,
                                    .greedy = greedy,
                                    .advantages = advantages,
                                    .statuses = statuses};
    FV_TRY_DONE(fv_advantage_compute(settings, &args));
    hand_out(batch, advantages);
done:
    free(rewards);
    free(greedy);
    free(advantages);
    free(starts);
    return err;
}

fv_err fv_step_weigh(const fv_advantage_settings *settings, const fv_batch *batch, fv_group_status **statuses,
                     int *n_kept)
{
    fv_group_status *grown = realloc(*statuses, ((size_t)batch->n + 1) * sizeof *grown);
    FV_CHECK(grown, FV_ERR_MEMORY, "cannot allocate the statuses of %d groups", batch->n);
    *statuses = grown;
    FV_TRY(set_advantages(settings, batch, *statuses));
    *n_kept = 0;
    for (int g = 0; g < batch->n; g++)
        *n_kept += grown[g] == FV_GROUP_KEPT;
    return FV_OK;
}

void fv_step_select(const fv_step_plan *plan, const fv_batch *batch, const fv_group_status *statuses,
                    fv_group *kept, fv_step_stats *stats)
{
    int n = 0;
    for (int g = 0; g < batch->n; g++) {
        stats->n_no_signal += statuses[g] == FV_GROUP_NO_SIGNAL;
        stats->n_no_verdict += statuses[g] == FV_GROUP_NO_VERDICT;
        if (statuses[g] != FV_GROUP_KEPT)
            continue;
        if (n < plan->prompts)
            kept[n++] = batch->groups[g];
        else
            stats->n_spare++;
    }
    stats->n_groups = fv_step_plan_first(plan, n, fv_step_plan_updates(plan, n));
    stats->n_spare += n - stats->n_groups;
}

/* Too few verdicts to learn from. */

static fv_err say_why(const int64_t *n_by_reason, fv_buffer *out)
{
    for (int i = 0; i < FV_N_UNJUDGED; i++)
        if (n_by_reason[i])
            FV_TRY(fv_buffer_print(out, "%s%lld %s", out->size ? ", " : "", (long long)n_by_reason[i],
                                   fv_unjudged_name(i)));
    return FV_OK;
}

static fv_err refuse_unjudged(const fv_trainer *t, int64_t n, int64_t n_unjudged, const int64_t *n_by_reason)
{
    fv_buffer why = {0};
    FV_TRY(say_why(n_by_reason, &why));
    fv_err err =
        FV_FAIL(FV_ERR_ARGUMENT,
                "step %lld: the judge gave no verdict on %lld of %lld samples (%s), a share of %.3f; "
                "reward.max_unjudged_share is %g",
                (long long)t->step + 1, (long long)n_unjudged, (long long)n, why.data,
                (double)n_unjudged / (double)n, t->settings.max_unjudged_share);
    fv_buffer_fini(&why);
    return err;
}

fv_err fv_step_check_judged(const fv_trainer *t, const fv_batch *batch)
{
    int64_t n = 0, n_unjudged = 0, n_by_reason[FV_N_UNJUDGED] = {0};
    for (int g = 0; g < batch->n; g++)
        for (int i = 0; i < fv_group_size(&batch->groups[g]); i++) {
            const fv_reward *reward = &batch->groups[g].responses[i].reward;
            n++;
            n_unjudged += !reward->has_verdict;
            n_by_reason[reward->why] += !reward->has_verdict;
        }
    if ((double)n_unjudged <= t->settings.max_unjudged_share * (double)n)
        return FV_OK;
    return refuse_unjudged(t, n, n_unjudged, n_by_reason);
}
