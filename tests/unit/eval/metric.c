/* Metrics over records: figures worked by hand. */
#include "test.h"

#include "fovea/eval/metric.h"

#include <math.h>
#include <stdlib.h>

typedef struct told {
    const char *source, *group, *truth, *reading;
    double score; /* below 0: no verdict */
} told;

static fv_results fold(fv_metric metric, double scale, const told *all, size_t n)
{
    fv_record *records = calloc(n + 1, sizeof *records);
    fv_results out;
    for (size_t i = 0; i < n; i++)
        records[i] = (fv_record){.row = i,
                                 .source = (char *)all[i].source,
                                 .group = (char *)all[i].group,
                                 .truth = (char *)all[i].truth,
                                 .reading = (char *)all[i].reading,
                                 .has_verdict = all[i].score >= 0,
                                 .score = all[i].score};
    assert_ok(fv_metric_fold(metric, scale, records, n, &out));
    free(records);
    return out;
}
#define FOLD(metric, scale, cases) fold(metric, scale, cases, sizeof(cases) / sizeof(cases)[0])

static void check(fv_results *results, const char *const *names, const double *values, size_t n)
{
    assert_int_equal(results->n, n);
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(results->items[i].name, names[i]);
        double found = results->items[i].value;
        if (!(isnan(values[i]) && isnan(found)) && !(fabs(found - values[i]) < 1e-9))
            fail_msg("%s is %g, not %g", names[i], found, values[i]);
    }
    fv_results_fini(results);
}

static void test_mean(void **state)
{
    (void)state;
    static const told all[] = {
        {"a", .score = 1}, {"b", .score = 0.25}, {"a", .score = -1}, {"b", .score = 0}};
    fv_results r = FOLD(FV_METRIC_MEAN, 100, all);
    assert_int_equal(r.n_left_out, 1);
    check(&r, (const char *[]){"score"}, (double[]){100 * 1.25 / 3}, 1);
    r = fold(FV_METRIC_MEAN, 1, all, 0);
    check(&r, (const char *[]){"score"}, (double[]){NAN}, 1);
}

/* Truths of yes: 4, found: 2. Answers of yes: 3, right: 2. Right in all: 3 of 6. */
static void test_yes_no(void **state)
{
    (void)state;
    static const told all[] = {
        {"", NULL, "Yes", "yes", 1},     {"", NULL, "yes", "yes", 1}, {"", NULL, "yes", "no", 0},
        {"", NULL, "yes", "neither", 0}, {"", NULL, "no", "yes", 0},  {"", NULL, "No", "no", 1},
        {"", NULL, "no", "yes", -1},
    };
    static const char *const names[] = {"f1", "accuracy", "precision", "recall", "yes_ratio"};
    fv_results r = FOLD(FV_METRIC_YES_NO, 1, all);
    assert_int_equal(r.n_left_out, 1);
    check(&r, names, (double[]){2 * 2.0 / (3 + 4), 0.5, 2.0 / 3, 0.5, 0.5}, 5);
    static const told none[] = {{"", NULL, "no", "no", 1}};
    r = FOLD(FV_METRIC_YES_NO, 1, none);
    check(&r, names, (double[]){NAN, 1, NAN, NAN, 0}, 5);
}

static void test_yes_no_of_other_scorers(void **state)
{
    (void)state;
    fv_record record = {.row = 7, .truth = "yes", .has_verdict = 1};
    fv_results out;
    assert_fails(fv_metric_fold(FV_METRIC_YES_NO, 1, &record, 1, &out), FV_ERR_FORMAT,
                 "row 7: the metric yes_no needs a scorer that reads yes or no: pope or mme");
    record.reading = "B";
    assert_fails(fv_metric_fold(FV_METRIC_YES_NO, 1, &record, 1, &out), FV_ERR_FORMAT,
                 "row 7 was read as \"B\"; the metric yes_no needs");
    assert_true(out.n == 0 && !out.items);
}

/* OCR: a pair twice right, one once right: 75 + 50. code_reasoning: one pair, none right: 0; and one that is
 * not whole, one with an answer that is not judged, one of three. */
