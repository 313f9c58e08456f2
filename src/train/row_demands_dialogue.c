/* What a prompt and its sample need. */
#include "fovea/train/row_demands.h"

#include "fovea/model/nn/pages.h"

#include <stdio.h>

static fv_err say_image(const fv_dialogue *dialogue, const fv_processor *processor, const fv_group *group,
                        int has_tool, fv_demands *out)
{
    int side = processor->patch;
    int n = snprintf(out->image, sizeof out->image, " (its image at %d x %d pixels is %lld tokens",
                     group->low.w * side, group->low.h * side,
                     (long long)fv_grid_tokens(group->low, dialogue->merge));
    if (has_tool)
        n += snprintf(out->image + n, sizeof out->image - (size_t)n,
                      ", the view of %d x %d that the tool shows %lld", group->high.w * side,
                      group->high.h * side, (long long)fv_grid_tokens(group->high, dialogue->merge));
    snprintf(out->image + n, sizeof out->image - (size_t)n, ")");
    return FV_OK;
}

static fv_err measure_group(const fv_dialogue_room *room, const fv_group *group, fv_demands *out)
{
    const fv_dialogue *d = room->dialogue;
    int64_t prompt = (int64_t)group->prompt.n, tool, limit = d->max_tokens;
    FV_TRY(fv_dialogue_tool_tokens(d, group, &tool));
    fv_demands_add_prompt(out, group, d->merge);
    int64_t called = prompt + (tool ? 1 + tool : 0);
    int64_t pages = prompt < limit ? fv_pages_for(limit) : 0;
    if (group->has_image)
        FV_TRY(say_image(d, room->builder->processor, group, tool > 0, out));
    FV_TRY(fv_demands_add(out, (fv_demand){room->tokens, "tokens", called + 1, limit, NULL, 0}));
    FV_TRY(fv_demands_add(out, (fv_demand){room->pages, "pages", pages, room->cache_pages, NULL, 0}));
    return fv_demands_add(out, (fv_demand){room->tokens, "tokens", called + d->max_turn_tokens, limit,
                                           "a last turn of max_turn_tokens", 0});
}

fv_err fv_dialogue_measure(const void *context, const fv_row *row, fv_demands *out)
{
    const fv_dialogue_room *room = context;
    fv_group group = {0};
    fv_err err = fv_prompt_builder_prompt(room->builder, row, &group);
    if (err == FV_OK)
        err = measure_group(room, &group, out);
    fv_group_fini(&group);
    return err;
}
