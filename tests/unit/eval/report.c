/* Records and reports: what an answer becomes, sums, files that are read back to the byte, shards. */
#include "temp_folder.h"

#include "fovea/eval/report.h"

#include <math.h>

enum { IM_END = 257 };

static fv_tokenizer *tokenizer;
static fv_chat chat;

static int load(void **state)
{
    const fv_added_token special[] = {{"<|im_start|>", 256}, {"<|im_end|>", IM_END}};
    return temp_setup(state) || fv_tokenizer_write_bytes(temp_folder("t"), special, 2) ||
           fv_tokenizer_load(temp_path("t"), &tokenizer) || fv_chat_init(&chat, tokenizer);
}

static int unload(void **state)
{
    fv_tokenizer_destroy(tokenizer);
    return temp_teardown(state);
}

/* A record of its own; score below 0: unjudged. */
static fv_record record_of(uint64_t row, const char *source, double score)
{
    return (fv_record){.row = row,
                       .source = strdup(source),
                       .question = strdup("How \"many\"?\n"),
                       .truth = strdup("\xc3\xa4"),
                       .has_verdict = score >= 0,
                       .score = score,
                       .counts = {[FV_COUNT_TURNS] = 0, [FV_COUNT_VISUAL] = 5, [FV_COUNT_HIGH] = 10}};
}

/* An answer of two turns, "a" with its end and "bc" cut, to a question about an image of 2 and 8 tokens. */
static fv_group make_group(void)
{
    fv_group group;
    assert_ok(fv_group_init(&group, 3, 17, 1));
    fv_response *response = group.responses;
    const int32_t ids[] = {'a', IM_END, 'x', 'y', 'b', 'c'};
    for (int i = 0; i < 6; i++)
        assert_ok(fv_tokens_push(&response->ids, ids[i]));
    response->turns[0] = (fv_turn){.first = 0, .n = 2};
    response->turns[1] = (fv_turn){.first = 4, .n = 2, .is_cut = 1};
    response->n_turns = 2;
    response->n_shown = 1;
    response->is_called = 1;
    response->reward = (fv_reward){.accuracy = 0.25, .has_verdict = 1};
    group.has_image = 1;
    group.low = (fv_grid){1, 2, 4};
    group.high = (fv_grid){1, 4, 8};
    return group;
}

static fv_record record_of_group(const fv_group *group)
{
    const fv_dialogue dialogue = {.chat = &chat, .merge = 2};
    fv_row row = {.question = strdup("q"), .answer = strdup("t"), .source = strdup("s")};
    fv_record record;
    assert_ok(fv_record_init(&record, &dialogue, group, &row));
    fv_row_fini(&row);
    return record;
}

static void test_a_record_of_an_answer(void **state)
{
    (void)state;
    fv_group group = make_group();
    fv_record r = record_of_group(&group);
    const int64_t expected[FV_COUNTS] = {2, 1, 1, 1, 2 + 8, 8, 4};
    assert_int_equal(r.row, 17);
    assert_memory_equal(r.counts, expected, sizeof expected);
    assert_true(r.has_verdict && r.score == 0.25);
    assert_string_equal(r.turns[0].data, "a");
    assert_string_equal(r.turns[1].data, "bc");
    assert_string_equal(r.question, "q");
    assert_string_equal(r.truth, "t");
    assert_string_equal(r.source, "s");
    fv_record_fini(&r);

    group.has_image = 0;
    r = record_of_group(&group);
    assert_true(r.counts[FV_COUNT_VISUAL] == 0 && r.counts[FV_COUNT_HIGH] == 0);
    fv_record_fini(&r);
    fv_group_fini(&group);
}

static void check_line(const fv_record *record)
{
    fv_buffer line = {0}, again = {0};
    fv_record read;
    assert_ok(fv_record_print(record, &line));
    assert_int_equal(line.data[line.size - 1], '\n');
    assert_ok(fv_record_parse(line.data, line.size - 1, "line", &read));
    assert_int_equal(read.has_verdict, record->has_verdict);
    assert_true(!record->has_verdict || read.score == record->score);
    assert_ok(fv_record_print(&read, &again));
    assert_string_equal(line.data, again.data);
    fv_record_fini(&read);
    fv_buffer_fini(&line);
    fv_buffer_fini(&again);
}

