/* Judges that need no model, and what stands before one. */
#include "judge_case.h"

static void test_a_verifier(void **state)
{
    (void)state;
    const fv_verifier *verifier;
    fv_judge *judge;
    judged a, b;
    assert_ok(fv_verifier_find("number", &verifier));
    assert_ok(fv_judge_verifier_create(verifier, &judge));
    judged_ask(judge, &a, "7.0", "7");
    judged_ask(judge, &b, "8", "7");
    assert_int_equal(judge->n_pending, 0);
    assert_ok(fv_judge_collect(judge));
    assert_string_equal(judged_outcome(&a), "right");
    assert_string_equal(judged_outcome(&b), "wrong");
    fv_judge_destroy(judge);
}

static void test_prefilter(void **state)
{
    (void)state;
    static const struct {
        const char *answer, *truth, *expected;
        int is_asked;
    } cases[] = {
        {"", "7", "wrong", 0},
        {" \n", "7", "wrong", 0},
        {":", "good", "wrong", 0},
        {"\xe2\x88\x9e", "x", "wrong", 0},
        {"\xef\xbc\x9a", "x", "wrong", 0},
        {" . ", "x", "wrong", 0},
        {"+", "+", "right", 0},
        {"7", "7", "right", 0},
        {"8", "7", "wrong", 1},
        {"x", "7", "wrong", 1},
        {"a good one", "7", "right", 1},
        {"odd", "7", "unclear", 1},
        {"::", "7", "wrong", 1},
    };
    enum { N = sizeof cases / sizeof *cases };
    const fv_verifier *verifier;
    fv_judge *judge;
    fv_judge_counts counts;
    slow_judge inner;
    judged j[N];
    int n_asked = 0;
    assert_ok(fv_verifier_find("exact", &verifier));
    assert_ok(fv_judge_prefilter_create(verifier, 0, slow_create(&inner), &judge));
    for (int i = 0; i < N; i++) {
        judged_ask(judge, &j[i], cases[i].answer, cases[i].truth);
        n_asked += cases[i].is_asked;
        assert_int_equal(inner.n_asked, n_asked);
    }
    assert_int_equal(judge->n_pending, n_asked);
    assert_ok(fv_judge_collect(judge));
    for (int i = 0; i < N; i++)
        assert_string_equal(judged_outcome(&j[i]), cases[i].expected);
    fv_judge_take_counts(judge, &counts);
    assert_int_equal(counts.n_compared, n_asked - 1); /* of one there was no verdict */
    assert_int_equal(counts.n_agreed, n_asked - 2);
    fv_judge_take_counts(judge, &counts);
    assert_int_equal(counts.n_compared, 0);
    judged_ask(judge, &j[0], "8", "7"); /* destroyed with a case pending */
    fv_judge_destroy(judge);
}

static void test_several_answers(void **state)
{
    (void)state;
    const fv_verifier *verifier;
    fv_judge *judge;
    slow_judge inner;
    judged symbol, right, asked;
    assert_ok(fv_verifier_find("exact", &verifier));
    assert_ok(fv_judge_prefilter_create(verifier, 0, slow_create(&inner), &judge));
    judged_ask_several(judge, &symbol, "+", "plus\0+", 6);
    judged_ask_several(judge, &right, "plus", "+\0plus", 6);
    assert_int_equal(inner.n_asked, 0);
    judged_ask_several(judge, &asked, "good", "+\0plus", 6);
    assert_int_equal(inner.n_asked, 1);
    assert_ok(fv_judge_collect(judge));
    assert_string_equal(judged_outcome(&symbol), "right");
    assert_string_equal(judged_outcome(&right), "right");
    assert_string_equal(judged_outcome(&asked), "right");
    fv_judge_destroy(judge);
}

static void test_audit(void **state)
{
    (void)state;
    enum { N = 40 };
    const fv_verifier *verifier;
    fv_judge *judge;
    fv_judge_counts counts;
    slow_judge inner;
    judged j[N];
    char answers[N][16];
    assert_ok(fv_verifier_find("exact", &verifier));
    assert_ok(fv_judge_prefilter_create(verifier, 0.5, slow_create(&inner), &judge));
    for (int i = 0; i < N; i++) {
        snprintf(answers[i], sizeof answers[i], "%d", i);
        judged_ask(judge, &j[i], answers[i], answers[i]);
    }
    assert_ok(fv_judge_collect(judge));
    for (int i = 0; i < N; i++)
        assert_string_equal(judged_outcome(&j[i]), "right"); /* though the judge behind says wrong */
    assert_in_range(inner.n_asked, 10, 30);
    fv_judge_take_counts(judge, &counts);
    assert_int_equal(counts.n_compared, inner.n_asked);
    assert_int_equal(counts.n_agreed, 0);
    fv_judge_destroy(judge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_verifier), cmocka_unit_test(test_prefilter),
                                       cmocka_unit_test(test_several_answers), cmocka_unit_test(test_audit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
