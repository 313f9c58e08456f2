/* The grammar of verdicts: a table of replies. R right, W wrong, else the reason for none. */
#include "test.h"

#include "fovea/reward/verdict.h"

#define R "right"
#define W "wrong"

typedef struct reply {
    const char *text, *expected;
} reply;

static const char *outcome(fv_grammar grammar, fv_slice text)
{
    fv_verdict v = fv_verdict_parse(grammar, text);
    return !v.has_verdict ? fv_unjudged_name(v.why) : v.score == 1 ? R : v.score == 0 ? W : "another score";
}

static void check(fv_grammar grammar, const reply *replies, size_t n)
{
    int n_bad = 0;
    for (size_t i = 0; i < n; i++) {
        const char *found = outcome(grammar, fv_slice_of(replies[i].text));
        if (strcmp(found, replies[i].expected) == 0)
            continue;
        n_bad++;
        print_error("\"%s\" is %s, expected %s\n", replies[i].text, found, replies[i].expected);
    }
    assert_int_equal(n_bad, 0);
}

static void test_scores(void **state)
{
    (void)state;
    static const reply replies[] = {
        {"Score: 1", R},
        {"Score: 0", W},
        {"score:1", R},
        {"SCORE = 0", W},
        {"  Score : 1  \n", R},
        {"**Score**: 1", R},
        {"**Score:** 0", W},
        {"**Score: 1**", R},
        {"### Score: 1", R},
        {"> Score: `0`", W},
        {"_Final score_: 1.", R},
        {"Final Score: **0**", W},
        {"Score: \"1\"", R},
        {"Score: 1 (the same number)", R},
        {"The answers agree.\n\nScore: 1", R},
        {"Score: 1\nThe answers agree.", R},
        {"Score: 1\r\nReason: equal", R},
        {"Score: 1\n...\nFinal score: 1", R},
        {"{\"score\": 1}", R},
        {"{\"reason\": \"not 10 but 11\", \"score\": 0}", W},
        {"```json\n{\"score\": 1}\n```", R},
        {"```\n{\n  \"score\": 0,\n  \"reason\": \"x\"\n}\n```", W},
        {"I compare.\n```json\n{\n  \"score\": 1\n}\n```", R},
        {"<think>Score: 0, or Score: 1?</think>\nScore: 1", R},
        {"<think>a</think><think>b</think>Score: 0", W},
        {"Score: 1\n\xe5\x88\x86\xe6\x95\xb0", R},
        {"Score: 0.0", W},
        {"Score: 1.00.", R},
        {"- Score: 1", R},
        {"* Score: 0", W},
        {"\u2022 **Score:** 1", R},
        {"2. Score: 1", R},
        {"Score: 1, since both say the same.", R},
        {"Score: 1, since 42 is 42.0", R},
        {"Score: 0, because 41 is not 42", W},
        {"Score: 1 because they agree", R},
        {"Score: 1. The answers agree.", R},
        {"Score: 0 - the answer is wrong", W},
        {"Score: 1, since nothing contradicts the truth", "unclear"}, /* not understood, not guessed */
        {"Score: 1, as it does not contradict the truth", R},
        {"Score: 1, no difference", R},
        {"Score: 1,since they match", R},
        {"Score: 1 \u2014 equal", R},
        {"Score: 0. Reason: 7 is not 9", W},
        {"Score: 1 \u2013 0", "unclear"},
        {"Score: 1since", "unclear"},
        {"Score: 1, not 0", "unclear"},
        {"Score\uFF1A1", R},
        {"Score\uFF1A\uFF11", R},
        {"**Score\uFF1A** 0\u3002", W},
        {"Score \u2236 1", R},
        {"Score\uA789 1", R},
        {"Score\u0589 0", W},
        {"1.0", R},
        {"**1**", R},
        {"`0`.", W},
        {" \"1\" \n", R},
        {"I compare them. {\"score\": 1}", R},
        {"I compare {4} and \\frac{1}{2}.\n\n{\"reason\": \"a } in it\", \"score\": 0}\nDone.", W},
        {"Here:\n```json\n{\"score\": 1, \"reason\": \"equal\"}\n```\nThat is all.", R},
        {"{\"Score\": 1}", R},
        {"Score: 1\n{\"score\": 1}", R},
        {"Score: 1\n{\"score\": 0}", "both"},
        {"{\"score\": 1}\nScore: 0", "both"},
        {"It is one of {\"score\": 1} and {\"score\": 0}.", "unclear"},
        {"I think {\"score\": 1", "unclear"},
        {"{\"score\": 1, \"Score\": 0}", "unclear"},
        {"Here: {\"result\": {\"score\": 1}}", "unclear"},
        {"Here:\n{\n  \"score\": 10\n}", "unclear"},
        {"Here:\n{\n  \"score\": 1", "unclear"},
        {"{\"score\": 1.5}", "unclear"},
        {"Score: 1.01", "unclear"},
        {"Score: 1.0.5", "unclear"},
        {"Score: 1.0/1.0", "unclear"},
        {"Score: 1,5", "unclear"},
        {"Score: 1,0", "unclear"},
        {"Score: 1, 0", "unclear"},
        {"Score: 1-0", "unclear"},
        {"Score: 1 - 0", "unclear"},
        {"Score: 1. 0", "unclear"},
        {"Score: 1,000", "unclear"},
        {"Score: 1\uFF10", "unclear"},
        {"Score: 1 (of \uFF11\uFF10)", "unclear"},
        {"Score: 1, or 0", "unclear"},
        {"Score: 1, or maybe zero", "unclear"},
        {"Score: 1, out of ten", "unclear"},
        {"Score: 1, since it may also be 0", "unclear"},
        {"Score: 1, since 1/10 is right", "unclear"},
        {"Score: 1, because 0.", "unclear"},
        {"Score: 1, because \"0\", as said", "unclear"},
        {"Score: 0, because 10 is not 1", "unclear"},
        {"Score: 1, since the answer is wrong", "unclear"},
        {"Score: 1, since they do not agree", "unclear"},
        {"Score: 1 (incorrect)", "unclear"},
        {"Score: 1, as they aren't equal", "unclear"},
        {"Score: 0, since both are equal", "unclear"},
        {"Score: 0, the answer is correct", "unclear"},
        {"Score: 1, but the last digit differs", "unclear"},
        {"Score: 1 if units do not matter", "unclear"},
        {"Score: 1 point", "unclear"},
        {"Score: 1 as 10 points are full", "unclear"},
        {"Score: 1, aber falsch \u2013 0", "unclear"},
        {"1 or 0", "unclear"},
        {"1, since both agree", "unclear"},
        {"1. The answers agree.", "unclear"},
        {"1\n0", "unclear"},
        {"10", "unclear"},
        {"01", "unclear"},
        {"1/1", "unclear"},
        {"1%", "unclear"},
        {"-1", "unclear"},
        {"#1", "unclear"},
        {"> 1", "unclear"},
        {"1)", "unclear"},
        {"Score: 10", "unclear"},
        {"Score: 1.0", R},
        {"Score: 0.5", "unclear"},
        {"Score: 1/1", "unclear"},
        {"Score: 01", "unclear"},
        {"Score: -1", "unclear"},
        {"Score: +1", "unclear"},
        {"Score: 2", "unclear"},
        {"Score: 1 out of 10", "unclear"},
        {"Score: 1 out of ten", "unclear"},
        {"Score: 1 (of 10)", "unclear"},
        {"Score: 1 (open", "unclear"},
        {"Score: 1) (", "unclear"},
        {"Score: 0 or 1", "unclear"},
        {"Score: 1%", "unclear"},
        {"Score: one", "unclear"},
        {"Score:", "unclear"},
        {"Score: \xd9\xa1", "unclear"},
        {"Score 1", "unclear"},
        {"Score: 10\nScore: 1", "unclear"},
        {"Score: 1\nScore: 0", "both"},
        {"Score: 0\nFinal score: 1", "both"},
        {"I would not give Score: 1", "unclear"},
        {"Scores: 1", "unclear"},
        {"Underscore: 1", "unclear"},
        {"1", R},
        {"0", W},
        {"yes", "unclear"},
        {"correct", "unclear"},
        {"[[YES]]", "unclear"},
        {"", "unclear"},
        {"\xe5\x88\x86\xe6\x95\xb0\xef\xbc\x9a"
         "1",
         "unclear"},
        {"\xd0\x9e\xd1\x86\xd0\xb5\xd0\xbd\xd0\xba\xd0\xb0: 1", "unclear"},
        {"Punktzahl: 1", "unclear"},
        {"I'm sorry, but I can't help with that.", "unclear"},
        {"{\"score\": 10}", "unclear"},
        {"{\"score\": 1.0}", R},
        {"{\"score\": \"1\"}", "unclear"},
        {"{\"score\": true}", "unclear"},
        {"{\"score\": null}", "unclear"},
        {"{\"verdict\": 1}", "unclear"},
        {"{\"score\": 1, \"score\": 0}", "unclear"},
        {"{\"result\": {\"score\": 1}}", "unclear"},
        {"{\"score\": 1", "unclear"},
        {"{\"score\": 1} {\"score\": 0}", "unclear"},
        {"<think>Score: 1", "cut"},
        {"</think><think>Score: 1", "cut"},
    };
    check(FV_GRAMMAR_SCORE, replies, sizeof replies / sizeof *replies);
}