static void test_lines_come_back(void **state)
{
    (void)state;
    static const double scores[] = {-1, 0, 1, 1.0 / 3, 0.1 + 0.2};
    for (int i = 0; i < 5; i++) {
        fv_record r = record_of(7, "s", scores[i]);
        r.counts[FV_COUNT_TURNS] = 3;
        assert_ok(fv_buffer_append(&r.turns[0], "a\0b\xff\n", 5));
        assert_ok(fv_buffer_append(&r.turns[2], "\"</answer>\"", 11));
        check_line(&r);
        fv_record_fini(&r);
    }
}

/* Several accepted answers are a list; one is a text. */
static void test_several_answers(void **state)
{
    (void)state;
    fv_record one = record_of(7, "s", 1), two = record_of(8, "s", 1);
    fv_buffer lines = {0}, truths = {0};
    assert_ok(fv_truths_add(&truths, fv_slice_of("a")));
    assert_ok(fv_truths_add(&truths, fv_slice_of("\"b\"")));
    free(two.truth);
    two.truth = truths.data;
    two.more_bytes = truths.size - 1;
    assert_ok(fv_record_print(&one, &lines));
    assert_ok(fv_record_print(&two, &lines));
    assert_non_null(strstr(lines.data, "\"truth\": \"\xc3\xa4\","));
    assert_non_null(strstr(lines.data, "\"truth\": [\"a\", \"\\\"b\\\"\"],"));
    check_line(&two);
    fv_buffer_fini(&lines);
    fv_record_fini(&one);
    fv_record_fini(&two);
}

static void test_bad_lines(void **state)
{
    (void)state;
    static const char rest[] =
        "\"row\": 1, \"source\": \"\", \"question\": \"\", \"truth\": \"\", \"score\": 1, "
        "\"n_shown\": 0, \"is_called\": 0, \"is_cut\": 0, \"visual_tokens\": 0, "
        "\"high_visual_tokens\": 0, ";
    static const char *const bad[][2] = {
        {"\"response_tokens\": 1, \"n_turns\": 2, \"turns\": [\"\"]}", "1 turns, but \"n_turns\" is 2"},
        {"\"response_tokens\": 1, \"n_turns\": 1, \"turns\": [4]}", "turns"},
        {"\"response_tokens\": -1, \"n_turns\": 1, \"turns\": [\"\"]}", "\"response_tokens\" is -1"},
        {"\"n_turns\": 1, \"turns\": [\"\"]}", "response_tokens"},
        {"\"n_turns\": 1", "line"}};
    static const char no_score[] = "{\"row\": 1, \"source\": \"\", \"question\": \"\", \"truth\": \"\"}";
    fv_record r;
    for (int i = 0; i < 5; i++) {
        char line[512];
        int size = snprintf(line, sizeof line, "{%s%s", rest, bad[i][0]);
        assert_fails(fv_record_parse(line, (size_t)size, "line", &r), FV_ERR_FORMAT, bad[i][1]);
        assert_null(r.source);
    }
    assert_fails(fv_record_parse(no_score, strlen(no_score), "line", &r), FV_ERR_FORMAT,
                 "\"score\" is nothing");
}

/* Reports. */

static fv_report make_report(int64_t n_rows, int shard, int n_shards)
{
    fv_report report = {
        .model = strdup("m"), .data = strdup("d"), .shard = shard, .n_shards = n_shards, .seconds = 0.5};
    report.settings = fv_json_make_object();
    assert_ok(fv_json_set(report.settings, "rows", fv_json_make_integer(n_rows)));
    for (int64_t at = shard - 1; at < n_rows; at += n_shards) {
        uint64_t row = (uint64_t)at;
        static const char *const sources[] = {"b", "", "a"};
        fv_record record = record_of(row, sources[row % 3], row % 4 == 3 ? -1 : 0.1 * (double)row);
        record.counts[FV_COUNT_CALLED] = row == 2;
        record.counts[FV_COUNT_RESPONSE] = (int64_t)row;
        assert_ok(fv_report_add(&report, &record));
    }
    return report;
}

static void check_near(double value, double expected)
{
    assert_true(fabs(value - expected) < 1e-12);
}

