/* Turns, the format score of both products, and the answer proper. */
#include "test.h"

#include "fovea/reward/format.h"

#define GOOD_CALL "{\"name\": \"resize_image\", \"arguments\": {\"action\": \"resize\"}}"

static void test_what_a_turn_does(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        fv_turn_act act;
        const char *reason; /* part of it */
    } cases[] = {
        {"", FV_TURN_NEITHER, NULL},
        {"The answer is 7.", FV_TURN_NEITHER, NULL},
        {"<think>cut before the e", FV_TURN_NEITHER, NULL},
        {"<think>t</think><answer>7</answer>", FV_TURN_ANSWER, NULL},
        {"<answer>cut", FV_TURN_ANSWER, NULL},
        {"</tool_call>", FV_TURN_NEITHER, NULL},
        {"<think>t</think><tool_call>" GOOD_CALL "</tool_call>", FV_TURN_CALL, NULL},
        {"<tool_call>\n{\n \"arguments\":\t{\n\"action\" : \"resize\"\n},\r\n \"name\":\"resize_image\"\n}\n"
         "</tool_call>\n",
         FV_TURN_CALL, NULL},
        {"<tool_call>{\"name\": \"resize_image\", \"arguments\": {\"action\": \"resize\", \"why\": 1}, "
         "\"id\": 0}</tool_call>",
         FV_TURN_CALL, NULL},
        /* The last opening tag counts. */
        {"<think>I may <tool_call>x</tool_call></think><answer>7</answer>", FV_TURN_ANSWER, NULL},
        {"<think><answer>7</answer>? no</think><tool_call>" GOOD_CALL "</tool_call>", FV_TURN_CALL, NULL},
        {"<tool_call>bad</tool_call><tool_call>" GOOD_CALL "</tool_call>", FV_TURN_CALL, NULL},
        {"<tool_call>" GOOD_CALL, FV_TURN_BAD_CALL, "not closed"},
        {"<tool_call></tool_call>", FV_TURN_BAD_CALL, "not valid JSON"},
        {"<tool_call>resize_image</tool_call>", FV_TURN_BAD_CALL, "not valid JSON"},
        {"<tool_call>" GOOD_CALL " " GOOD_CALL "</tool_call>", FV_TURN_BAD_CALL, "not valid JSON"},
        {"<tool_call>{\"name\": \"resize_image\", \"name\": \"resize_image\"}</tool_call>", FV_TURN_BAD_CALL,
         "not valid JSON"},
        {"<tool_call>[" GOOD_CALL "]</tool_call>", FV_TURN_BAD_CALL, "not a JSON object"},
        {"<tool_call>\"resize_image\"</tool_call>", FV_TURN_BAD_CALL, "not a JSON object"},
        {"<tool_call>{}</tool_call>", FV_TURN_BAD_CALL, "no \"name\""},
        {"<tool_call>{\"name\": \"zoom\"}</tool_call>", FV_TURN_BAD_CALL, "unknown tool"},
        {"<tool_call>{\"name\": \"resize_image\\u0000\"}</tool_call>", FV_TURN_BAD_CALL, "unknown tool"},
        {"<tool_call>{\"name\": [\"resize_image\"]}</tool_call>", FV_TURN_BAD_CALL, "unknown tool"},
        {"<tool_call>{\"name\": \"resize_image\"}</tool_call>", FV_TURN_BAD_CALL, "no \"arguments\""},
        {"<tool_call>{\"name\": \"resize_image\", \"arguments\": \"resize\"}</tool_call>", FV_TURN_BAD_CALL,
         "no \"arguments\""},
        {"<tool_call>{\"name\": \"resize_image\", \"arguments\": {}}</tool_call>", FV_TURN_BAD_CALL,
         "\"action\""},
        {"<tool_call>{\"name\": \"resize_image\", \"arguments\": {\"action\": \"Resize\"}}</tool_call>",
         FV_TURN_BAD_CALL, "\"action\""},
        {"<tool_call>{\"name\": \"resize_image\", \"arguments\": {\"action\": null}}</tool_call>",
         FV_TURN_BAD_CALL, "\"action\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fv_parsed_turn turn = fv_turn_parse(fv_slice_of(cases[i].text));
        if (turn.act != cases[i].act || !turn.reason != !cases[i].reason ||
            (turn.reason && !strstr(turn.reason, cases[i].reason)))
            fail_msg("\"%s\": act %d, %s", cases[i].text, turn.act, turn.reason ? turn.reason : "no reason");
    }
}

#define ANSWER "<think>t</think><answer>7</answer>"
#define CALL "<think>t</think><tool_call>" GOOD_CALL "</tool_call>"
#define BAD_CALL "<think>t</think><tool_call>nonsense</tool_call>"

