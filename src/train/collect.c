/* Collecting the groups of a step: rollout and judging side by side.
 *
 * Prompts are not shared out beforehand. Each tensor group takes the next number from a counter when it has
 * room, so that none waits for another with longer responses; what is generated depends on the number, not on
 * who took it. A group that is done goes to the judge at once, and verdicts come while others are generated;
 * those still missing are waited for at the end. A stop closes the counter for all; groups under way are kept
 * as they are, and taken up again later. */
#include "fovea/train/collect.h"

#include "fovea/base/clock.h"
#include "fovea/base/meter.h"
#include "fovea/base/process/stop.h"

#include <stdlib.h>
#include <string.h>

/* A group under way on this tensor group, with what judging it needs. */
typedef struct item {
    fv_group group;
    fv_row row;
    fv_scoring scoring;
} item;

typedef struct collection {
    const fv_collector *with;
    const fv_collect_args *args;
    fv_counter *counter; /* of prompts; the first rank of a tensor group asks it */
    fv_batch *begun;     /* groups of the first prompts, from an earlier call */
    item **items;        /* owned, (n_items); each stays where it is */
    int n_items, capacity;
    int n_given;       /* to the rollout; the others wait for it to have room, while their views are made */
    int64_t n_waiting; /* prompts that no rank has taken yet, as far as this one knows */
    int is_over;       /* a stop was requested of this rank or another */
} collection;

static fv_err add_item(collection *c, item **out)
{
    if (c->n_items == c->capacity) {
        int capacity = c->capacity ? 2 * c->capacity : 16;
        item **items = realloc(c->items, (size_t)capacity * sizeof *items);
        FV_CHECK(items, FV_ERR_MEMORY, "cannot allocate a list of %d groups", capacity);
        c->items = items;
        c->capacity = capacity;
    }
    *out = calloc(1, sizeof **out);
    FV_CHECK(*out, FV_ERR_MEMORY, "cannot allocate a group");
    c->items[c->n_items++] = *out;
    return FV_OK;
}

/* The source of the rollout. What can fail on one rank of a tensor group ends in an agreement. */

static fv_err take_prompt_index(collection *c, int64_t *prompt_index)
{
    fv_comm *tensor = c->with->mesh->tensor;
    int64_t number = 0;
    FV_TRY(fv_comm_agree(tensor, tensor->rank == 0 ? fv_counter_next(c->counter, &number) : FV_OK));
    FV_TRY(fv_comm_broadcast(tensor, &number, sizeof number, 0));
    *prompt_index = c->args->first + number;
    return FV_OK;
}

/* The group as it was left, in place of the same one anew. */
static fv_err take_up(fv_group *left, fv_group *anew)
{
    FV_CHECK(left->prompt_index == anew->prompt_index && left->row == anew->row &&
                 left->prompt.n == anew->prompt.n &&
                 memcmp(left->prompt.ids, anew->prompt.ids, anew->prompt.n * sizeof *anew->prompt.ids) == 0 &&
                 left->n_samples == anew->n_samples && left->has_greedy == anew->has_greedy,
             FV_ERR_ARGUMENT, "row %lld has another prompt, or other samples, than when the run was stopped",
             (long long)anew->row);
    fv_group_fini(anew);
    *anew = *left;
    *left = (fv_group){0};
    return FV_OK;
}

static fv_err start(collection *c, int64_t prompt_index)
{
    const fv_collect_args *args = c->args;
    uint64_t row = args->row_of(args->row_context, prompt_index);
    item *made;
    FV_TRY(add_item(c, &made));
    FV_TRY(fv_prompt_builder_group(args->builder, args->draws_by_row ? (int64_t)row : prompt_index, row,
                                   args->n_samples, &made->group, &made->row));
    if (args->has_greedy)
        FV_TRY(fv_group_add_greedy(&made->group));
    fv_prompt_builder_want(args->builder, &made->group, 0);
    return prompt_index - c->args->first < c->begun->n
               ? take_up(&c->begun->groups[prompt_index - c->args->first], &made->group)
               : FV_OK;
}

/* How many groups are taken ahead of the rollout: never more than this rank's share of what is left, so that
 * none idles while another has groups that wait. */
