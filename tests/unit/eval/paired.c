/* Intervals, and two evaluations side by side: figures worked by hand. */
#include "test.h"

#include "fovea/eval/paired.h"

#include <math.h>
#include <stdlib.h>

/* A report of n rows; score of a row below 0: no verdict. */
static fv_report make_report(int n, double (*score)(int row), const char *mode)
{
    fv_report report = {.model = strdup("m"), .data = strdup("d"), .shard = 1, .n_shards = 1};
    report.settings = fv_json_make_object();
    assert_ok(fv_json_set_text(report.settings, "data_hash", "1"));
    assert_ok(fv_json_set_text(report.settings, "mode", mode));
    for (int i = 0; i < n; i++) {
        fv_record record = {.row = (uint64_t)i,
                            .source = strdup("s"),
                            .question = strdup("q"),
                            .truth = strdup("t"),
                            .has_verdict = score(i) >= 0,
                            .score = score(i)};
        record.counts[FV_COUNT_TURNS] = 1;
        assert_ok(fv_buffer_print(&record.turns[0], "%s says %d", mode, i));
        assert_ok(fv_report_add(&report, &record));
    }
    return report;
}

static void set_task(fv_report *report, const char *metric)
{
    assert_ok(fv_json_set_text(report->settings, "task", "t"));
    assert_ok(fv_json_set_text(report->settings, "metric", metric));
    assert_ok(fv_json_set(report->settings, "scale", fv_json_make_real(100)));
}

static double half(int row)
{
    return row % 2;
}

static double all(int row)
{
    (void)row;
    return 1;
}

/* Of 100 rows: 0 to 8 right here alone, 9 there alone, 10 to 49 in both; 99 without a verdict here. */
static double first(int row)
{
    return row == 99 ? -1 : row < 9 || (row >= 10 && row < 50);
}

static double second(int row)
{
    return row >= 9 && row < 50;
}

/* The deviation of the mean of 400 answers, half of them right, is 2.5 %; 95 % lie within 1.96 of it. */
static void test_interval_of_a_mean(void **state)
{
    (void)state;
    fv_report report = make_report(400, half, "low");
    fv_results r, again;
    set_task(&report, "mean");
    assert_ok(fv_report_results(&report, &r));
    assert_true(r.has_interval && r.items[0].value == 50);
    assert_true(fabs(r.low - 45.1) < 0.8 && fabs(r.high - 54.9) < 0.8);
    assert_ok(fv_report_results(&report, &again));
    assert_true(again.low == r.low && again.high == r.high);
    fv_results_fini(&r);
    fv_results_fini(&again);
    fv_report_fini(&report);
    report = make_report(10, all, "low");
    set_task(&report, "mean");
    assert_ok(fv_report_results(&report, &r));
    assert_true(r.low == 100 && r.high == 100);
    fv_results_fini(&r);
    report.n = 1;
    assert_ok(fv_report_results(&report, &r));
    assert_false(r.has_interval);
    fv_results_fini(&r);
    report.n = 10;
    fv_report_fini(&report);
}

/* Strata are drawn from by themselves: two categories of which one is always right and one never do not vary.
 */
static void test_interval_of_strata(void **state)
{
    (void)state;
    static const fv_unit units[] = {
        {0, "a", 200, 1}, {1, "a", 200, 1}, {2, "b", 0, 1}, {3, "b", 0, 1}, {4, "b", 0, 1}};
    static const fv_unit others[] = {
        {0, "a", 150, 1}, {1, "a", 150, 1}, {2, "b", 30, 1}, {3, "b", 30, 1}, {4, "b", 30, 1}};
    const fv_unit *const sides[] = {units, others};
    double low, high;
    assert_ok(fv_units_interval(sides, 1, 5, &low, &high));
    assert_true(low == 200 && high == 200);
    assert_ok(fv_units_interval(sides, 2, 5, &low, &high));
    assert_true(low == -20 && high == -20);
}

static void test_two_evaluations(void **state)
{
    (void)state;
    fv_report a = make_report(100, first, "low"), b = make_report(100, second, "high");
    const fv_report *const reports[] = {&a, &b};
    const char *const names[] = {"a", "b"};
    fv_paired p;
    fv_buffer text = {0};
    assert_ok(fv_paired_init(&p, reports, names));
    assert_true(p.both == 40 && p.first == 9 && p.second == 1 && p.neither == 49);
    assert_true(fabs(p.p - 2 * (1 + 10) / 1024.0) < 1e-12);
    assert_true(fabs(p.results[0].items[0].value - 49 / 99.0) < 1e-12);
    assert_true(fabs(p.results[1].items[0].value - 0.41) < 1e-12);
    assert_true(p.low < -8 / 99.0 && p.high > -8 / 99.0 && p.low > -0.2 && p.high < 0.02);
    fv_paired_fini(&p);
    assert_ok(fv_paired_print_settings(reports, &text));
    assert_string_equal(text.data, "mode: \"low\", \"high\"\n");
    fv_buffer_fini(&text);
    assert_ok(fv_paired_print_changed(reports, &text));
    int n = 0;
    for (const char *at = text.data; (at = strchr(at, '\n')); at++)
        n++;
    assert_int_equal(n, 10);
    assert_non_null(strstr(text.data,
                           "{\"row\": 9, \"source\": \"s\", \"scores\": [0.0, 1.0], \"answers\": [\"low says "
                           "9\", \"high says 9\"], \"truth\": \"t\"}\n"));
    fv_buffer_fini(&text);
    fv_report_fini(&a);
    fv_report_fini(&b);
}

static void test_equal_ones(void **state)
{
    (void)state;
    fv_report a = make_report(100, first, "low"), b = make_report(100, first, "low");
    const fv_report *const reports[] = {&a, &b};
    const char *const names[] = {"a", "b"};
    fv_paired p;
    assert_ok(fv_paired_init(&p, reports, names));
    assert_true(p.p == 1 && p.first == 0 && p.second == 0 && p.low == 0 && p.high == 0);
    fv_paired_fini(&p);
    fv_report_fini(&a);
    fv_report_fini(&b);
}

static void test_refused(void **state)
{
    (void)state;
    fv_report a = make_report(4, all, "low"), b = make_report(3, all, "low");
    const fv_report *const reports[] = {&a, &b};
    const char *const names[] = {"a", "b"};
    fv_paired p;
    assert_fails(fv_paired_init(&p, reports, names), FV_ERR_ARGUMENT, "a has 4 samples, b 3");
    a.records[3].row = 9;
    b.records[2].row = 5;
    b.n_shards = 2;
    assert_fails(fv_paired_init(&p, reports, names), FV_ERR_ARGUMENT,
                 "b is shard 1/2: merge the shards first");
    b.n_shards = 1;
    fv_record record = {.row = 9, .source = strdup("s"), .question = strdup("q"), .truth = strdup("t")};
    assert_ok(fv_report_add(&b, &record));
    assert_fails(fv_paired_init(&p, reports, names), FV_ERR_ARGUMENT, "a has row 2 where b has 5");
    assert_ok(fv_json_set_text(b.settings, "data_hash", "2"));
    assert_fails(fv_paired_init(&p, reports, names), FV_ERR_ARGUMENT,
                 "a and b are not of one evaluation: \"data_hash\" is \"1\" in one, \"2\" in the other");
    fv_report_fini(&a);
    fv_report_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interval_of_a_mean),
        cmocka_unit_test(test_interval_of_strata),
        cmocka_unit_test(test_two_evaluations),
        cmocka_unit_test(test_equal_ones),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