static void test_format_of_both_products(void **state)
{
    (void)state;
    static const struct {
        const char *turns[3];
        int general, efficient, lenient;
    } cases[] = {
        {{NULL}, 0, 0, 0},
        {{""}, 0, 0, 0},
        {{ANSWER}, 1, 1, 1},
        {{" \n<think>two\nlines</think>\n\n<answer>a b</answer>\n"}, 1, 1, 1},
        {{"<think></think><answer></answer>"}, 1, 1, 1},
        {{"<think>t</think> So <answer>7</answer>"}, 0, 1, 1},
        {{"Well. <think>t</think> So <answer>7</answer>"}, 0, 0, 0},
        {{"." ANSWER}, 0, 0, 0},
        {{"\n\n." ANSWER}, 0, 0, 0},
        {{"\xc2\xa0" ANSWER}, 0, 0, 0},
        {{CALL, "Now I see. " ANSWER}, 0, 0, 0},
        {{"Let me look. " CALL, ANSWER}, 0, 0, 0},
        {{CALL, "Again. " CALL, ANSWER}, 0, 0, 0},
        {{" " CALL, ANSWER}, 0, 1, 1},
        {{ANSWER "."}, 0, 0, 0},
        {{"<answer>7</answer><think>t</think>"}, 0, 0, 0},
        {{"<answer>7</answer>"}, 0, 0, 0},
        {{"<think>t</think>7"}, 0, 0, 0},
        {{"<think>t</think><answer>7"}, 0, 0, 0},
        {{"<think>t<answer>7</answer></think>"}, 0, 0, 0},
        {{"<think>t<answer>7</think></answer>"}, 0, 0, 0},
        {{"</think>t<think><answer>7</answer>"}, 0, 0, 0},
        {{"<think>t</think>" ANSWER}, 0, 0, 0},
        {{ANSWER "<answer>8</answer>"}, 0, 0, 0},
        {{"<think>t</think><think><answer>7</answer>"}, 0, 0, 0},
        {{"<Think>t</Think><answer>7</answer>"}, 0, 0, 0},
        {{"<think>a <tool_call> or not</think><answer>7</answer>"}, 1, 0, 0},
        {{"<think>a </tool_call></think><answer>7</answer>"}, 1, 0, 0},
        {{CALL}, 0, 0, 0},
        {{CALL, ANSWER}, 0, 1, 1},
        {{CALL "\n", "\n" ANSWER}, 0, 1, 1},
        {{CALL, CALL, ANSWER}, 0, 1, 1},
        {{BAD_CALL, ANSWER}, 0, 0, 1},
        {{BAD_CALL, CALL, ANSWER}, 0, 0, 1},
        {{CALL, ""}, 0, 0, 0},
        {{CALL, "<answer>7</answer>"}, 0, 0, 0},
        {{ANSWER, ANSWER}, 0, 0, 0},
        {{CALL ".", ANSWER}, 0, 0, 0},
        {{"<tool_call>" GOOD_CALL "</tool_call>", ANSWER}, 0, 0, 0},
        {{"<think>is it <answer>?</think><tool_call>" GOOD_CALL "</tool_call>", ANSWER}, 0, 0, 0},
        {{CALL "<tool_call>" GOOD_CALL "</tool_call>", ANSWER}, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fv_slice turns[3];
        int n = 0;
        for (; n < 3 && cases[i].turns[n]; n++)
            turns[n] = fv_slice_of(cases[i].turns[n]);
        int general = fv_format_score(&(fv_format_settings){FV_PRODUCT_GENERAL, 0}, turns, n);
        int efficient = fv_format_score(&(fv_format_settings){FV_PRODUCT_EFFICIENT, 1}, turns, n);
        int lenient = fv_format_score(&(fv_format_settings){FV_PRODUCT_EFFICIENT, 0}, turns, n);
        if (general != cases[i].general || efficient != cases[i].efficient || lenient != cases[i].lenient)
            fail_msg("case %zu, %d turns, the first \"%s\": %d %d %d", i, n, n ? cases[i].turns[0] : "",
                     general, efficient, lenient);
    }
}

/* A text with a NUL does not end there. */
static void test_text_after_a_nul_counts(void **state)
{
    (void)state;
    static const char text[] = ANSWER "\0more";
    fv_slice turn = {text, sizeof text - 1};
    assert_int_equal(fv_format_score(&(fv_format_settings){FV_PRODUCT_GENERAL, 0}, &turn, 1), 0);
}

static void test_called_is_textual(void **state)
{
    (void)state;
    fv_slice turns[] = {fv_slice_of(BAD_CALL), fv_slice_of(ANSWER), fv_slice_of("</tool_call>"),
                        fv_slice_of("<tool_call>")};
    assert_int_equal(fv_turns_called(turns, 0), 0);
    assert_int_equal(fv_turns_called(turns, 2), 1);
    assert_int_equal(fv_turns_called(turns + 1, 2), 0);
    assert_int_equal(fv_turns_called(turns + 1, 3), 1);
}

static void test_answer_proper(void **state)
{
    (void)state;
    static const struct {
        const char *text, *split, *strict;
    } cases[] = {
        {"", "", ""},
        {" plain ", "plain", ""},
        {"<think>t</think><answer> 7\n</answer>", "7", "7"},
        {"<answer>7</answer><answer>8</answer>", "8", "8"},
        {"<answer>7</answer> and </answer>", "7", "7"},
        {"</answer> <answer>7</answer>", "7", "7"},
        {"<answer>cut off", "cut off", ""},
        {"seven</answer> tail", "seven", ""},
        {"<answer></answer>", "", ""},
        {"<answer>7</answer><answer>", "", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fv_slice text = fv_slice_of(cases[i].text);
        fv_slice split = fv_answer_extract(FV_EXTRACT_SPLIT, text);
        fv_slice strict = fv_answer_extract(FV_EXTRACT_STRICT, text);
        if (!fv_slice_equal(split, fv_slice_of(cases[i].split)) ||
            !fv_slice_equal(strict, fv_slice_of(cases[i].strict)))
            fail_msg("\"%s\": \"%.*s\", \"%.*s\"", cases[i].text, (int)split.size, split.data,
                     (int)strict.size, strict.data);
        assert_true(fv_slice_equal(fv_answer_extract(FV_EXTRACT_NONE, text), fv_slice_trim(text)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_turn_does),        cmocka_unit_test(test_format_of_both_products),
        cmocka_unit_test(test_text_after_a_nul_counts), cmocka_unit_test(test_called_is_textual),
        cmocka_unit_test(test_answer_proper),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
