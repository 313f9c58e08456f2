#include "fovea/train/trajectory.h"

#include "fovea/reward/format.h"

#include <stdlib.h>
#include <string.h>

/* Groups and answers as memory. */

fv_err fv_group_init(fv_group *group, int64_t prompt_index, int64_t row, int n_answers)
{
    *group = (fv_group){.prompt_index = prompt_index, .row = row};
    group->answers = calloc((size_t)n_answers, sizeof *group->answers);
    FV_CHECK(group->answers, FV_ERR_MEMORY, "cannot allocate %d answers", n_answers);
    group->n_answers = n_answers;
    for (int i = 0; i < n_answers; i++)
        group->answers[i] = (fv_answer){.sample = i, .n_rounds = 1};
    return FV_OK;
}

fv_err fv_group_add_greedy(fv_group *group)
{
    int n = group->n_answers;
    fv_answer *answers = realloc(group->answers, ((size_t)n + 1) * sizeof *answers);
    FV_CHECK(answers, FV_ERR_MEMORY, "cannot allocate %d answers", n + 1);
    answers[n] = (fv_answer){.sample = n, .n_rounds = 1};
    group->answers = answers;
    group->has_greedy = 1;
    return FV_OK;
}

int fv_group_open(const fv_group *group)
{
    int n = 0;
    for (int i = 0; i < fv_group_size(group); i++)
        n += !group->answers[i].is_done;
    return n;
}

void fv_group_fini(fv_group *group)
{
    for (int i = 0; i < fv_group_size(group); i++) {
        fv_tokens_fini(&group->answers[i].ids);
        free(group->answers[i].logprobs);
        free(group->answers[i].loss_mask);
        free(group->answers[i].reference);
    }
    free(group->answers);
    fv_tokens_fini(&group->prompt);
    *group = (fv_group){0};
}

/* Room for extra more tokens: the arrays beside the ids grow with their capacity. */
static fv_err reserve(fv_answer *answer, size_t extra)
{
    size_t capacity = answer->ids.capacity;
    FV_TRY(fv_tokens_reserve(&answer->ids, extra));
    if (answer->logprobs && capacity == answer->ids.capacity)
        return FV_OK;
    float *logprobs = realloc(answer->logprobs, answer->ids.capacity * sizeof *logprobs);
    FV_CHECK(logprobs, FV_ERR_MEMORY, "cannot allocate an answer of %zu tokens", answer->ids.capacity);
    answer->logprobs = logprobs;
    uint8_t *loss_mask = realloc(answer->loss_mask, answer->ids.capacity);
    FV_CHECK(loss_mask, FV_ERR_MEMORY, "cannot allocate an answer of %zu tokens", answer->ids.capacity);
    answer->loss_mask = loss_mask;
    return FV_OK;
}

/* There is room. */
static void append(fv_answer *answer, int32_t id, float logprob, int loss_mask)
{
    answer->ids.ids[answer->ids.n] = id;
    answer->logprobs[answer->ids.n] = logprob;
    answer->loss_mask[answer->ids.n] = (uint8_t)loss_mask;
    answer->ids.n++;
}

/* The dialogue. */

fv_err fv_dialogue_check(const fv_dialogue *d)
{
    FV_CHECK(d->max_rounds >= 1 && d->max_rounds <= FV_MAX_ROUNDS, FV_ERR_ARGUMENT,
             "max_rounds is %d, expected 1 to %d", d->max_rounds, FV_MAX_ROUNDS);
    FV_CHECK(d->max_images >= 1, FV_ERR_ARGUMENT, "max_images is %d, expected 1 or more", d->max_images);
    FV_CHECK(d->max_turn_tokens >= 1, FV_ERR_ARGUMENT, "max_turn_tokens is %d, expected 1 or more",
             d->max_turn_tokens);
    FV_CHECK(d->max_tokens >= 2, FV_ERR_ARGUMENT, "max_tokens is %lld, expected 2 or more",
             (long long)d->max_tokens);
    FV_CHECK(
        d->max_rounds == 1 || fv_prompts_has_tool(d->prompts), FV_ERR_ARGUMENT,
        "max_rounds is %d, but the prompts have no tool: 1 round, or prompts with tool_result and tool_error",
        d->max_rounds);
    return FV_OK;
}

