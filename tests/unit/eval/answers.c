/* Tasks from files, and answers from files: what is taken of a line, and what is refused. */
#include "temp_folder.h"

#include "fovea/eval/answers.h"

#include <stdlib.h>

static fv_task task;

static const char *write_task(const char *text)
{
    temp_write("task.yaml", text);
    return temp_path("task.yaml");
}

static void load_task(const char *text)
{
    fv_task_fini(&task);
    assert_ok(fv_task_load(write_task(text), NULL, 0, &task));
}

static const char plain[] = "name: plain\nscorer: exact\n";

/* The only record of a line. */
static fv_record read_line(const char *line)
{
    fv_report report = {0};
    temp_write("answers.jsonl", line);
    const fv_answers_args args = {.path = temp_path("answers.jsonl"), .task = &task};
    assert_ok(fv_answers_read(&args, &report));
    assert_int_equal(report.n, 1);
    fv_record record = report.records[0];
    report.n = 0;
    fv_report_fini(&report);
    assert_ok(fv_task_score(&task, &record));
    return record;
}

static void refuse(const char *lines, const char *sentence)
{
    fv_report report = {0};
    temp_write("answers.jsonl", lines);
    const fv_answers_args args = {.path = temp_path("answers.jsonl"), .task = &task};
    assert_fails(fv_answers_read(&args, &report), FV_ERR_FORMAT, sentence);
    fv_report_fini(&report);
}

static void test_forms_of_a_line(void **state)
{
    (void)state;
    load_task("name: plain\nscorer: exact\ncategory: kind\ngroup: image\ndata:\n  answer: gold\n");
    static const struct {
        const char *line, *answer, *source;
        uint64_t row;
    } forms[] = {
        {"{\"row\": 4, \"turns\": [\"<tool_call>\", \"<answer>b</answer>\"], \"truth\": \"b\", \"source\": "
         "\"s\", "
         "\"group\": \"g\"}",
         "<answer>b</answer>", "s", 4},
        {"{\"response\": \"b\", \"gold\": [\"a\", \"b\"], \"kind\": 3, \"image\": \"g\"}", "b", "3", 0},
        {"{\"prediction\": \"b\", \"answer\": \"b\", \"kind\": \"k\", \"image\": \"g\"}\n\n", "b", "k", 0},
        {"{\"doc_id\": 9, \"filtered_resps\": [\"b\"], \"resps\": [[\"c\"]], \"target\": \"['a', "
         "\\\"b\\\"]\", "
         "\"some_metric\": {\"kind\": \"k\", \"image\": \"g\", \"score\": NaN}}",
         "b", "k", 9},
        {"{\"doc_id\": 9, \"resps\": [[\"b\", \"c\"]], \"target\": \"b\", \"image\": \"g\"}", "b", "", 9},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        fv_record r = read_line(forms[i].line);
        int64_t n = r.counts[FV_COUNT_TURNS];
        assert_string_equal(r.turns[n - 1].data, forms[i].answer);
        assert_string_equal(r.source, forms[i].source);
        assert_string_equal(r.group, "g");
        assert_int_equal(r.row, forms[i].row);
        assert_true(r.has_verdict && r.score == 1);
        assert_string_equal(r.reading, "b");
        assert_string_equal(r.task, "plain");
        assert_int_equal(r.counts[FV_COUNT_CALLED], i == 0);
        fv_record_fini(&r);
    }
}

/* VisionThink's evaluation joins the turns of a sample. */
static void test_joined_turns(void **state)
{
    (void)state;
    load_task(plain);
    fv_record r = read_line(
        "{\"doc_id\": 1, \"target\": \"c\", \"resps\": [[\"<think>a</think><tool_call>{}</tool_call>"
        "<think>b</think><answer>c</answer>\"]]}");
    assert_int_equal(r.counts[FV_COUNT_TURNS], 2);
    assert_string_equal(r.turns[0].data, "<think>a</think><tool_call>{}</tool_call>");
    assert_string_equal(r.turns[1].data, "<think>b</think><answer>c</answer>");
    assert_true(r.score == 1 && r.counts[FV_COUNT_CALLED]);
    fv_record_fini(&r);
    r = read_line("{\"target\": \"c\", \"filtered_resps\": \"<tool_call>{}</tool_call>\\n\"}");
    assert_int_equal(r.counts[FV_COUNT_TURNS], 1);
    fv_record_fini(&r);
    r = read_line("{\"truth\": \"c\", \"response\": \"<tool_call>{}</tool_call> c\"}");
    assert_int_equal(r.counts[FV_COUNT_TURNS], 1);
    fv_record_fini(&r);
}

