#include "fovea/train/sft_example.h"

#include "fovea/reward/format.h"
#include "fovea/base/rng.h"

#include <string.h>

static const char placeholder[] = "{answer}";

fv_err fv_sft_example_check(const fv_sft_example *example)
{
    FV_CHECK(strstr(example->answer, placeholder), FV_ERR_ARGUMENT, "the example's answer has no %s in it",
             placeholder);
    FV_CHECK(example->call_share >= 0 && example->call_share <= 1, FV_ERR_ARGUMENT,
             "call_share is %g, expected 0 to 1", example->call_share);
    if (!example->call)
        return FV_OK;
    fv_parsed_turn turn = fv_turn_parse(fv_slice_of(example->call));
    FV_CHECK(turn.act == FV_TURN_CALL, FV_ERR_ARGUMENT, "the example's call is no call of the tool%s%s",
             turn.reason ? ": " : "", turn.reason ? turn.reason : "");
    return FV_OK;
}

/* The text with the answer in its places. */
static fv_err insert_answer(const char *text, const char *answer, fv_buffer *out)
{
    for (const char *found; (found = strstr(text, placeholder)); text = found + strlen(placeholder)) {
        FV_TRY(fv_buffer_append(out, text, (size_t)(found - text)));
        FV_TRY(fv_buffer_append(out, answer, strlen(answer)));
    }
    return fv_buffer_append(out, text, strlen(text));
}

/* Say a turn: its tokens and the end-of-turn token, as if they had been generated. */
static fv_err say(const fv_dialogue *dialogue, fv_group *group, const fv_buffer *text)
{
    fv_response *response = &group->responses[0];
    fv_tokens ids = {0};
    fv_err err =
        fv_tokenizer_encode(dialogue->chat->tokenizer, text->data, text->size, FV_TOKENIZE_PLAIN, &ids);
    if (err == FV_OK)
        err = fv_tokens_push(&ids, dialogue->chat->im_end);
    int n_turns = response->n_turns;
    for (size_t i = 0; i < ids.n && err == FV_OK; i++)
        err = response->is_done || response->n_turns != n_turns
                  ? FV_FAIL(FV_ERR_ARGUMENT, "a turn of %zu tokens is cut by max_turn_tokens or max_tokens",
                            ids.n)
                  : fv_response_push(dialogue, group, response, ids.ids[i], 0);
    fv_tokens_fini(&ids);
    return err;
}

static fv_err say_text(const fv_dialogue *dialogue, fv_group *group, const char *text, const char *answer)
{
    fv_buffer filled = {0};
    fv_err err = insert_answer(text, answer, &filled);
    if (err == FV_OK)
        err = say(dialogue, group, &filled);
    fv_buffer_fini(&filled);
    return err;
}

static fv_err tell(const fv_sft_example *example, const fv_dialogue *dialogue, fv_group *group,
                   const char *answer)
{
    const fv_rng_key key = {.seed = example->seed, .prompt = (uint64_t)group->prompt_index};
    if (example->call && group->has_image && fv_rng_uniform(key, 0) < example->call_share) {
        FV_TRY(say_text(dialogue, group, example->call, answer));
        FV_CHECK(!group->responses[0].is_done, FV_ERR_ARGUMENT,
                 "no turn is left after the call: raise max_turns or max_tokens");
    }
    return say_text(dialogue, group, example->answer, answer);
}

fv_err fv_sft_example_group(const fv_sft_example *example, const fv_prompt_builder *builder,
                            const fv_dialogue *dialogue, int64_t prompt_index, uint64_t number, fv_group *out)
{
    fv_row row;
    FV_TRY(fv_prompt_builder_group(builder, prompt_index, number, 1, out, &row));
    fv_err err = tell(example, dialogue, out, row.answer);
    fv_row_fini(&row);
    if (err == FV_OK)
        return FV_OK;
    fv_group_fini(out);
    return fv_error_prefix(err, "row %llu", (unsigned long long)number);
}

/* Measuring. */

/* Tokens of a turn. */
static fv_err count(const fv_dialogue *dialogue, const char *text, const char *answer, int64_t *out)
{
    fv_buffer filled = {0};
    fv_tokens ids = {0};
    fv_err err = insert_answer(text, answer, &filled);
    if (err == FV_OK)
        err =
            fv_tokenizer_encode(dialogue->chat->tokenizer, filled.data, filled.size, FV_TOKENIZE_PLAIN, &ids);
    *out = (int64_t)ids.n + 1;
    fv_tokens_fini(&ids);
    fv_buffer_fini(&filled);
    return err;
}

static fv_err measure_group(const fv_sft_example_room *room, const fv_group *group, const char *truth,
                            fv_demands *out)
{
    const fv_sft_example *example = room->example;
    const fv_dialogue *d = room->dialogue;
    int64_t answer, call = 0, tool = 0;
    FV_TRY(count(d, example->answer, truth, &answer));
    fv_demands_add_prompt(out, group, d->merge);
    if (example->call && group->has_image && example->call_share > 0) {
        FV_TRY(count(d, example->call, truth, &call));
        FV_TRY(fv_dialogue_tool_tokens(d, group, &tool));
    }
    FV_TRY(fv_demands_add(out, (fv_demand){"rollout.max_tokens", "tokens",
                                           (int64_t)group->prompt.n + call + tool + answer, d->max_tokens,
                                           NULL, 0}));
    return fv_demands_add(out, (fv_demand){"rollout.max_turn_tokens", "tokens in a turn",
                                           answer > call ? answer : call, d->max_turn_tokens, NULL, 0});
}

fv_err fv_sft_example_measure(const void *context, const fv_row *row, fv_demands *out)
{
    const fv_sft_example_room *room = context;
    fv_group group = {0};
    fv_err err = fv_prompt_builder_prompt(room->builder, row, &group);
    if (err == FV_OK)
        err = measure_group(room, &group, row->answer, out);
    fv_group_fini(&group);
    return err;
}
