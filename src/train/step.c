#include "fovea/train/step.h"

#include "fovea/base/clock.h"
#include "fovea/base/phase.h"
#include "fovea/base/point.h"

#include <stdlib.h>

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

/* Advantages of all answers, and what becomes of every group (statuses: batch->n). */
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
                  "cannot allocate the advantages of %zu answers", n);
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

/* The batch. */

static void add_collected(fv_collect_stats *sum, const fv_collect_stats *part)
{
    sum->rollout.n_passes += part->rollout.n_passes;
    sum->rollout.n_groups += part->rollout.n_groups;
    sum->rollout.computed_tokens += part->rollout.computed_tokens;
    sum->rollout.generated_tokens += part->rollout.generated_tokens;
    sum->rollout.vision_patches += part->rollout.vision_patches;
    sum->rollout.n_evictions += part->rollout.n_evictions;
    sum->rollout_s += part->rollout_s;
    sum->judge_s += part->judge_s;
    sum->judge.n_asked += part->judge.n_asked;
    sum->judge.n_tries += part->judge.n_tries;
    sum->judge.n_cached += part->judge.n_cached;
    sum->judge.n_compared += part->judge.n_compared;
    sum->judge.n_agreed += part->judge.n_agreed;
    sum->judge.latency_s += part->judge.latency_s;
}

static fv_err append(fv_batch *batch, fv_batch *more)
{
    fv_err err = FV_OK;
    for (int g = 0; g < more->n && err == FV_OK; g++)
        err = fv_batch_add(batch, &more->groups[g]);
    fv_batch_fini(more);
    return err;
}

/* statuses (batch->n) and the number of kept groups, of the whole batch. */
static fv_err set_statuses(const fv_trainer *t, const fv_batch *batch, fv_group_status **statuses,
                           int *n_kept)
{
    fv_group_status *grown = realloc(*statuses, ((size_t)batch->n + 1) * sizeof *grown);
    FV_CHECK(grown, FV_ERR_MEMORY, "cannot allocate the statuses of %d groups", batch->n);
    *statuses = grown;
    FV_TRY(set_advantages(&t->settings.advantage, batch, *statuses));
    *n_kept = 0;
    for (int g = 0; g < batch->n; g++)
        *n_kept += grown[g] == FV_GROUP_KEPT;
    return FV_OK;
}

static fv_err charge_kl(fv_trainer *t, fv_group *groups, int n, fv_step_stats *stats)
{
    if (!fv_loss_charges_kl(&t->updater->settings.loss))
        return FV_OK;
    double from = fv_clock_now();
    FV_TRY(fv_update_charge_kl(t->updater, groups, n, &stats->reference_tokens));
    stats->reference_s += fv_clock_now() - from;
    return FV_OK;
}

/* Rollout, reward and advantage, again in place of groups that were dropped. */
static fv_err sample_groups(fv_trainer *t, fv_group_status **statuses, fv_step_stats *stats)
{
    fv_batch *batch = &t->batch;
    int n_kept = 0;
    if (batch->n > 0)
        FV_TRY(set_statuses(t, batch, statuses, &n_kept));
    for (int64_t n; t->sampling_round <= t->settings.plan.sampling_rounds; t->sampling_round++) {
        int before = batch->n;
        n = fv_plan_draws(&t->settings.plan, before, n_kept);
        if (n == 0)
            break;
        fv_batch more;
        fv_collect_stats collected;
        FV_TRY(fv_collect(t->collector, t->next_prompt, n, &t->begun, &more, &collected));
        t->next_prompt += n;
        add_collected(&stats->collect, &collected);
        FV_TRY(append(batch, &more));
        FV_TRY(charge_kl(t, batch->groups + before, batch->n - before, stats));
        FV_TRY(set_statuses(t, batch, statuses, &n_kept));
    }
    return FV_OK;
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
                "step %lld: the judge gave no verdict on %lld of %lld answers (%s), a share of %.3f; "
                "reward.max_unjudged_share is %g",
                (long long)t->step + 1, (long long)n_unjudged, (long long)n, why.data,
                (double)n_unjudged / (double)n, t->settings.max_unjudged_share);
    fv_buffer_fini(&why);
    return err;
}