static void test_words(void **state)
{
    (void)state;
    static const reply replies[] = {
        {"[[YES]]", R},
        {"[[NO]]", W},
        {"The answer matches: [[YES]].", R},
        {"**[[NO]]**", W},
        {"[[YES]] [[YES]]", R},
        {"<think>[[NO]] at first</think>\n[[YES]]", R},
        {"[[YES]]\n[[NO]]", "both"},
        {"[[NO]] no, [[YES]]", "both"},
        {"[[MAYBE]]", "unclear"},
        {"[[YES]] or [[PERHAPS]]", "unclear"},
        {"[[YES/NO]]", "unclear"},
        {"[[ YES ]]", "unclear"},
        {"[[yes]]", "unclear"},
        {"[[YES", "unclear"},
        {"[YES]", "unclear"},
        {"YES", "unclear"},
        {"Score: 1", "unclear"},
        {"[[\xd0\x94\xd0\x90]]", "unclear"},
        {"[[\xe6\x98\xaf]]", "unclear"},
        {"", "unclear"},
        {"<think>[[YES]]", "cut"},
    };
    check(FV_GRAMMAR_WORDS, replies, sizeof replies / sizeof *replies);
}

static void test_any_bytes(void **state)
{
    (void)state;
    const char bytes[] = "Score: 1\0Score: 0\n\xff\xfe[[YES]]\0";
    fv_slice text = {bytes, sizeof bytes};
    assert_string_equal(outcome(FV_GRAMMAR_SCORE, text), "unclear");
    assert_string_equal(outcome(FV_GRAMMAR_WORDS, text), R);
    assert_string_equal(outcome(FV_GRAMMAR_WORDS, (fv_slice){0}), "unclear");
    assert_string_equal(outcome(FV_GRAMMAR_SCORE, (fv_slice){0}), "unclear");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scores), cmocka_unit_test(test_words),
                                       cmocka_unit_test(test_any_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