static void test_pairs(void **state)
{
    (void)state;
    static const told all[] = {
        {"OCR", "1", .score = 1},
        {"code_reasoning", "1", .score = 0},
        {"OCR", "2", .score = 0},
        {"OCR", "1", .score = 1},
        {"code_reasoning", "1", .score = 0},
        {"OCR", "2", .score = 1},
        {"code_reasoning", "2", .score = 1},
        {"code_reasoning", "3", .score = 1},
        {"code_reasoning", "3", .score = -1},
        {"OCR", "3", .score = 1},
        {"OCR", "3", .score = 1},
        {"OCR", "3", .score = 1},
        {"count", "1", .score = 1},
    };
    static const char *const names[] = {"score", "perception", "cognition", "OCR", "code_reasoning", "count"};
    fv_results r = FOLD(FV_METRIC_PAIRS, 100, all);
    assert_int_equal(r.n_left_out, 7);
    check(&r, names, (double[]){125, 125, 0, 125, 0, NAN}, 6);
}

/* Questions 5 (right in both), 6 (wrong once), 7 (alone), 8 (not judged once). */
static void test_circular(void **state)
{
    (void)state;
    static const told all[] = {
        {"a", "5", .score = 1},        {"a", "6", .score = 1}, {"b", "1000005", .score = 1},
        {"b", "2000006", .score = 0},  {"b", "7", .score = 1}, {"b", "8", .score = 1},
        {"b", "1000008", .score = -1},
    };
    fv_results r = FOLD(FV_METRIC_CIRCULAR, 100, all);
    assert_int_equal(r.n_left_out, 2);
    check(&r, (const char *[]){"score"}, (double[]){100 * 2.0 / 3}, 1);
}

/* Row 0: one of four is right; row 1: all, but one without a verdict; row 2: two, and most say the wrong. */
static void test_samples(void **state)
{
    (void)state;
    static const struct {
        uint64_t row;
        const char *reading;
        double score;
    } samples[] = {{0, "a", 0}, {0, "b", 1},  {0, "c", 0}, {0, "a", 0}, {1, "d", 1}, {1, "d", 1},
                   {1, "d", 1}, {1, "x", -1}, {2, "e", 1}, {2, "f", 0}, {2, "f", 0}, {2, "g", 1}};
    fv_record records[12];
    fv_results r;
    for (size_t i = 0; i < 12; i++) /* in no order */
        records[(i * 5) % 12] = (fv_record){.row = samples[i].row,
                                            .sample = (int)i % 4,
                                            .source = "s",
                                            .truth = "t",
                                            .reading = (char *)samples[i].reading,
                                            .has_verdict = samples[i].score >= 0,
                                            .score = samples[i].score};
    assert_ok(fv_metric_fold(FV_METRIC_MEAN, 1, records, 12, &r));
    static const char *const names[] = {"score", "pass@2", "pass@4", "majority"};
    const double pass2 = ((1 - 3 / 6.0) + 1 + (1 - 1 / 6.0)) / 3;
    check(&r, names, (double[]){6 / 11.0, pass2, 1, (0 + 1 + 0) / 3.0}, 4);
}

/* Samples of a pair are pairs of their own. */
static void test_samples_of_pairs(void **state)
{
    (void)state;
    fv_record records[4];
    fv_results r;
    for (int i = 0; i < 4; i++)
        records[i] = (fv_record){.row = (uint64_t)i / 2,
                                 .sample = i % 2,
                                 .source = "OCR",
                                 .group = "g",
                                 .has_verdict = 1,
                                 .score = i != 3};
    assert_ok(fv_metric_fold(FV_METRIC_PAIRS, 100, records, 4, &r));
    assert_true(r.n_left_out == 0 && r.items[0].value == 125); /* 200 and 50 */
    fv_results_fini(&r);
}

static void test_texts(void **state)
{
    (void)state;
    static const told all[] = {{"OCR\n", "1", .score = -1}, {"OCR\n", "1", .score = 1}};
    fv_results r = FOLD(FV_METRIC_PAIRS, 100, all);
    fv_buffer text = {0};
    fv_json *object = fv_json_make_object();
    assert_ok(fv_results_print(&r, &text));
    assert_non_null(strstr(text.data, "\nOCR\\n                                             -\n"));
    assert_non_null(strstr(text.data, "answers that no figure counts: 2\n"));
    assert_ok(fv_results_set(&r, object));
    const fv_json *figures = fv_json_get(object, "figures");
    assert_int_equal(fv_json_kind_of(fv_json_get(figures, "OCR\n")), FV_JSON_NULL);
    assert_int_equal(fv_json_size(figures), 4);
    fv_json_destroy(object);
    fv_buffer_fini(&text);
    fv_results_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mean),
        cmocka_unit_test(test_yes_no),
        cmocka_unit_test(test_yes_no_of_other_scorers),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_circular),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_samples),
        cmocka_unit_test(test_samples_of_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