static fv_err check_judged(const fv_trainer *t, const fv_batch *batch)
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

/* The update. */

static void add_update(fv_step_stats *stats, const fv_update_stats *part)
{
    if (stats->n_updates++ == 0)
        stats->first = *part;
    stats->n_skipped += part->is_skipped;
    stats->sum.loss += part->loss;
    stats->sum.norm += part->norm;
    stats->sum.n_sequences += part->n_sequences;
    stats->sum.n_tokens += part->n_tokens;
    stats->sum.computed_tokens += part->computed_tokens;
    stats->sum.vision_patches += part->vision_patches;
    fv_loss_sums_add(&stats->sum.sums, &part->sums);
}

/* The groups that are trained on, in order, as copies that own nothing; returns how many. */
static int select_kept(const fv_trainer *t, const fv_batch *batch, const fv_group_status *statuses,
                       fv_group *kept, fv_step_stats *stats)
{
    const fv_step_plan *plan = &t->settings.plan;
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
    int n_used = fv_plan_first(plan, n, fv_plan_updates(plan, n));
    stats->n_spare += n - n_used;
    return n_used;
}

static fv_err ask_reference(fv_trainer *t, const fv_group *kept, fv_step_stats *stats)
{
    if (!fv_loss_needs_reference(&t->updater->settings.loss))
        return FV_OK;
    double from = fv_clock_now();
    FV_TRY(fv_update_ask_reference(t->updater, kept, stats->n_groups, &stats->reference_tokens));
    stats->reference_s += fv_clock_now() - from;
    return FV_OK;
}

static fv_err update(fv_trainer *t, const fv_batch *batch, const fv_group_status *statuses, double rate,
                     fv_step_stats *stats)
{
    const fv_step_plan *plan = &t->settings.plan;
    fv_group *kept = malloc(((size_t)batch->n + 1) * sizeof *kept);
    fv_err err = FV_OK;
    FV_CHECK_DONE(kept, FV_ERR_MEMORY, "cannot allocate a list of %d groups", batch->n);
    stats->n_groups = select_kept(t, batch, statuses, kept, stats);
    FV_TRY_DONE(ask_reference(t, kept, stats));
    for (int i = 0; i < fv_plan_updates(plan, stats->n_groups); i++) {
        fv_update_stats part;
        int first = fv_plan_first(plan, stats->n_groups, i);
        FV_TRY_DONE(fv_update(t->updater, kept + first, fv_plan_first(plan, stats->n_groups, i + 1) - first,
                              rate, &part));
        add_update(stats, &part);
    }
done:
    free(kept);
    return err;
}

void fv_trainer_fini(fv_trainer *t)
{
    fv_batch_fini(&t->batch);
    fv_batch_fini(&t->begun);
    t->sampling_round = 0;
}

fv_err fv_step(fv_trainer *t, double rate, fv_batch *batch, fv_step_stats *stats)
{
    fv_group_status *statuses = NULL;
    fv_err err = FV_OK;
    double start = fv_clock_now();
    *batch = (fv_batch){0};
    *stats = (fv_step_stats){0};
    t->rollout->step = (uint32_t)t->step;
    FV_TRY_DONE(sample_groups(t, &statuses, stats));
    FV_TRY_DONE(fv_comm_agree(t->collector->mesh->world, check_judged(t, &t->batch)));
    double from = fv_clock_now();
    fv_phase_set("update");
    FV_TRY_DONE(fv_point("step"));
    FV_TRY_DONE(update(t, &t->batch, statuses, rate, stats));
    fv_prompt_builder_forget_all(t->collector->builder);
    stats->update_s = fv_clock_now() - from;
    stats->step_s = fv_clock_now() - start;
    t->step++;
    *batch = t->batch;
    t->batch = (fv_batch){0};
done:
    free(statuses);
    if (err != FV_STOPPED)
        fv_trainer_fini(t);
    return err;
}
