/* The dialogue with the tool, case by case: what ends a turn and what follows it. */
#include "temp_folder.h"

#include "fovea/train/trajectory.h"

static fv_tokenizer *tokenizer;
static fv_chat chat;
static fv_prompts *prompts;
static fv_dialogue dialogue;

enum { IM_END = 257, IMAGE = 260, VISION_START = 258 };
static const fv_added_token special[] = {
    {"<|im_start|>", 256},   {"<|im_end|>", IM_END},   {"<|vision_start|>", VISION_START},
    {"<|vision_end|>", 259}, {"<|image_pad|>", IMAGE},
};

#define GOOD_CALL \
    "<tool_call>{\"name\": \"resize_image\",\n \"arguments\": {\"action\": \"resize\"}}</tool_call>"
#define RESULT                 \
    "\n<|im_start|>user\nsee " \
    "<|vision_start|><|image_pad|><|image_pad|><|vision_end|><|im_end|>\n<|im_start|>assistant\n"
#define ERROR(text) "\n<|im_start|>user\nno: " text "<|im_end|>\n<|im_start|>assistant\n"

static int setup(void **state)
{
    if (temp_setup(state) != 0)
        return -1;
    temp_write(
        "p.yaml",
        "system: s\nuser: '{image}{question}'\ntool_result: 'see {image}'\ntool_error: 'no: {error}'\n");
    if (fv_tokenizer_write_bytes(temp_folder("t"), special, sizeof special / sizeof *special) != FV_OK ||
        fv_tokenizer_load(temp_path("t"), &tokenizer) != FV_OK || fv_chat_init(&chat, tokenizer) != FV_OK ||
        fv_prompts_load(temp_path("p.yaml"), &prompts) != FV_OK)
        return -1;
    return 0;
}

static int teardown(void **state)
{
    fv_prompts_destroy(prompts);
    fv_tokenizer_destroy(tokenizer);
    return temp_teardown(state);
}

static void start(fv_group *group)
{
    dialogue = (fv_dialogue){.prompts = prompts,
                             .chat = &chat,
                             .merge = 2,
                             .max_turns = 2,
                             .max_images = 2,
                             .max_turn_tokens = 200,
                             .max_tokens = 1000};
    assert_ok(fv_dialogue_check(&dialogue));
    assert_ok(fv_group_init(group, 3, 7, 2));
    group->has_image = 1;
    group->low = (fv_grid){1, 2, 2};
    group->high = (fv_grid){1, 2, 4};
    assert_ok(fv_prompts_start(prompts, &chat, (fv_text_part){"q", 1, FV_TOKENIZE_PLAIN}, 1, &group->prompt));
}

/* The model draws text as bytes, then end, which may be -1 for none. */
static void draw(fv_group *group, const char *text, int32_t end)
{
    fv_response *response = &group->responses[1];
    for (; *text && !response->is_done; text++)
        assert_ok(fv_response_push(&dialogue, group, response, (uint8_t)*text, -0.5f));
    if (end >= 0)
        assert_ok(fv_response_push(&dialogue, group, response, end, -0.25f));
}

/* All tokens so far as the program itself would write them; generated ones and no others are marked. */
static void check(const fv_group *group, const char *text)
{
    const fv_response *response = &group->responses[1];
    fv_tokens expected = {0};
    int64_t n_generated = 0, in_turns = 0;
    assert_ok(fv_tokenizer_encode(tokenizer, text, strlen(text), FV_TOKENIZE_MARKUP, &expected));
    assert_int_equal(response->ids.n, expected.n);
    assert_memory_equal(response->ids.ids, expected.ids, expected.n * sizeof *expected.ids);
    for (size_t i = 0; i < response->ids.n; i++) {
        n_generated += response->loss_mask[i];
        assert_int_equal(response->loss_mask[i], response->logprobs[i] != 0);
    }
    for (int r = 0; r < response->n_turns; r++) {
        for (int64_t i = 0; i < response->turns[r].n; i++)
            assert_int_equal(response->loss_mask[response->turns[r].first + i], 1);
        in_turns += response->turns[r].n;
    }
    assert_int_equal(n_generated, in_turns);
    fv_tokens_fini(&expected);
}

static void check_end(const fv_group *group, int is_done, int n_turns, int n_shown)
{
    const fv_response *response = &group->responses[1];
    assert_int_equal(response->is_done, is_done);
    assert_int_equal(response->n_turns, n_turns);
    assert_int_equal(response->n_shown, n_shown);
    assert_int_equal(group->responses[0].ids.n, 0);
}

static void test_direct_answer(void **state)
{
    (void)state;
    fv_group group;
    start(&group);
    draw(&group, "<answer>4</answer>", IM_END);
    check(&group, "<answer>4</answer><|im_end|>");
    check_end(&group, 1, 1, 0);
    assert_int_equal(group.responses[1].turns[0].is_cut, 0);
    assert_fails(fv_response_push(&dialogue, &group, &group.responses[1], 'a', -1), FV_ERR_INTERNAL, "done");
    fv_buffer text = {0};
    assert_ok(fv_response_text(&dialogue, &group.responses[1], 0, &text));
    assert_string_equal(text.data, "<answer>4</answer>");
    fv_buffer_fini(&text);
    fv_group_fini(&group);
}