/* Rows 0 to 5 of sources b, "", a, b, "", a; row 3 is unjudged. */
static void test_sums(void **state)
{
    (void)state;
    fv_report report = make_report(6, 1, 1);
    fv_summary s;
    assert_ok(fv_summary_init(&s, &report));
    assert_true(s.all.n_records == 6 && s.all.n_judged == 5);
    check_near(fv_tally_score(&s.all), (0 + 0.1 + 0.2 + 0.4 + 0.5) / 5);
    check_near(fv_tally_call_rate(&s.all), 1.0 / 6);
    check_near(fv_tally_visual_share(&s.all), 0.5);
    check_near(fv_tally_response_tokens(&s.all), 15.0 / 6);
    assert_int_equal(s.n_sources, 3);
    assert_string_equal(s.sources[0].source, "b");
    assert_string_equal(s.sources[1].source, "");
    assert_string_equal(s.sources[2].source, "a");
    assert_true(s.sources[0].n_records == 2 && s.sources[0].n_judged == 1);
    check_near(fv_tally_score(&s.sources[0]), 0); /* row 0 alone */
    check_near(fv_tally_score(&s.sources[2]), 0.35);
    check_near(fv_tally_call_rate(&s.sources[2]), 0.5);
    fv_summary_fini(&s);
    fv_report_fini(&report);
}

/* No verdict and no image: nothing to divide by is no 0, in the table and in the file. */
static void test_nothing_to_divide_by(void **state)
{
    (void)state;
    fv_report report = make_report(0, 1, 1);
    fv_record record = record_of(0, "a long name", -1);
    record.counts[FV_COUNT_HIGH] = record.counts[FV_COUNT_VISUAL] = 0;
    assert_ok(fv_report_add(&report, &record));
    fv_summary s;
    fv_buffer table = {0};
    assert_ok(fv_summary_init(&s, &report));
    assert_true(isnan(fv_tally_score(&s.all)) && isnan(fv_tally_visual_share(&s.all)));
    assert_ok(fv_summary_print(&s, 2, &table));
    assert_non_null(strstr(table.data, "\nall                1        1          -     0.0000          - "));
    assert_ok(fv_report_write(&report, temp_folder("unjudged")));
    fv_json *summary;
    assert_ok(fv_json_load(temp_path("unjudged/summary.json"), &summary));
    const fv_json *score = fv_json_get(fv_json_get(summary, "all"), "score");
    assert_true(score && fv_json_kind_of(score) == FV_JSON_NULL);
    fv_json_destroy(summary);
    fv_buffer_fini(&table);
    fv_summary_fini(&s);
    fv_report_fini(&report);
}

static void check_same_file(const char *a, const char *b, const char *name)
{
    char path[2][64];
    fv_file_map map[2];
    snprintf(path[0], sizeof path[0], "%s/%s", a, name);
    snprintf(path[1], sizeof path[1], "%s/%s", b, name);
    assert_ok(fv_file_open_map(temp_path(path[0]), &map[0]));
    assert_ok(fv_file_open_map(temp_path(path[1]), &map[1]));
    assert_int_equal(map[0].size, map[1].size);
    assert_memory_equal(map[0].data, map[1].data, map[0].size);
    fv_file_close_map(&map[0]);
    fv_file_close_map(&map[1]);
}

static void check_same_folder(const char *a, const char *b)
{
    check_same_file(a, b, "samples.jsonl");
    check_same_file(a, b, "samples.h5");
    check_same_file(a, b, "summary.json");
}

/* Shards partition the rows; written, read back in another order and joined they are the whole, but for the
 * seconds, which add up. */
static void check_shards(int64_t n_rows, int n_shards)
{
    fv_report whole = make_report(n_rows, 1, 1), shards[8], merged;
    const char *names[8];
    char name[8][16];
    whole.seconds = 0.5 * n_shards;
    assert_ok(fv_report_write(&whole, temp_folder("whole")));
    for (int i = 0; i < n_shards; i++) {
        fv_report part = make_report(n_rows, (i + 1) % n_shards + 1, n_shards);
        snprintf(name[i], sizeof name[i], "part%d", i);
        names[i] = name[i];
        assert_ok(fv_report_write(&part, temp_folder(name[i])));
        assert_ok(fv_report_load(temp_path(name[i]), &shards[i]));
        fv_report_fini(&part);
    }
    assert_ok(fv_report_merge(shards, names, n_shards, &merged));
    assert_ok(fv_report_write(&merged, temp_folder("merged")));
    check_same_folder("whole", "merged");
    for (int i = 0; i < n_shards; i++)
        fv_report_fini(&shards[i]);
    fv_report_fini(&merged);
    fv_report_fini(&whole);
}

static void test_shards(void **state)
{
    (void)state;
    for (int n_shards = 1; n_shards <= 4; n_shards++)
        for (int64_t n_rows = n_shards; n_rows < 10; n_rows += 2)
            check_shards(n_rows, n_shards);
}

