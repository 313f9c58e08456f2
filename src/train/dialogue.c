/* The dialogue of a sample: what follows a token that the model has generated. A turn ends with a token of
 * its own or at a limit; if it calls the tool, the tool's turn is appended, which shows the image in high
 * resolution, and the model has the next one. */
#include "fovea/train/trajectory.h"

#include "fovea/reward/format.h"

#include <stdlib.h>
#include <string.h>

/* Room for extra more tokens: the arrays beside the ids grow with their capacity. */
static fv_err reserve(fv_response *response, size_t extra)
{
    size_t capacity = response->ids.capacity;
    FV_TRY(fv_tokens_reserve(&response->ids, extra));
    if (response->logprobs && capacity == response->ids.capacity)
        return FV_OK;
    float *logprobs = realloc(response->logprobs, response->ids.capacity * sizeof *logprobs);
    FV_CHECK(logprobs, FV_ERR_MEMORY, "cannot allocate a response of %zu tokens", response->ids.capacity);
    response->logprobs = logprobs;
    uint8_t *loss_mask = realloc(response->loss_mask, response->ids.capacity);
    FV_CHECK(loss_mask, FV_ERR_MEMORY, "cannot allocate a response of %zu tokens", response->ids.capacity);
    response->loss_mask = loss_mask;
    return FV_OK;
}

/* There is room. */
static void append(fv_response *response, int32_t id, float logprob, int loss_mask)
{
    response->ids.ids[response->ids.n] = id;
    response->logprobs[response->ids.n] = logprob;
    response->loss_mask[response->ids.n] = (uint8_t)loss_mask;
    response->ids.n++;
}

fv_err fv_dialogue_check(const fv_dialogue *d)
{
    FV_CHECK(d->max_turns >= 1 && d->max_turns <= FV_MAX_TURNS, FV_ERR_ARGUMENT,
             "max_turns is %d, expected 1 to %d", d->max_turns, FV_MAX_TURNS);
    FV_CHECK(d->max_images >= 1, FV_ERR_ARGUMENT, "max_images is %d, expected 1 or more", d->max_images);
    FV_CHECK(d->max_turn_tokens >= 1, FV_ERR_ARGUMENT, "max_turn_tokens is %d, expected 1 or more",
             d->max_turn_tokens);
    FV_CHECK(d->max_tokens >= 2, FV_ERR_ARGUMENT, "max_tokens is %lld, expected 2 or more",
             (long long)d->max_tokens);
    FV_CHECK(
        d->max_turns == 1 || fv_prompts_has_tool(d->prompts), FV_ERR_ARGUMENT,
        "max_turns is %d, but the prompts have no tool: 1 turn, or prompts with tool_result and tool_error",
        d->max_turns);
    return FV_OK;
}

fv_err fv_response_text(const fv_dialogue *dialogue, const fv_response *response, int turn, fv_buffer *out)
{
    const fv_turn *r = &response->turns[turn];
    const int32_t *ids = response->ids.ids + r->first;
    size_t n = (size_t)r->n;
    if (n > 0 && ids[n - 1] == dialogue->chat->im_end)
        n--;
    return fv_tokenizer_decode(dialogue->chat->tokenizer, ids, n, 0, out);
}

static fv_err parse_turn(const fv_dialogue *dialogue, const fv_response *response, fv_parsed_turn *out)
{
    fv_buffer text = {0};
    fv_err err = fv_response_text(dialogue, response, response->n_turns - 1, &text);
    if (err == FV_OK)
        *out = fv_turn_parse((fv_slice){text.data, text.size});
    fv_buffer_fini(&text);
    return err;
}

static int may_show(const fv_dialogue *dialogue, const fv_group *group, const fv_response *response)
{
    return group->has_image && 1 + response->n_shown < dialogue->max_images;
}

/* The ids of the tool's turn. */
static fv_err reply(const fv_dialogue *dialogue, const fv_group *group, const fv_response *response,
                    fv_parsed_turn turn, fv_tokens *out)
{
    if (response->turns[response->n_turns - 1].is_cut)
        FV_TRY(fv_tokens_push(out, dialogue->chat->im_end));
    if (turn.act == FV_TURN_CALL && may_show(dialogue, group, response))
        return fv_prompts_tool_result(dialogue->prompts, dialogue->chat,
                                      fv_grid_tokens(group->high, dialogue->merge), out);
    return fv_prompts_tool_error(dialogue->prompts, dialogue->chat,
                                 turn.reason ? turn.reason : "No further image can be shown.", out);
}

fv_err fv_dialogue_tool_tokens(const fv_dialogue *dialogue, const fv_group *group, int64_t *out)
{
    const fv_response first = {.n_turns = 1};
    fv_tokens tool = {0};
    *out = 0;
    if (dialogue->max_turns == 1 || !group->has_image)
        return FV_OK;
    fv_err err = reply(dialogue, group, &first, (fv_parsed_turn){FV_TURN_CALL, NULL}, &tool);
    *out = (int64_t)tool.n;
    fv_tokens_fini(&tool);
    return err;
}

/* Append the tool's turn and open the next, if there is room for it and for a token after it. */
static fv_err go_on(const fv_dialogue *dialogue, const fv_group *group, fv_response *response,
                    fv_parsed_turn turn)
{
    fv_tokens tool = {0};
    fv_err err = FV_OK;
    FV_TRY_DONE(reply(dialogue, group, response, turn, &tool));
    response->is_done = (int64_t)(group->prompt.n + response->ids.n + tool.n) >= dialogue->max_tokens;
    if (response->is_done)
        goto done;
    FV_TRY_DONE(reserve(response, tool.n));
    for (size_t i = 0; i < tool.n; i++)
        append(response, tool.ids[i], 0, 0);
    response->n_shown += turn.act == FV_TURN_CALL && may_show(dialogue, group, response);
    response->turns[response->n_turns++] = (fv_turn){.first = (int64_t)response->ids.n};
done:
    fv_tokens_fini(&tool);
    return err;
}

static fv_err end_turn(const fv_dialogue *dialogue, const fv_group *group, fv_response *response)
{
    fv_parsed_turn turn;
    response->is_done = response->n_turns == dialogue->max_turns;
    if (response->is_done)
        return FV_OK;
    FV_TRY(parse_turn(dialogue, response, &turn));
    if (turn.act == FV_TURN_CALL || turn.act == FV_TURN_BAD_CALL)
        return go_on(dialogue, group, response, turn);
    response->is_done = 1;
    return FV_OK;
}

fv_err fv_response_push(const fv_dialogue *dialogue, const fv_group *group, fv_response *response, int32_t id,
                        float logprob)
{
    fv_turn *turn = &response->turns[response->n_turns - 1];
    int is_closed = id == dialogue->chat->im_end;
    FV_CHECK(!response->is_done, FV_ERR_INTERNAL, "a token for a response that is done");
    FV_TRY(reserve(response, 1));
    append(response, id, logprob, 1);
    turn->n++;
    int is_full = (int64_t)(group->prompt.n + response->ids.n) >= dialogue->max_tokens;
    turn->is_cut = !is_closed && (is_full || turn->n == dialogue->max_turn_tokens);
    return is_closed || turn->is_cut ? end_turn(dialogue, group, response) : FV_OK;
}
