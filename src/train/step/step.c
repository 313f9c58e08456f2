/* The loop on one page: data set -> rollout -> reward -> advantage -> update.
 *
 * A step samples groups until enough of them teach something, or its sampling rounds are used up: prompts are
 * answered and judged (fv_collect), and the responses of each group are weighed against each other. Groups
 * whose responses are all alike teach nothing and are replaced in the next round. The rest is cut into
 * mini-batches, each of which moves the weights once. */
#include "train/step/step_internal.h"

#include "fovea/base/clock.h"
#include "fovea/base/phase.h"
#include "fovea/base/point.h"

#include <stdlib.h>

/* Rollout and reward of n more prompts, at the end of the trainer's batch. */
static fv_err collect(fv_trainer *t, int64_t n, fv_step_stats *stats)
{
    fv_batch more;
    fv_collect_stats collected;
    fv_collect_args args = t->prompts;
    args.step = (uint32_t)t->step;
    args.first = t->next_prompt;
    args.n = n;
    FV_TRY(fv_collect(t->collector, &args, &t->begun, &more, &collected));
    t->next_prompt += n;
    fv_step_add_collected(stats, &collected);
    return fv_step_append(&t->batch, &more);
}

/* With the KL term in the reward, the reference policy is asked about groups [first, n) of the batch. */
static fv_err charge_kl(fv_trainer *t, int first, fv_step_stats *stats)
{
    if (!fv_loss_charges_kl(&fv_updater_args_of(t->updater)->settings.loss))
        return FV_OK;
    double from = fv_clock_now();
    FV_TRY(fv_update_charge_kl(t->updater, t->batch.groups + first, t->batch.n - first,
                               &stats->reference_tokens));
    stats->reference_s += fv_clock_now() - from;
    return FV_OK;
}

/* Rollout, reward and advantage, again in place of groups that were dropped. */
static fv_err sample_groups(fv_trainer *t, fv_group_status **statuses, fv_step_stats *stats)
{
    const fv_advantage_settings *advantage = &t->settings.advantage;
    int n_kept = 0;
    if (t->batch.n > 0)
        FV_TRY(fv_step_weigh(advantage, &t->batch, statuses, &n_kept));
    for (; t->sampling_round <= t->settings.plan.sampling_rounds; t->sampling_round++) {
        int before = t->batch.n;
        int64_t n = fv_step_plan_more(&t->settings.plan, before, n_kept);
        if (n == 0)
            break;
        FV_TRY(collect(t, n, stats));
        FV_TRY(charge_kl(t, before, stats));
        FV_TRY(fv_step_weigh(advantage, &t->batch, statuses, &n_kept));
    }
    return FV_OK;
}

/* With the KL term in the loss, the reference policy is asked about all that is trained on. */
static fv_err ask_reference(fv_trainer *t, const fv_group *kept, fv_step_stats *stats)
{
    if (!fv_loss_needs_reference(&fv_updater_args_of(t->updater)->settings.loss))
        return FV_OK;
    double from = fv_clock_now();
    FV_TRY(fv_update_ask_reference(t->updater, kept, stats->n_groups, &stats->reference_tokens));
    stats->reference_s += fv_clock_now() - from;
    return FV_OK;
}

/* A mini-batch after the other. */
static fv_err update(fv_trainer *t, const fv_group_status *statuses, double rate, fv_step_stats *stats)
{
    const fv_step_plan *plan = &t->settings.plan;
    fv_group *kept = malloc(((size_t)t->batch.n + 1) * sizeof *kept);
    fv_err err = FV_OK;
    FV_CHECK_DONE(kept, FV_ERR_MEMORY, "cannot allocate a list of %d groups", t->batch.n);
    fv_step_select(plan, &t->batch, statuses, kept, stats);
    FV_TRY_DONE(ask_reference(t, kept, stats));
    for (int i = 0; i < fv_step_plan_updates(plan, stats->n_groups); i++) {
        fv_update_stats part;
        int first = fv_step_plan_first(plan, stats->n_groups, i);
        int end = fv_step_plan_first(plan, stats->n_groups, i + 1);
        FV_TRY_DONE(fv_update(t->updater, kept + first, end - first, rate, &part));
        fv_step_add_update(stats, &part);
    }
done:
    free(kept);
    return err;
}

static fv_idle_counts since(fv_idle *idle, fv_idle_counts from)
{
    fv_idle_counts now = fv_idle_look(idle);
    return (fv_idle_counts){now.n - from.n, now.n_idle - from.n_idle};
}

fv_err fv_step(fv_trainer *t, double rate, fv_batch *batch, fv_step_stats *stats)
{
    fv_group_status *statuses = NULL;
    fv_err err = FV_OK;
    double start = fv_clock_now();
    fv_idle_counts begun = fv_idle_look(t->idle);
    *batch = (fv_batch){0};
    *stats = (fv_step_stats){0};
    FV_TRY_DONE(sample_groups(t, &statuses, stats));
    FV_TRY_DONE(fv_comm_agree(t->collector->mesh->world, fv_step_check_judged(t, &t->batch)));
    double sampled = fv_clock_now();
    stats->sampling_idle = since(t->idle, begun);
    begun = fv_idle_look(t->idle);
    fv_phase_set("update");
    FV_TRY_DONE(fv_point("step"));
    FV_TRY_DONE(update(t, statuses, rate, stats));
    fv_prompt_builder_forget_all(t->prompts.builder);
    stats->update_s = fv_clock_now() - sampled;
    stats->update_idle = since(t->idle, begun);
    stats->step_s = fv_clock_now() - start;
    t->step++;
    *batch = t->batch;
    t->batch = (fv_batch){0};
done:
    free(statuses);
    if (err != FV_STOPPED)
        fv_trainer_drop_step(t);
    return err;
}

void fv_trainer_drop_step(fv_trainer *t)
{
    fv_batch_fini(&t->batch);
    fv_batch_fini(&t->begun);
    t->sampling_round = 0;
}
