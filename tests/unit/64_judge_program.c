/* An external program as a judge: one that is well, and such as end, hang, talk nonsense or are not there. */
#include "judge_case.h"

#include "fovea/clock.h"
#include "fovea/judge_program.h"

#include <stdlib.h>

#define ID "s/.*\"id\": \\([0-9]*\\),"
/* Right if the answer is good, null if it is odd, else wrong; 1/4 if it is half. */
#define SED                                                             \
    "sed -u -e '" ID ".*good.*/{\"id\": \\1, \"score\": 1}/;t' -e '" ID \
    ".*odd.*/{\"id\": \\1, \"score\": null}/;t' "                       \
    "-e '" ID ".*half.*/{\"score\": 0.25, \"id\": \\1}/;t' -e '" ID ".*/{\"id\": \\1, \"score\": 0}/'"

static fv_judge *create(const char *command, double deadline_s)
{
    fv_judge *judge;
    const fv_judge_program_settings settings = {
        .command = command, .in_flight = 10, .deadline_s = deadline_s, .tries = 3};
    assert_ok(fv_judge_program_create(&settings, &judge));
    return judge;
}

static void check_outcomes(fv_judge *judge, int n)
{
    static const char *const answers[] = {"good", "bad", "odd", "good \"\n\\ \x01 \xff"};
    static const char *const expected[] = {"right", "wrong", "unclear", "right"};
    judged *j = calloc((size_t)n, sizeof *j);
    assert_non_null(j);
    for (int i = 0; i < n; i++) {
        judged_ask(judge, &j[i], answers[i % 4], "7");
        assert_ok(fv_judge_poll(judge, 0));
    }
    assert_ok(fv_judge_collect(judge));
    for (int i = 0; i < n; i++)
        assert_string_equal(judged_outcome(&j[i]), expected[i % 4]);
    free(j);
}

static void test_a_program(void **state)
{
    (void)state;
    fv_judge_counts counts;
    judged half;
    fv_judge *judge = create(SED, 20);
    check_outcomes(judge, 400);
    judged_ask(judge, &half, "half", "7");
    assert_ok(fv_judge_collect(judge));
    assert_true(half.verdict.has_verdict && half.verdict.score == 0.25);
    fv_judge_take_counts(judge, &counts);
    assert_int_equal(counts.n_asked, 401);
    assert_int_equal(counts.n_tries, 401);
    judged_ask(judge, &half, "good", "7");
    assert_ok(fv_judge_poll(judge, 0));
    fv_judge_destroy(judge); /* with a case pending */
}

/* Several accepted answers arrive as a list. */
static void test_several_answers(void **state)
{
    (void)state;
    judged one, two;
    fv_judge *judge = create("sed -u -e '" ID
                             ".*\"truth\": \\[\"7\", \"seven\"\\]}.*/{\"id\": \\1, \"score\": 1}/;t' -e '" ID
                             ".*\"truth\": \"7\"}.*/{\"id\": \\1, \"score\": 0}/'",
                             20);
    judged_ask_several(judge, &two, "x", "7\0seven", 7);
    judged_ask(judge, &one, "x", "7");
    assert_ok(fv_judge_collect(judge));
    assert_string_equal(judged_outcome(&two), "right");
    assert_string_equal(judged_outcome(&one), "wrong");
    fv_judge_destroy(judge);
}

static void test_one_that_ends_again_and_again(void **state)
{
    (void)state;
    fv_judge *judge = create(
        "n=0; while [ $n -lt 12 ] && read -r line; do n=$((n + 1)); printf '%s\\n' \"$line\" | " SED "; done",
        20);
    check_outcomes(judge, 100);
    fv_judge_destroy(judge);
}

static void refuse(const char *command, double deadline_s, const char *part)
{
    judged j[4];
    fv_judge *judge = create(command, deadline_s);
    for (int i = 0; i < 4; i++)
        judged_ask(judge, &j[i], "good", "7");
    fv_err err = fv_judge_collect(judge);
    for (int i = 0; err == FV_OK && i < 4; i++)
        assert_string_equal(judged_outcome(&j[i]), part);
    judged_ask(judge, &j[0], "good", "7");
    assert_fails(fv_judge_collect(judge), FV_ERR_IO, "was started 3 times and gave no verdict");
    fv_judge_destroy(judge);
}

static void test_programs_that_are_none(void **state)
{
    (void)state;
    double from = fv_clock_now();
    refuse("exit 3", 20, "unreachable");
    refuse("exec /nowhere 2>/dev/null", 20, "unreachable");
    refuse("sed -u 's/.*/hello/'", 20, "garbled");
    refuse("sed -u 's/.*/{\"id\": 999, \"score\": 1}/'", 20, "garbled");
    refuse("sed -u 's/.*/{\"id\": 1, \"score\": 2}/'", 20, "garbled");
    refuse("cat >/dev/null", 0.1, "late");
    refuse("head -c 3000000 /dev/zero; cat >/dev/null", 20, "garbled");
    assert_true(fv_clock_now() - from < 15);
}

static void test_what_it_started_ends_with_it(void **state)
{
    (void)state;
    fv_judge *judge = create("sleep 1234567 & cat >/dev/null", 0.2);
    judged j;
    judged_ask(judge, &j, "good", "7");
    assert_ok(fv_judge_poll(judge, 0.05));
    fv_judge_destroy(judge);
    assert_int_not_equal(system("pgrep -f 'sleep 123456[7]' >/dev/null"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_program), cmocka_unit_test(test_several_answers),
        cmocka_unit_test(test_one_that_ends_again_and_again), cmocka_unit_test(test_programs_that_are_none),
        cmocka_unit_test(test_what_it_started_ends_with_it)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
