/* Collecting the groups of a step: rollout and judging side by side.
 *
 * A group that is done goes to the judge at once, and verdicts come while others are generated; those still
 * missing are waited for at the end. A stop closes the counter of prompts for all; groups under way are kept
 * as they are, and taken up again later. */
#include "train/collect/collect_internal.h"

#include "fovea/base/clock.h"
#include "fovea/base/meter.h"
#include "fovea/base/process/stop.h"

#include <stdlib.h>

/* The source of the rollout. What can fail on one rank of a tensor group ends in an agreement. */

static fv_err next(void *context, fv_group **group)
{
    return fv_collection_draw(context, group);
}

static fv_err view(void *context, const fv_group *group, int is_high, fv_picture **out)
{
    fv_collection *c = context;
    fv_err err =
        fv_comm_agree(c->with->mesh->tensor, fv_prompt_builder_view(c->args->builder, group, is_high, out));
    if (err != FV_OK) {
        fv_picture_release(*out);
        *out = NULL;
    }
    return err;
}

static fv_collected *item_of(fv_collection *c, const fv_group *group)
{
    int i = 0;
    while (&c->items[i]->group != group)
        i++;
    return c->items[i];
}

static fv_err begin_scoring(fv_collection *c, fv_group *group)
{
    const fv_collector *with = c->with;
    fv_collected *done = item_of(c, group);
    FV_TRY(fv_scoring_begin(&done->scoring, with->score, &c->args->rollout->dialogue, &done->row, with->judge,
                            group));
    return with->done && with->mesh->tensor->rank == 0
               ? with->done(with->done_context, group, done->scoring.verdicts)
               : FV_OK;
}

static fv_err done(void *context, fv_group *group)
{
    fv_collection *c = context;
    if (!c->args->keeps_views)
        fv_prompt_builder_forget(c->args->builder, group);
    return fv_comm_agree(c->with->mesh->tensor, begin_scoring(c, group));
}

/* All tensor groups are about as fast. */
static void measure(const fv_collection *c, const fv_rollout_stats *stats)
{
    int64_t n_copies = c->with->mesh->data->size, n_done = stats->n_groups * n_copies;
    fv_meter_at(n_done < c->args->n ? n_done : c->args->n, stats->generated_tokens * n_copies);
}

/* What one rank hears of a stop reaches all; a tensor group follows its first rank. */
static fv_err passed(void *context, const fv_rollout_stats *stats, int *is_over)
{
    fv_collection *c = context;
    fv_comm *tensor = c->with->mesh->tensor;
    measure(c, stats);
    if (fv_stop_requested())
        FV_TRY(fv_counter_close(c->counter));
    FV_TRY(fv_counter_poll(c->counter, &c->is_over));
    FV_TRY(fv_comm_agree(tensor, c->with->judge ? fv_judge_poll(c->with->judge, 0) : FV_OK));
    FV_TRY(fv_comm_broadcast(tensor, &c->is_over, sizeof c->is_over, 0));
    *is_over = c->is_over;
    return FV_OK;
}

/* The stages. */

static fv_err roll_out(fv_collection *c, fv_rollout_stats *stats)
{
    const fv_rollout_source source = {c, next, view, done, passed};
    fv_meter_phase("rollout", c->args->n);
    FV_TRY(fv_counter_create(c->with->mesh->world, &c->counter));
    fv_err err = fv_rollout_run(c->with->engine, c->args->rollout, c->args->step, &source, stats);
    err = fv_comm_agree(c->with->mesh->world, err);
    fv_counter_destroy(c->counter);
    return err;
}

/* The verdicts of the first rank of the tensor group on all of it. */
static fv_err share_verdicts(const fv_collection *c)
{
    for (int i = 0; i < c->n_items; i++) {
        const fv_collected *it = c->items[i];
        size_t bytes = (size_t)fv_group_size(&it->group) * sizeof *it->scoring.verdicts;
        FV_TRY(fv_comm_broadcast(c->with->mesh->tensor, it->scoring.verdicts, bytes, 0));
    }
    return FV_OK;
}

