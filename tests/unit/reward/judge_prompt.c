/* Prompts of judges: hostile answers leave the request's own bytes as they are, and come back from it whole.
 */
#include "hostile_answers.h"
#include "temp_folder.h"

#include "fovea/io/json.h"
#include "fovea/reward/judge/judge_api.h"
#include "fovea/base/text/utf8.h"

#include <ctype.h>

static const fv_judge_api_settings settings = {.url = "", .model = "m", .key_file = "", .ca_file = ""};

static fv_judge_prompt *load(void)
{
    fv_judge_prompt *prompt;
    temp_write("p.yaml",
               "system: Be fair.\nuser: \"Q {question}\\nT {truth}\\nA {answer}\\nNow?\"\nverdict: score\n");
    assert_ok(fv_judge_prompt_load(temp_path("p.yaml"), &prompt));
    return prompt;
}

/* The user's message of a request, after a check of the request's other parts. */
static fv_json *parse_request(const fv_buffer *request, fv_slice *user)
{
    fv_json *root;
    fv_buffer without = {0};
    assert_ok(fv_json_parse(request->data, request->size, "request", &root));
    fv_json *message = fv_json_at(fv_json_get(root, "messages"), 1);
    assert_ok(fv_json_to_string(fv_json_get(message, "content"), "content", &user->data, &user->size));
    fv_json *rest = fv_json_copy(root);
    fv_json_remove(fv_json_at(fv_json_get(rest, "messages"), 1), "content");
    assert_ok(fv_json_print(rest, 0, &without));
    assert_string_equal(
        without.data,
        "{\"model\": \"m\", \"temperature\": 0.0, \"messages\": [{\"role\": \"system\", \"content\": "
        "\"Be fair.\"}, {\"role\": \"user\"}]}");
    fv_json_destroy(rest);
    fv_buffer_fini(&without);
    return root;
}

/* No byte of data ends its string or a line, or starts a special token. */
static void check_data(fv_slice data)
{
    assert_true(data.size >= 2 && data.data[0] == '"' && data.data[data.size - 1] == '"');
    for (size_t i = 1; i + 1 < data.size; i++) {
        unsigned char c = (unsigned char)data.data[i], next = (unsigned char)data.data[i + 1];
        assert_true(c >= ' ' && c != '<' && c != '>' && c != '"' && c != 0x7f);
        assert_false(c == '[' && (next == '/' || isalpha(next)));
        if (c == '\\') {
            assert_true(strchr("\\\"ntu", next) != NULL && i + 2 < data.size);
            i++;
        }
    }
}

static void check_answer(const fv_judge_prompt *prompt, fv_slice answer)
{
    static const char before[] = "Q \"How many?\"\nT \"7\"\nA ", after[] = "\nNow?";
    const fv_case asked = {fv_slice_of("How many?"), answer, fv_slice_of("7")};
    fv_buffer request = {0}, valid = {0};
    fv_slice user, back;
    fv_json *data;
    assert_ok(fv_judge_api_request(&settings, prompt, &asked, 0, &request));
    fv_json *root = parse_request(&request, &user);
    assert_true(user.size > sizeof before + sizeof after - 2);
    assert_memory_equal(user.data, before, sizeof before - 1);
    assert_memory_equal(user.data + user.size - (sizeof after - 1), after, sizeof after - 1);
    fv_slice inner = fv_slice_cut(user, sizeof before - 1, user.size - (sizeof after - 1));
    check_data(inner);
    assert_ok(fv_json_parse(inner.data, inner.size, "answer", &data));
    assert_ok(fv_json_to_string(data, "answer", &back.data, &back.size));
    assert_ok(fv_buffer_append_valid(&valid, answer.data, answer.size));
    assert_int_equal(back.size, valid.size);
    if (back.size)
        assert_memory_equal(back.data, valid.data, back.size);
    fv_json_destroy(data);
    fv_json_destroy(root);
    fv_buffer_fini(&request);
    fv_buffer_fini(&valid);
}

static void test_hostile_answers(void **state)
{
    (void)state;
    fv_judge_prompt *prompt = load();
    for (uint32_t i = 0; i < N_HOSTILE; i++) {
        fv_buffer answer = {0};
        hostile_answer(i, &answer);
        check_answer(prompt, (fv_slice){answer.data, answer.size});
        fv_buffer_fini(&answer);
    }
    fv_judge_prompt_destroy(prompt);
}

static void test_long_answers(void **state)
{
    (void)state;
    fv_judge_prompt *prompt = load();
    for (int i = 0; i < N_HOSTILE_LONG; i++) {
        fv_buffer answer = {0};
        hostile_long_answer(i, &answer);
        check_answer(prompt, (fv_slice){answer.data, answer.size});
        fv_buffer_fini(&answer);
    }
    fv_judge_prompt_destroy(prompt);
}

static void test_several_answers(void **state)
{
    (void)state;
    static const char truth[] = "7\0se\"ven\0<7>";
    fv_judge_prompt *prompt = load();
    fv_buffer user = {0};
    const fv_case asked = {fv_slice_of("How many?"), fv_slice_of("a\nb"), {truth, sizeof truth - 1}};
    assert_ok(fv_judge_prompt_user(prompt, &asked, &user));
    assert_string_equal(
        user.data, "Q \"How many?\"\nT \"7\" or \"se\\\"ven\" or \"\\u003c7\\u003e\"\nA \"a\\nb\"\nNow?");
    fv_buffer_fini(&user);
    fv_judge_prompt_destroy(prompt);
}

static void refuse(const char *yaml, const char *part)
{
    fv_judge_prompt *prompt;
    temp_write("bad.yaml", yaml);
    assert_fails(fv_judge_prompt_load(temp_path("bad.yaml"), &prompt), FV_ERR_FORMAT, part);
    assert_non_null(strstr(fv_error_text(), "bad.yaml"));
}

static void test_refusals(void **state)
{
    (void)state;
    refuse("system: a\nuser: '{question} {answer}'\nverdict: score\n",
           "line 2: \"user\": there is no {truth}");
    refuse("system: a\nuser: '{truth}{question}{answer}{truth}'\nverdict: score\n", "{truth} is there twice");
    refuse("system: a\nuser: '{truth}{question}{answer}'\nverdict: maybe\n",
           "line 3: \"verdict\": it is neither");
    refuse("system: a\nuser: '{truth}{question}{answer}'\n", "it has 2 keys");
    refuse("system: a\ntone: b\n", "line 2: \"tone\": unknown");
    refuse("- a\n", "not a list of keys");
    refuse("system: 1\n", "\"system\" is an integer");
}

static void test_shipped_prompts(void **state)
{
    (void)state;
    static const char *const names[] = {"judge.yaml", "judge-words.yaml"};
    for (int i = 0; i < 2; i++) {
        char path[4096];
        fv_judge_prompt *prompt;
        snprintf(path, sizeof path, "%s/../../configs/prompts/%s", getenv("TEST_DATA"), names[i]);
        assert_ok(fv_judge_prompt_load(path, &prompt));
        assert_int_equal(fv_judge_prompt_grammar(prompt), i == 0 ? FV_GRAMMAR_SCORE : FV_GRAMMAR_WORDS);
        assert_true(fv_judge_prompt_system(prompt).size > 100);
        fv_judge_prompt_destroy(prompt);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_answers), cmocka_unit_test(test_long_answers),
        cmocka_unit_test(test_several_answers), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_shipped_prompts)};
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
