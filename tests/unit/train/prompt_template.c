/* Prompts from YAML: the ids of a conversation's parts, text that cannot act as markup, refusals. */
#include "temp_folder.h"

#include "fovea/train/prompt_template.h"

static fv_tokenizer *tokenizer;
static fv_chat chat;

static const fv_added_token special[] = {
    {"<|im_start|>", 256},   {"<|im_end|>", 257},    {"<|vision_start|>", 258},
    {"<|vision_end|>", 259}, {"<|image_pad|>", 260}, {"<tool_call>", 261},
};

static int setup(void **state)
{
    if (temp_setup(state) != 0)
        return -1;
    if (fv_tokenizer_write_bytes(temp_folder("t"), special, sizeof special / sizeof *special) != FV_OK ||
        fv_tokenizer_load(temp_path("t"), &tokenizer) != FV_OK || fv_chat_init(&chat, tokenizer) != FV_OK)
        return -1;
    return 0;
}

static int teardown(void **state)
{
    fv_tokenizer_destroy(tokenizer);
    return temp_teardown(state);
}

static fv_err load(const char *text, fv_prompts **out)
{
    temp_write("p.yaml", text);
    return fv_prompts_load(temp_path("p.yaml"), out);
}

static const char with_tool[] = "system: You {see}. <tool_call>\n"
                                "user: 'a {image} b {question}!'\n"
                                "tool_result: '({image})'\n"
                                "tool_error: 'no: {error}'\n";

static fv_text_part plain(const char *text)
{
    return (fv_text_part){text, strlen(text), FV_TOKENIZE_PLAIN};
}

/* The ids so far are those of text, as the program itself would write it. */
static void check_ids(fv_tokens *ids, const char *text)
{
    fv_tokens expected = {0};
    assert_ok(fv_tokenizer_encode(tokenizer, text, strlen(text), FV_TOKENIZE_MARKUP, &expected));
    assert_int_equal(ids->n, expected.n);
    assert_memory_equal(ids->ids, expected.ids, expected.n * sizeof *expected.ids);
    fv_tokens_fini(&expected);
    fv_tokens_fini(ids);
}

static void test_parts_of_a_conversation(void **state)
{
    (void)state;
    fv_prompts *p;
    fv_tokens ids = {0};
    assert_ok(load(with_tool, &p));
    assert_int_equal(fv_prompts_has_tool(p), 1);
    assert_ok(fv_prompts_start(p, &chat, plain("why"), 2, &ids));
    check_ids(&ids, "<|im_start|>system\nYou {see}. <tool_call><|im_end|>\n<|im_start|>user\na "
                    "<|vision_start|><|image_pad|><|image_pad|><|vision_end|> b why!<|im_end|>\n"
                    "<|im_start|>assistant\n");
    assert_ok(fv_prompts_start(p, &chat, plain("why"), 0, &ids));
    check_ids(&ids, "<|im_start|>system\nYou {see}. <tool_call><|im_end|>\n<|im_start|>user\na  b "
                    "why!<|im_end|>\n<|im_start|>assistant\n");
    assert_ok(fv_prompts_tool_result(p, &chat, 1, &ids));
    check_ids(&ids, "\n<|im_start|>user\n(<|vision_start|><|image_pad|><|vision_end|>)<|im_end|>\n"
                    "<|im_start|>assistant\n");
    assert_ok(fv_prompts_tool_error(p, &chat, "not JSON", &ids));
    check_ids(&ids, "\n<|im_start|>user\nno: not JSON<|im_end|>\n<|im_start|>assistant\n");
    fv_prompts_destroy(p);
}

static void test_filled_text_is_no_markup(void **state)
{
    (void)state;
    fv_prompts *p;
    fv_tokens ids = {0};
    assert_ok(load(with_tool, &p));
    assert_ok(fv_prompts_start(p, &chat, plain("<|im_end|>{image}<|image_pad|><tool_call>"), 1, &ids));
    int counts[6] = {0};
    for (size_t i = 0; i < ids.n; i++)
        if (ids.ids[i] >= 256)
            counts[ids.ids[i] - 256]++;
    const int expected[6] = {3, 2, 1, 1, 1, 1};
    assert_memory_equal(counts, expected, sizeof counts);
    ids.n = 0;
    assert_ok(fv_prompts_tool_error(p, &chat, "<|im_end|>", &ids));
    assert_int_equal(ids.ids[ids.n - 1], '\n');
    for (size_t i = 0, ends = 0; i < ids.n; i++)
        assert_true((ends += ids.ids[i] == 257) <= 1);
    fv_tokens_fini(&ids);
    fv_prompts_destroy(p);
}

static void test_without_a_tool(void **state)
{
    (void)state;
    fv_prompts *p;
    fv_tokens ids = {0};
    assert_ok(load("system: ''\nuser: '{image}{question}'\n", &p));
    assert_int_equal(fv_prompts_has_tool(p), 0);
    assert_fails(fv_prompts_tool_result(p, &chat, 1, &ids), FV_ERR_ARGUMENT, "no tool");
    assert_ok(fv_prompts_start(p, &chat, plain("q"), 0, &ids));
    check_ids(&ids, "<|im_start|>system\n<|im_end|>\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n");
    fv_prompts_destroy(p);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"user: '{image}{question}'\n", "there is no \"system\""},
        {"system: a\nuser: '{image}'\n", "line 2: \"user\": there is no {question} in it"},
        {"system: a\nuser: '{question}'\n", "there is no {image} in it"},
        {"system: a\nuser: '{image}{question}{image}'\n", "{image} is there twice"},
        {"system: 'a {question}'\nuser: '{image}{question}'\n",
         "line 1: \"system\": {question} has no place"},
        {"system: a\nuser: '{image}{question}'\ntool_result: '{image}'\n", "go together"},
        {"system: a\nuser: '{image}{question}'\ntools: 1\n", "line 3: unknown key \"tools\""},
        {"system: 4\nuser: '{image}{question}'\n", "system"},
        {"- a\n", "not a list of keys"},
    };
    fv_prompts *p;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_fails(load(cases[i].text, &p), FV_ERR_FORMAT, cases[i].part);
        assert_non_null(strstr(fv_error_text(), "p.yaml"));
        assert_null(p);
    }
    assert_fails(fv_prompts_load(temp_path("none.yaml"), &p), FV_ERR_IO, "none.yaml");
}

static void test_files_of_the_project(void **state)
{
    (void)state;
    const char *const names[] = {"look-closer", "answer", "glance", "glance-answer"};
    for (int i = 0; i < 4; i++) {
        char path[4200];
        fv_prompts *p;
        snprintf(path, sizeof path, "%s/../../configs/prompts/%s.yaml", getenv("TEST_DATA"), names[i]);
        assert_ok(fv_prompts_load(path, &p));
        assert_int_equal(fv_prompts_has_tool(p), i % 2 == 0);
        fv_prompts_destroy(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_of_a_conversation), cmocka_unit_test(test_filled_text_is_no_markup),
        cmocka_unit_test(test_without_a_tool),          cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_files_of_the_project),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
