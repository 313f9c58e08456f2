/* The journal of a run: what a power cut or a full disk leaves of it, and who may write it. */
#include "temp_folder.h"

#include "fovea/run/journal.h"

#include <signal.h>
#include <sys/resource.h>

static void be_job(const char *job, const char *restart)
{
    setenv("SLURM_JOB_ID", job, 1);
    setenv("SLURM_RESTART_COUNT", restart, 1);
}

static const fv_buffer config = {.data = "a: 1\n", .size = 5};

static fv_err begin(fv_journal *journal, const fv_lease *lease, uint64_t metrics)
{
    const fv_journal_position position = {metrics, 0};
    return fv_journal_open(journal, lease, temp_path("run"), &config, &position);
}

static fv_err add(fv_journal *journal, int64_t step)
{
    fv_json *figures = fv_json_make_object();
    assert_ok(fv_json_set(figures, "loss", fv_json_make_real(0.5)));
    return fv_journal_metrics(journal, step, figures);
}

static void write_metrics(const char *text, size_t size)
{
    temp_folder("run");
    assert_ok(fv_file_write(temp_path("run/metrics.jsonl"), text, size));
}

static void check_metrics(const char *expected)
{
    fv_file_map map;
    assert_ok(fv_file_open_map(temp_path("run/metrics.jsonl"), &map));
    assert_int_equal(map.size, strlen(expected));
    assert_memory_equal(map.data, expected, map.size);
    fv_file_close_map(&map);
}

static double last_loss(void)
{
    fv_json *first, *last;
    double loss = -1;
    assert_ok(fv_journal_figures(temp_path("run"), &first, &last));
    if (fv_json_get(last, "loss"))
        assert_ok(fv_json_get_real(last, "loss", &loss));
    fv_json_destroy(first);
    fv_json_destroy(last);
    return loss;
}

#define WHOLE "{\"loss\": 1.0, \"step\": 1}\n"
#define ADDED "{\"loss\": 0.5, \"step\": 2}\n"

static void test_what_is_left_of_lines(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t size;
    } cases[] = {
#define CASE(text) {text, sizeof text - 1}
        CASE(WHOLE "{\"loss\": 3"),         CASE(WHOLE "{\"loss\": 3, \"a\": \"\xc3"),
        CASE(WHOLE "\0\0\0\0\0\0"),         CASE("\0\0\0\0\n" WHOLE),
        CASE("{\"a\": \"\xe2\x82\n" WHOLE), CASE("{\"loss\": {\"loss\": 4}\n" WHOLE "\n7\nnull\n"),
        CASE(WHOLE "{\"loss\"\0: 5}\n"),    CASE("\n" WHOLE "\xff\xff"),
    };
    be_job("1", "0");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fv_lease lease;
        fv_journal journal;
        write_metrics(cases[i].text, cases[i].size);
        assert_true(last_loss() == 1);
        assert_ok(fv_lease_take(temp_path("run"), &lease));
        assert_ok(begin(&journal, &lease, cases[i].size + 9 * (i % 2)));
        check_metrics(WHOLE);
        assert_ok(add(&journal, 2));
        assert_int_equal(fv_journal_position_of(&journal).metrics, strlen(WHOLE ADDED));
        assert_ok(fv_journal_close(&journal, 1));
        check_metrics(WHOLE ADDED);
        assert_true(last_loss() == 0.5);
        fv_lease_release(&lease);
    }
}

/* What was written after the checkpoint goes; a file that is gone is no reason to end. */
static void test_beginning(void **state)
{
    (void)state;
    fv_lease lease;
    fv_journal journal;
    be_job("1", "0");
    write_metrics(WHOLE ADDED, strlen(WHOLE ADDED));
    assert_ok(fv_lease_take(temp_path("run"), &lease));
    assert_ok(begin(&journal, &lease, strlen(WHOLE)));
    check_metrics(WHOLE);
    assert_ok(fv_journal_close(&journal, 1));
    assert_int_equal(remove(temp_path("run/metrics.jsonl")), 0);
    assert_ok(begin(&journal, &lease, strlen(WHOLE)));
    check_metrics("");
    assert_ok(fv_journal_close(&journal, 1));
    fv_lease_release(&lease);
}

/* Taken over before it opens its journal, or after: nothing that it does is seen. */
static void test_a_copy_that_was_taken_over(void **state)
{
    (void)state;
    fv_lease old, young;
    fv_journal late, early, journal;
    write_metrics(WHOLE, strlen(WHOLE));
    be_job("9", "0");
    assert_ok(fv_lease_take(temp_path("run"), &old));
    assert_ok(begin(&early, &old, strlen(WHOLE)));
    be_job("9", "1");
    assert_ok(fv_lease_take(temp_path("run"), &young));
    assert_ok(begin(&journal, &young, strlen(WHOLE)));
    assert_fails(begin(&late, &old, 0), FV_ERR_ARGUMENT, "(job 9, restart 1)");
    assert_null(late.folder);
    (void)add(&early, 7);
    check_metrics(WHOLE);
    assert_ok(add(&journal, 2));
    check_metrics(WHOLE ADDED);
    (void)fv_journal_close(&early, 0);
    assert_ok(fv_journal_close(&journal, 1));
    fv_lease_release(&old);
    fv_lease_release(&young);
    check_metrics(WHOLE ADDED);
}

static void limit_files(rlim_t bytes)
{
    const struct rlimit limit = {bytes, RLIM_INFINITY};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A disk that is full at the start, and again later. */
static void test_a_full_disk(void **state)
{
    (void)state;
    fv_lease lease;
    fv_journal journal;
    signal(SIGXFSZ, SIG_IGN);
    be_job("1", "0");
    write_metrics(WHOLE, strlen(WHOLE));
    remove(temp_path("run/config.yaml"));
    assert_ok(fv_lease_take(temp_path("run"), &lease));
    limit_files(0);
    assert_ok(begin(&journal, &lease, strlen(WHOLE)));
    limit_files(RLIM_INFINITY);
    check_metrics(WHOLE);
    assert_false(fv_file_exists(temp_path("run/config.yaml")));
    assert_ok(add(&journal, 2));
    check_metrics(WHOLE ADDED);
    assert_true(fv_file_exists(temp_path("run/config.yaml")));
    limit_files(strlen(WHOLE ADDED) + 5); /* a part of a line */
    assert_ok(add(&journal, 2));
    check_metrics(WHOLE ADDED);
    assert_int_equal(fv_journal_position_of(&journal).metrics, strlen(WHOLE ADDED ADDED));
    limit_files(RLIM_INFINITY);
    assert_ok(fv_journal_close(&journal, 1));
    check_metrics(WHOLE ADDED ADDED);
    fv_lease_release(&lease);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_left_of_lines), cmocka_unit_test(test_beginning),
        cmocka_unit_test(test_a_copy_that_was_taken_over), cmocka_unit_test(test_a_full_disk)};
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