static fv_err judge(fv_collection *c, fv_batch *batch, fv_judge_counts *counts)
{
    fv_judge *of = c->with->judge;
    fv_meter_phase("verdicts", 0);
    FV_TRY(fv_comm_agree(c->with->mesh->tensor, of ? fv_judge_collect(of) : FV_OK));
    FV_TRY(share_verdicts(c));
    if (of)
        fv_judge_take_counts(of, counts);
    for (int i = 0; i < c->n_items; i++) {
        fv_scoring_end(&c->items[i]->scoring, c->with->score);
        FV_TRY(fv_batch_add(batch, &c->items[i]->group));
    }
    return FV_OK;
}

static void release(fv_collection *c)
{
    for (int i = 0; i < c->n_items; i++) {
        fv_scoring_fini(&c->items[i]->scoring);
        fv_group_fini(&c->items[i]->group);
        fv_row_fini(&c->items[i]->row);
        free(c->items[i]);
    }
    free(c->items);
}

/* Sums over the data groups, the longest time of all ranks. */
static fv_err join(const fv_mesh *mesh, fv_collect_stats *stats)
{
    fv_rollout_stats *r = &stats->rollout;
    fv_judge_counts *j = &stats->judge;
    int64_t *const counts[] = {&r->n_passes,       &r->n_groups,    &r->computed_tokens, &r->generated_tokens,
                               &r->vision_patches, &r->n_evictions, &j->n_asked,         &j->n_tries,
                               &j->n_cached,       &j->n_compared,  &j->n_agreed};
    enum { N = sizeof counts / sizeof *counts };
    double sums[N];
    for (int i = 0; i < N; i++)
        sums[i] = (double)*counts[i];
    FV_TRY(fv_comm_all_reduce_f64(mesh->data, sums, N));
    for (int i = 0; i < N; i++)
        *counts[i] = (int64_t)sums[i];
    FV_TRY(fv_comm_all_reduce_f64(mesh->data, &j->latency_s, 1));
    FV_TRY(fv_comm_all_reduce_max(mesh->world, &stats->rollout_s));
    return fv_comm_all_reduce_max(mesh->world, &stats->judge_s);
}

/* All groups that were taken up, now or in an earlier call; c has none any more. */
static fv_err keep_begun(fv_collection *c)
{
    fv_batch taken = {0};
    fv_err err = FV_OK;
    for (int i = 0; i < c->n_items && err == FV_OK; i++) {
        fv_scoring_fini(&c->items[i]->scoring); /* while its group is there */
        err = fv_batch_add(&taken, &c->items[i]->group);
    }
    err = fv_comm_agree(c->with->mesh->world, err);
    if (err == FV_OK)
        err = fv_batch_share(&taken, c->with->mesh->data);
    for (int i = taken.n; i < c->begun->n && err == FV_OK; i++)
        err = fv_batch_add(&taken, &c->begun->groups[i]);
    fv_batch_fini(c->begun);
    *c->begun = taken;
    return fv_comm_agree(c->with->mesh->world, err);
}

static fv_err stop(fv_collection *c)
{
    double is_over = c->is_over;
    FV_TRY(fv_comm_all_reduce_max(c->with->mesh->world, &is_over));
    if (is_over == 0)
        return FV_OK;
    FV_TRY(keep_begun(c));
    return FV_FAIL(FV_STOPPED, "stopped");
}

fv_err fv_collect(const fv_collector *with, const fv_collect_args *args, fv_batch *begun, fv_batch *batch,
                  fv_collect_stats *stats)
{
    fv_collection c = {.with = with, .args = args, .begun = begun, .n_waiting = args->n};
    fv_err err = FV_OK;
    *batch = (fv_batch){0};
    *stats = (fv_collect_stats){0};
    double from = fv_clock_now();
    FV_TRY_DONE(roll_out(&c, &stats->rollout));
    FV_TRY_DONE(stop(&c));
    double rolled = fv_clock_now();
    FV_TRY_DONE(fv_comm_agree(with->mesh->world, judge(&c, batch, &stats->judge)));
    FV_TRY_DONE(fv_comm_agree(with->mesh->world,
                              with->judge ? fv_judge_share(with->judge, with->mesh->data) : FV_OK));
    stats->rollout_s = rolled - from;
    stats->judge_s = fv_clock_now() - rolled;
    FV_TRY_DONE(fv_batch_share(batch, with->mesh->data));
    FV_TRY_DONE(join(with->mesh, stats));
done:
    release(&c);
    if (err != FV_STOPPED)
        fv_batch_fini(begun);
    if (err != FV_OK) {
        fv_batch_fini(batch);
        *stats = (fv_collect_stats){0};
    }
    return err;
}
