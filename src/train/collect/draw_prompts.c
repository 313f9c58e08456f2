/* Where prompts are drawn: which row is the next, and its group.
 *
 * Prompts are not shared out beforehand. Each tensor group takes the next number from a counter when it has
 * room, so that none waits for another with longer responses; what is generated depends on the number, not on
 * who took it. The row of a number is what the run's order (shuffle.h) says. */
#include "train/collect/collect_internal.h"

#include <stdlib.h>
#include <string.h>

static fv_err add_item(fv_collection *c, fv_collected **out)
{
    if (c->n_items == c->capacity) {
        int capacity = c->capacity ? 2 * c->capacity : 16;
        fv_collected **items = realloc(c->items, (size_t)capacity * sizeof *items);
        FV_CHECK(items, FV_ERR_MEMORY, "cannot allocate a list of %d groups", capacity);
        c->items = items;
        c->capacity = capacity;
    }
    *out = calloc(1, sizeof **out);
    FV_CHECK(*out, FV_ERR_MEMORY, "cannot allocate a group");
    c->items[c->n_items++] = *out;
    return FV_OK;
}

static fv_err take_prompt_index(fv_collection *c, int64_t *prompt_index)
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

static fv_err start(fv_collection *c, int64_t prompt_index)
{
    const fv_collect_args *args = c->args;
    uint64_t row = args->row_of(args->row_context, prompt_index);
    fv_collected *made;
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
static int64_t room_ahead(const fv_collection *c)
{
    enum { AHEAD = 8 };
    int64_t share = c->n_waiting / c->with->mesh->data->size;
    return share < AHEAD ? share : AHEAD;
}

static fv_err draw_one(fv_collection *c)
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

fv_err fv_collection_draw(fv_collection *c, fv_group **group)
{
    *group = NULL;
    while (c->n_waiting >= 0 && c->n_items - c->n_given <= room_ahead(c))
        FV_TRY(draw_one(c));
    if (c->n_given == c->n_items)
        return FV_OK;
    *group = &c->items[c->n_given++]->group;
    if (has_tool(&c->args->rollout->dialogue))
        fv_prompt_builder_expect(c->args->builder, *group);
    return FV_OK;
}