/* What fovea eval writes comes back with its counts. */
static void test_own_records(void **state)
{
    (void)state;
    load_task(plain);
    fv_record r =
        read_line("{\"row\": 4, \"source\": \"s\", \"question\": \"q\", \"truth\": \"t\", \"turns\": "
                  "[\"t\"], \"score\": 0.0, \"n_turns\": 1, \"visual_tokens\": 7, \"task\": \"plain\"}");
    assert_true(r.counts[FV_COUNT_VISUAL] == 7 && r.score == 1);
    assert_string_equal(r.question, "q");
    fv_record_fini(&r);
}

static void test_refused_lines(void **state)
{
    (void)state;
    load_task(plain);
    refuse("", "answers.jsonl: there is no answer in it");
    refuse(" \n\n", "there is no answer in it");
    refuse("{\"response\": \"b\", \"truth\": \"b\"}\n{\"truth\": \"b\"}",
           "answers.jsonl:2: there is no answer in it");
    refuse("{\"response\": 7, \"truth\": \"b\"}", "there is no answer in it: expected turns, response");
    refuse("{\"response\": \"b\"}", "answers.jsonl:1: there is no truth in it: give the data set (--data)");
    refuse("{\"response\": \"b\", \"truth\": \"b\", \"task\": \"mme\"}",
           "it is an answer to the task \"mme\", not to plain");
    refuse("{\"turns\": \"b\", \"truth\": \"b\"}", "\"turns\" is no list: expected a list of texts");
    refuse("{\"turns\": null, \"truth\": \"b\"}", "there is no answer in it");
    refuse("[1]", "not a JSON object");
    refuse("{\"response\":", "answers.jsonl:1: answer");
    refuse("{\"row\": -1, \"response\": \"b\", \"truth\": \"b\"}", "\"row\" is -1");
    refuse("{\"turns\": [\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\"], \"truth\": \"b\"}",
           "it has more than 8 turns");
    load_task("name: m\nscorer: mme\nmetric: pairs\ncategory: kind\ngroup: image\n");
    refuse("{\"response\": \"b\", \"truth\": \"yes\"}",
           "there is no \"kind\" in it, the category of the task m");
    refuse("{\"response\": \"b\", \"truth\": \"yes\", \"kind\": \"a\"}",
           "there is no \"image\" in it, the group of the task m");
}

static void test_python_lists(void **state)
{
    (void)state;
    static const char *const lists[][2] = {
        {"[]", "[]"},
        {"['a', \"b's\"]", "[\"a\", \"b's\"]"},
        {" ['a\\'b\\\\c\\n', 1.5 , None, ]", "[\"a'b\\\\c\\n\", \"1.5\", \"None\"]"},
        {"['\\xe9\\u20ac\\U0001f600\\d']", "[\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\\\\d\"]"},
    };
    static const char *const bad[] = {"",       "a",           "[",         "['a'",      "['a",   "['a' 'b']",
                                      "['a']x", "['\\ud800']", "['\\u12']", "['\\xzz']", "[[1]]", "['a\\"};
    fv_json *list;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        fv_buffer text = {0};
        assert_ok(fv_python_list_parse(lists[i][0], strlen(lists[i][0]), &list));
        assert_ok(fv_json_print(list, 0, &text));
        assert_string_equal(text.data, lists[i][1]);
        fv_json_destroy(list);
        fv_buffer_fini(&text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(fv_python_list_parse(bad[i], strlen(bad[i]), &list), FV_ERR_FORMAT);
        assert_null(list);
    }
}

static void test_refused_tasks(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"scorer: exact\n", "\"name\" is missing"},
        {"name: a\n", "\"scorer\" is missing"},
        {"name: a\nscorer: near\n", "task.yaml: there is no scorer \"near\"; there are chartqa,"},
        {"name: a\nscorer: exact\nmetric: median\n", "expected mean, yes_no, pairs or circular"},
        {"name: a\nscorer: mme\nmetric: pairs\n", "the metric pairs needs \"group\""},
        {"name: a\nscorer: exact\nscale: 0\n", "scale"},
        {"name: a\nscorer: exact\ndata:\n  questions: q\n", "question"},
    };
    fv_task out;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fv_err err = fv_task_load(write_task(bad[i][0]), NULL, 0, &out);
        assert_true(err == FV_ERR_FORMAT || err == FV_ERR_ARGUMENT);
        assert_non_null(strstr(fv_error_text(), bad[i][1]));
        assert_null(out.name);
    }
}

static int fini(void **state)
{
    fv_task_fini(&task);
    return temp_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_joined_turns), cmocka_unit_test(test_forms_of_a_line),
        cmocka_unit_test(test_own_records),  cmocka_unit_test(test_refused_lines),
        cmocka_unit_test(test_python_lists), cmocka_unit_test(test_refused_tasks),
    };
    return cmocka_run_group_tests(tests, temp_setup, fini);
}