fv_err fv_answer_text(const fv_dialogue *dialogue, const fv_answer *answer, int round, fv_buffer *out)
{
    const fv_round *r = &answer->rounds[round];
    const int32_t *ids = answer->ids.ids + r->first;
    size_t n = (size_t)r->n;
    if (n > 0 && ids[n - 1] == dialogue->chat->im_end)
        n--;
    return fv_tokenizer_decode(dialogue->chat->tokenizer, ids, n, 0, out);
}

static fv_err parse_turn(const fv_dialogue *dialogue, const fv_answer *answer, fv_turn *out)
{
    fv_buffer text = {0};
    fv_err err = fv_answer_text(dialogue, answer, answer->n_rounds - 1, &text);
    if (err == FV_OK)
        *out = fv_turn_parse((fv_slice){text.data, text.size});
    fv_buffer_fini(&text);
    return err;
}

static int may_show(const fv_dialogue *dialogue, const fv_group *group, const fv_answer *answer)
{
    return group->has_image && 1 + answer->n_shown < dialogue->max_images;
}

/* The ids of the tool's turn. */
static fv_err reply(const fv_dialogue *dialogue, const fv_group *group, const fv_answer *answer, fv_turn turn,
                    fv_tokens *out)
{
    if (answer->rounds[answer->n_rounds - 1].is_cut)
        FV_TRY(fv_tokens_push(out, dialogue->chat->im_end));
    if (turn.act == FV_TURN_CALL && may_show(dialogue, group, answer))
        return fv_prompts_tool_result(dialogue->prompts, dialogue->chat,
                                      fv_grid_tokens(group->high, dialogue->merge), out);
    return fv_prompts_tool_error(dialogue->prompts, dialogue->chat,
                                 turn.reason ? turn.reason : "No further image can be shown.", out);
}

fv_err fv_dialogue_tool_tokens(const fv_dialogue *dialogue, const fv_group *group, int64_t *out)
{
    const fv_answer first = {.n_rounds = 1};
    fv_tokens tool = {0};
    *out = 0;
    if (dialogue->max_rounds == 1 || !group->has_image)
        return FV_OK;
    fv_err err = reply(dialogue, group, &first, (fv_turn){FV_TURN_CALL, NULL}, &tool);
    *out = (int64_t)tool.n;
    fv_tokens_fini(&tool);
    return err;
}

/* Append the tool's turn and open the next round, if there is room for it and for a token after it. */
static fv_err go_on(const fv_dialogue *dialogue, const fv_group *group, fv_answer *answer, fv_turn turn)
{
    fv_tokens tool = {0};
    fv_err err = FV_OK;
    FV_TRY_DONE(reply(dialogue, group, answer, turn, &tool));
    answer->is_done = (int64_t)(group->prompt.n + answer->ids.n + tool.n) >= dialogue->max_tokens;
    if (answer->is_done)
        goto done;
    FV_TRY_DONE(reserve(answer, tool.n));
    for (size_t i = 0; i < tool.n; i++)
        append(answer, tool.ids[i], 0, 0);
    answer->n_shown += turn.act == FV_TURN_CALL && may_show(dialogue, group, answer);
    answer->rounds[answer->n_rounds++] = (fv_round){.first = (int64_t)answer->ids.n};
done:
    fv_tokens_fini(&tool);
    return err;
}

static fv_err end_turn(const fv_dialogue *dialogue, const fv_group *group, fv_answer *answer)
{
    fv_turn turn;
    answer->is_done = answer->n_rounds == dialogue->max_rounds;
    if (answer->is_done)
        return FV_OK;
    FV_TRY(parse_turn(dialogue, answer, &turn));
    if (turn.act == FV_TURN_CALL || turn.act == FV_TURN_BAD_CALL)
        return go_on(dialogue, group, answer, turn);
    answer->is_done = 1;
    return FV_OK;
}

fv_err fv_answer_push(const fv_dialogue *dialogue, const fv_group *group, fv_answer *answer, int32_t id,
                      float logprob)
{
    fv_round *round = &answer->rounds[answer->n_rounds - 1];
    int is_closed = id == dialogue->chat->im_end;
    FV_CHECK(!answer->is_done, FV_ERR_INTERNAL, "a token for an answer that is done");
    FV_TRY(reserve(answer, 1));
    append(answer, id, logprob, 1);
    round->n++;
    int is_full = (int64_t)(group->prompt.n + answer->ids.n) >= dialogue->max_tokens;
    round->is_cut = !is_closed && (is_full || round->n == dialogue->max_turn_tokens);
    return is_closed || round->is_cut ? end_turn(dialogue, group, answer) : FV_OK;
}
