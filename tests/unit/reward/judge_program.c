/* An external program as a judge: one that is well, and such as end, hang, talk nonsense or are not there. */
#include "judge_case.h"
#include "temp_folder.h"

#include "fovea/base/process/child.h"
#include "fovea/reward/judge/judge_program.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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
    fv_judge *judge = create(SED, 600);
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
                             600);
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
        600);
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
    refuse("exit 3", 600, "unreachable");
    refuse("exec /nowhere 2>/dev/null", 600, "unreachable");
    refuse("sed -u 's/.*/hello/'", 600, "garbled");
    refuse("sed -u 's/.*/{\"id\": 999, \"score\": 1}/'", 600, "garbled");
    refuse("sed -u 's/.*/{\"id\": 1, \"score\": 2}/'", 600, "garbled");
    refuse("cat >/dev/null", 0.1, "late");
    refuse("head -c 3000000 /dev/zero; cat >/dev/null", 600, "garbled");
}

/* Programs hold the other end of a pipe with a name as long as they live: its end is theirs. */

static int open_life(const char *name)
{
    assert_int_equal(mkfifo(temp_path(name), 0600), 0);
    int life = open(temp_path(name), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(life >= 0);
    assert_int_equal(fcntl(life, F_SETFL, 0), 0);
    return life;
}

/* A program, with one of its own beside it, that holds the pipe and says so. */
static fv_child *start_holder(const char *name)
{
    char command[4096];
    fv_child *child;
    snprintf(command, sizeof command,
             "exec 9>'%s'; sleep 1234567 & echo ready >&9; echo ready; cat >/dev/null", temp_path(name));
    assert_ok(fv_child_start(command, &child));
    return child;
}

static void wait_for_end(int life)
{
    char text[16];
    assert_int_equal(read(life, text, sizeof text), strlen("ready\n"));
    assert_int_equal(read(life, text, sizeof text), 0);
    close(life);
}

static void wait_for_word(fv_child *child)
{
    fv_slice line;
    int is_there = 0;
    while (!is_there) {
        assert_ok(fv_child_move(child, 1));
        assert_ok(fv_child_hear(child, &line, &is_there));
    }
}

static void test_what_it_started_ends_with_it(void **state)
{
    (void)state;
    int life = open_life("ended");
    fv_child *child = start_holder("ended");
    wait_for_word(child);
    fv_child_destroy(child);
    wait_for_end(life);
}

static void test_it_ends_with_its_parent(void **state)
{
    (void)state;
    int life = open_life("orphan"), status;
    pid_t parent = fork();
    if (parent == 0) {
        wait_for_word(start_holder("orphan"));
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(parent, &status, 0), parent);
    assert_true(WIFSIGNALED(status));
    wait_for_end(life);
}

/* One line that the program says. */
static const char *said_by(const char *command)
{
    static char text[4096];
    fv_child *child;
    fv_slice line;
    int is_there = 0;
    assert_ok(fv_child_start(command, &child));
    while (!is_there) {
        assert_ok(fv_child_move(child, 1));
        assert_ok(fv_child_hear(child, &line, &is_there));
    }
    snprintf(text, sizeof text, "%.*s", (int)line.size, line.data);
    fv_child_destroy(child);
    return text;
}

static void test_it_inherits_nothing(void **state)
{
    (void)state;
    int open_file = open("/dev/null", O_RDONLY), high = fcntl(open_file, F_DUPFD, 200);
    setenv("OPENAI_API_KEY", "sk-hush", 1);
    setenv("AZURE_API_KEY", "sk-hush", 1);
    setenv("AZURE_OPENAI_API_KEY", "sk-hush", 1);
    setenv("JUDGE_TEST", "there", 1);
    assert_true(open_file > 2 && high >= 200);
    signal(SIGPIPE, SIG_IGN);
    assert_string_equal(said_by("env | grep -c sk-hush"), "0");
    assert_string_equal(said_by("echo $JUDGE_TEST \"a  b\" '$0'"), "there a  b $0");
    assert_string_equal(
        said_by("i=3; while [ $i -lt 256 ] && [ ! -e /proc/$$/fd/$i ]; do i=$((i + 1)); done; echo $i"),
        "256");
    assert_string_equal(said_by("(kill -s PIPE $(exec sh -c 'echo $PPID'); echo ignored); echo ends"),
                        "ends");
    close(open_file);
    close(high);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_program),
                                       cmocka_unit_test(test_several_answers),
                                       cmocka_unit_test(test_one_that_ends_again_and_again),
                                       cmocka_unit_test(test_programs_that_are_none),
                                       cmocka_unit_test(test_what_it_started_ends_with_it),
                                       cmocka_unit_test(test_it_ends_with_its_parent),
                                       cmocka_unit_test(test_it_inherits_nothing)};
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