static int64_t room_ahead(const collection *c)
{
    enum { AHEAD = 8 };
    int64_t share = c->n_waiting / c->with->mesh->data->size;
    return share < AHEAD ? share : AHEAD;
}

static fv_err take_one(collection *c)
{
    int64_t prompt_index = 0;
    FV_TRY(take_prompt_index(c, &prompt_index));
    c->n_waiting = c->args->first + c->args->n - 1 - prompt_index;
    return c->n_waiting >= 0 ? fv_comm_agree(c->with->mesh->tensor, start(c, prompt_index)) : FV_OK;
}

/* Whether a response may show the high-resolution view. */
static int has_tool(const fv_dialogue *dialogue)
{
    return dialogue->max_turns > 1 && dialogue->max_images > 1 && fv_prompts_has_tool(dialogue->prompts);
}

static fv_err next(void *context, fv_group **group)
{
    collection *c = context;
    *group = NULL;
    while (c->n_waiting >= 0 && c->n_items - c->n_given <= room_ahead(c))
        FV_TRY(take_one(c));
    if (c->n_given == c->n_items)
        return FV_OK;
    *group = &c->items[c->n_given++]->group;
    if (has_tool(&c->args->rollout->dialogue))
        fv_prompt_builder_expect(c->args->builder, *group);
    return FV_OK;
}

static fv_err view(void *context, const fv_group *group, int is_high, fv_picture **out)
{
    collection *c = context;
    fv_err err =
        fv_comm_agree(c->with->mesh->tensor, fv_prompt_builder_view(c->args->builder, group, is_high, out));
    if (err != FV_OK) {
        fv_picture_release(*out);
        *out = NULL;
    }
    return err;
}

static item *item_of(collection *c, const fv_group *group)
{
    int i = 0;
    while (&c->items[i]->group != group)
        i++;
    return c->items[i];
}

static fv_err begin_scoring(collection *c, fv_group *group)
{
    const fv_collector *with = c->with;
    item *done = item_of(c, group);
    return fv_scoring_begin(&done->scoring, with->score, &c->args->rollout->dialogue, &done->row, with->judge,
                            group);
}

static fv_err done(void *context, fv_group *group)
{
    collection *c = context;
    if (!c->args->keeps_views)
        fv_prompt_builder_forget(c->args->builder, group);
    return fv_comm_agree(c->with->mesh->tensor, begin_scoring(c, group));
}

/* All tensor groups are about as fast. */
static void measure(const collection *c, const fv_rollout_stats *stats)
{
    int64_t n_copies = c->with->mesh->data->size, n_done = stats->n_groups * n_copies;
    fv_meter_at(n_done < c->args->n ? n_done : c->args->n, stats->generated_tokens * n_copies);
}

/* What one rank hears of a stop reaches all; a tensor group follows its first rank. */
static fv_err passed(void *context, const fv_rollout_stats *stats, int *is_over)
{
    collection *c = context;
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

static fv_err roll_out(collection *c, fv_rollout_stats *stats)
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
static fv_err share_verdicts(const collection *c)
{
    for (int i = 0; i < c->n_items; i++) {
        const item *it = c->items[i];
        size_t bytes = (size_t)fv_group_size(&it->group) * sizeof *it->scoring.verdicts;
        FV_TRY(fv_comm_broadcast(c->with->mesh->tensor, it->scoring.verdicts, bytes, 0));
    }
    return FV_OK;
}

static fv_err judge(collection *c, fv_batch *batch, fv_judge_counts *counts)
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

static void release(collection *c)
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
static fv_err keep_begun(collection *c)
{
    fv_batch taken = {0};
    fv_err err = FV_OK;
    for (int i = 0; i < c->n_items && err == FV_OK; i++)
        err = fv_batch_add(&taken, &c->items[i]->group);
    err = fv_comm_agree(c->with->mesh->world, err);
    if (err == FV_OK)
        err = fv_batch_share(&taken, c->with->mesh->data);
    for (int i = taken.n; i < c->begun->n && err == FV_OK; i++)
        err = fv_batch_add(&taken, &c->begun->groups[i]);
    fv_batch_fini(c->begun);
    *c->begun = taken;
    return fv_comm_agree(c->with->mesh->world, err);
}

static fv_err stop(collection *c)
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
    collection c = {.with = with, .args = args, .begun = begun, .n_waiting = args->n};
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