static void test_call_then_answer(void **state)
{
    (void)state;
    fv_group group;
    start(&group);
    draw(&group, "hm" GOOD_CALL, IM_END);
    check(&group, "hm" GOOD_CALL "<|im_end|>" RESULT);
    check_end(&group, 0, 2, 1);
    draw(&group, "<answer>5</answer>", IM_END);
    check(&group, "hm" GOOD_CALL "<|im_end|>" RESULT "<answer>5</answer><|im_end|>");
    check_end(&group, 1, 2, 1);
    fv_group_fini(&group);
}

static void test_malformed_call_then_good_one(void **state)
{
    (void)state;
    fv_group group;
    start(&group);
    dialogue.max_turns = 3;
    draw(&group, "<tool_call>{oops</tool_call>", IM_END);
    check(&group, "<tool_call>{oops</tool_call><|im_end|>" ERROR("The tool call is not valid JSON."));
    check_end(&group, 0, 2, 0);
    draw(&group, GOOD_CALL, IM_END);
    check(&group, "<tool_call>{oops</tool_call><|im_end|>" ERROR("The tool call is not valid JSON.") GOOD_CALL
          "<|im_end|>" RESULT);
    check_end(&group, 0, 3, 1);
    draw(&group, GOOD_CALL, IM_END); /* no turn is left for it */
    check_end(&group, 1, 3, 1);
    fv_group_fini(&group);
}

static void test_image_limit(void **state)
{
    (void)state;
    fv_group group;
    start(&group);
    dialogue.max_turns = 4;
    draw(&group, GOOD_CALL, IM_END);
    draw(&group, GOOD_CALL, IM_END);
    check(&group,
          GOOD_CALL "<|im_end|>" RESULT GOOD_CALL "<|im_end|>" ERROR("No further image can be shown."));
    check_end(&group, 0, 3, 1);
    fv_group_fini(&group);
    start(&group);
    group.has_image = 0;
    draw(&group, GOOD_CALL, IM_END);
    check_end(&group, 0, 2, 0);
    fv_group_fini(&group);
}

static void test_empty_turn_and_plain_text(void **state)
{
    (void)state;
    fv_group group;
    start(&group);
    draw(&group, "", IM_END);
    check(&group, "<|im_end|>");
    check_end(&group, 1, 1, 0);
    fv_group_fini(&group);
    start(&group);
    draw(&group, "resize it", IM_END);
    check_end(&group, 1, 1, 0);
    fv_group_fini(&group);
}

static void test_cut_turns(void **state)
{
    (void)state;
    fv_group group;
    start(&group);
    dialogue.max_turn_tokens = 5;
    draw(&group, "<answer>4", -1);
    check(&group, "<answ");
    check_end(&group, 1, 1, 0);
    assert_int_equal(group.responses[1].turns[0].is_cut, 1);
    fv_group_fini(&group);
    /* A call that was whole when the turn was cut counts; its turn is closed before the tool speaks. */
    start(&group);
    dialogue.max_turn_tokens = (int)strlen(GOOD_CALL);
    draw(&group, GOOD_CALL, -1);
    check(&group, GOOD_CALL "<|im_end|>" RESULT);
    check_end(&group, 0, 2, 1);
    fv_group_fini(&group);
    /* The end of a turn at its last place is no cut. */
    start(&group);
    dialogue.max_turn_tokens = 3;
    draw(&group, "ab", IM_END);
    assert_int_equal(group.responses[1].turns[0].is_cut, 0);
    fv_group_fini(&group);
}

static void test_whole_length(void **state)
{
    (void)state;
    fv_group group;
    start(&group);
    dialogue.max_tokens = (int64_t)group.prompt.n + 4;
    draw(&group, "<answer>", -1);
    check(&group, "<ans");
    check_end(&group, 1, 1, 0);
    fv_group_fini(&group);
    /* The tool's turn comes whole, with room for one token, or not at all. */
    for (int room = 0; room < 2; room++) {
        fv_tokens all = {0};
        start(&group);
        assert_ok(fv_tokenizer_encode(tokenizer, GOOD_CALL "<|im_end|>" RESULT,
                                      strlen(GOOD_CALL "<|im_end|>" RESULT), FV_TOKENIZE_MARKUP, &all));
        dialogue.max_tokens = (int64_t)(group.prompt.n + all.n) + room;
        draw(&group, GOOD_CALL, IM_END);
        check(&group, room ? GOOD_CALL "<|im_end|>" RESULT : GOOD_CALL "<|im_end|>");
        check_end(&group, !room, 1 + room, room);
        draw(&group, room ? "abc" : "", -1);
        check_end(&group, 1, 1 + room, room);
        fv_tokens_fini(&all);
        fv_group_fini(&group);
    }
}

static void test_settings(void **state)
{
    (void)state;
    fv_group group;
    start(&group);
    dialogue.max_turns = 9;
    assert_fails(fv_dialogue_check(&dialogue), FV_ERR_ARGUMENT, "max_turns is 9, expected 1 to 8");
    dialogue.max_turns = 2, dialogue.max_turn_tokens = 0;
    assert_fails(fv_dialogue_check(&dialogue), FV_ERR_ARGUMENT, "max_turn_tokens is 0");
    fv_group_fini(&group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_direct_answer),
        cmocka_unit_test(test_call_then_answer),
        cmocka_unit_test(test_malformed_call_then_good_one),
        cmocka_unit_test(test_image_limit),
        cmocka_unit_test(test_empty_turn_and_plain_text),
        cmocka_unit_test(test_cut_turns),
        cmocka_unit_test(test_whole_length),
        cmocka_unit_test(test_settings),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