/* Rows that are left out are nobody's, also where a shard has no other. */
static void test_rows_left_out(void **state)
{
    (void)state;
    static const uint64_t kept[] = {0, 2, 4, 5};
    const fv_rows rows = {.kept = (uint64_t *)kept, .n = 4, .n_left_out = 3};
    fv_report shards[3], merged;
    const char *const names[] = {"one", "two", "three"};
    for (int i = 0; i < 3; i++) {
        fv_report all = make_report(7, i + 1, 3), *shard = &shards[i];
        *shard = all;
        shard->n = 0;
        for (size_t r = 0; r < all.n; r++)
            if (fv_rows_has(&rows, all.records[r].row))
                shard->records[shard->n++] = all.records[r];
            else
                fv_record_fini(&all.records[r]);
        assert_ok(fv_report_leave_out(shard, &rows, 7));
        assert_int_equal(fv_report_left_out(shard), 3);
    }
    assert_ok(fv_report_merge(shards, names, 3, &merged));
    assert_int_equal(merged.n, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(merged.records[i].row, kept[i]);
    fv_report_fini(&merged);
    for (int i = 0; i < 3; i++)
        fv_report_fini(&shards[i]);
}

static void refuse(fv_report *a, fv_report *b, const char *sentence)
{
    fv_report shards[] = {*a, *b}, merged;
    const char *const names[] = {"one", "two"};
    assert_fails(fv_report_merge(shards, names, 2, &merged), FV_ERR_ARGUMENT, sentence);
    assert_int_equal(merged.n, 0);
}

static void test_shards_that_do_not_fit(void **state)
{
    (void)state;
    fv_report first = make_report(9, 1, 2), second = make_report(9, 2, 2), other = make_report(9, 2, 3);
    refuse(&first, &first, "one and two are both shard 1/2");
    refuse(&first, &other, "one is one of 2 shards, two one of 3");
    other.n_shards = 2;
    refuse(&first, &other, "two: its 3 samples are not the 4 rows of shard 2/2");
    other.n_shards = 3;
    refuse(&other, &other, "are both shard 2/3");
    second.records[3].row = 5;
    refuse(&first, &second, "two: its 4 samples are not the 4 rows");
    second.records[3].row = 7;
    assert_ok(fv_json_set(second.settings, "mode", fv_json_make_string("low", 3)));
    refuse(&first, &second, "\"mode\" is absent in one, \"low\" in the other");
    refuse(&second, &first, "\"mode\" is \"low\" in one, absent in the other");
    fv_report alone, shard = make_report(9, 2, 3);
    const char *const names[] = {"one"};
    assert_fails(fv_report_merge(&shard, names, 1, &alone), FV_ERR_ARGUMENT, "shard 1/3 is missing");
    fv_report_fini(&shard);
    fv_report_fini(&first);
    fv_report_fini(&second);
    fv_report_fini(&other);
}

static void test_bad_summaries(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"{\"format\": 3, \"model\": \"m\", \"data\": \"d\", \"settings\": {}, \"shard\": \"3/2\", "
         "\"seconds\": 1}",
         "\"shard\" is \"3/2\""},
        {"{\"format\": 3, \"model\": \"m\", \"data\": \"d\", \"settings\": {}, \"shard\": \"1/2x\", "
         "\"seconds\": 1}",
         "\"shard\" is \"1/2x\""},
        {"{\"format\": 3, \"model\": \"m\", \"data\": \"d\", \"shard\": \"1/2\", \"seconds\": 1}",
         "\"settings\" is missing"},
        {"{\"format\": 3, \"model\": \"m\", \"data\": \"d\", \"settings\": {}, \"shard\": \"1/2\"}",
         "seconds"},
        {"{\"model\": \"m\"}", "format 1, this program reads 3: evaluate again"},
        {"{\"format\": 4}", "format 4, this program reads 3"},
        {"{\"model\": \"m\"", "summary.json"}};
    fv_report report;
    temp_folder("bad");
    for (int i = 0; i < 7; i++) {
        temp_write("bad/summary.json", bad[i][0]);
        assert_fails(fv_report_load(temp_path("bad"), &report), FV_ERR_FORMAT, bad[i][1]);
        assert_null(report.model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_record_of_an_answer),
        cmocka_unit_test(test_lines_come_back),
        cmocka_unit_test(test_several_answers),
        cmocka_unit_test(test_bad_lines),
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_nothing_to_divide_by),
        cmocka_unit_test(test_shards),
        cmocka_unit_test(test_rows_left_out),
        cmocka_unit_test(test_shards_that_do_not_fit),
        cmocka_unit_test(test_bad_summaries),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
