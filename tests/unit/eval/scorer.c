/* Every scorer over cases worked by hand; what is refused. */
#include "test.h"

#include "fovea/eval/scorer.h"

#include <math.h>

static const char four[] =
    "Which?\nA. a red car\nB. a blue car\nC. a bus\nD. none of these\nGive the letter.";

typedef struct scorer_case {
    const char *answer, *truth;
    double score;
    const char *reading; /* NULL: any */
} scorer_case;

typedef struct setting {
    const char *scorer, *question, *category;
} setting;

static void check(setting s, const scorer_case *cases, size_t n)
{
    fv_scorer scorer;
    int n_bad = 0;
    assert_ok(fv_scorer_find(s.scorer, &scorer));
    for (size_t i = 0; i < n; i++) {
        const scorer_case *c = &cases[i];
        const fv_said said = {fv_slice_of(s.question), fv_slice_of(c->answer), fv_slice_of(c->truth),
                              fv_slice_of(s.category)};
        double score = -1;
        fv_buffer reading = {0};
        assert_ok(fv_scorer_score(&scorer, &said, &score, &reading));
        const char *read = reading.data ? reading.data : "";
        if (fabs(score - c->score) > 1e-12 || (c->reading && strcmp(c->reading, read) != 0)) {
            n_bad++;
            print_error("%s: \"%s\" against \"%s\" is %g, not %g, read as \"%s\"\n", s.scorer, c->answer,
                        c->truth, score, c->score, read);
        }
        fv_buffer_fini(&reading);
    }
    assert_int_equal(n_bad, 0);
}
#define CHECK(cases, ...) check((setting){__VA_ARGS__}, cases, sizeof(cases) / sizeof(cases)[0])

static void test_chartqa(void **state)
{
    (void)state;
    static const scorer_case cases[] = {
        {"21", "20", 1, "21"}, /* exactly 5 % */
        {"19", "20", 1},
        {"21.01", "20", 0},
        {"18.99", "20", 0},
        {"-21", "-20", 1},
        {"20", "-20", 0},
        {"12%", "0.12", 1},
        {"12 %", "12%", 1}, /* float() strips white space */
        {"12%", "12", 0},
        {"0.42", "42%", 1},
        {"0", "0", 1}, /* a truth of 0: as texts */
        {"0.0", "0", 0},
        {"1e2", "100", 1},
        {"1_000", "1000", 1},
        {"1__000", "1000", 0},
        {"_1000", "1000", 0},
        {"1,000", "1000", 0},
        {"$5", "5", 0},
        {".5", "0.5", 1},
        {"5.", "5", 1},
        {".", "5", 0},
        {"0x10", "16", 0},
        {"nan", "5", 0},
        {"inf", "5", 0},
        {"Yes", "yes", 1},
        {"yes.", "yes", 0},
        {"\u00C4PFEL", "\u00E4pfel", 1},
        {"\\boxed{21}", "20", 1, "21"},
        {"The answer is \\boxed{\\text{x}}", "\\text{x}", 1},
        {"", "5", 0, ""},
        {" \n", "5", 0},
    };
    CHECK(cases, "chartqa", "", "");
}

static void test_docvqa(void **state)
{
    (void)state;
    static const scorer_case cases[] = {
        {"March 1970", "march  1970", 1 - 0.0 / 11, "march 1970"},
        {"abcd", "abcd", 1},
        {"abcx", "abcd", 0.75},
        {"abxx", "abcd", 0.5}, /* exactly the threshold counts */
        {"axxx", "abcd", 0},
        {"\u00E4b", "ab", 0.5}, /* code points, not bytes */
        {"", "abcd", 0},
        {"abcde", "abcd", 0.8},
        {"\\boxed{abcd}", "abcd", 1},
    };
    CHECK(cases, "docvqa", "", "");
}

static void test_several_truths(void **state)
{
    (void)state;
    fv_scorer scorer;
    double score;
    fv_buffer reading = {0};
    const fv_said said = {.answer = fv_slice_of("abcx"), .truth = {"zzzz\0abcd\0abyy", 14}};
    assert_ok(fv_scorer_find("docvqa", &scorer));
    assert_ok(fv_scorer_score(&scorer, &said, &score, &reading));
    assert_true(score == 0.75);
    assert_string_equal(reading.data, "abcx");
    fv_buffer_fini(&reading);
}

static void test_ocrbench(void **state)
{
    (void)state;
    static const scorer_case cases[] = {
        {"It says HELLO there", "hello", 1},
        {"h e l l o", "hello", 0},
        {"one\ntwo", "one two", 1},
        {"\uFF21\uFF11\u3000b", "a1 b", 1}, /* full-width */
        {"hell", "hello", 0},
        {"\\boxed{hello}", "hello", 1},
        {"", "hello", 0},
    };
    CHECK(cases, "ocrbench", "", "Regular Text Recognition");
    static const scorer_case formulas[] = {
        {"\\frac { 1 } { x }", "\\frac{1}{x}", 1, "\\frac{1}{x}"},
        {"a\n+ b = c", "a + b", 1, "a+b=c"},
        {"X", "x", 0}, /* case counts */
        {"\uFF21", "A", 0},
        {"x\ty", "xy", 0}, /* spaces and line feeds alone are dropped */
    };
    CHECK(formulas, "ocrbench", "", "Handwritten Mathematical Expression Recognition");
    CHECK(formulas, "ocrbench", "", "HME100k");
}

static void test_realworldqa(void **state)
{
    (void)state;
    static const scorer_case cases[] = {
        {"B", "B", 1, "B"},          {"The answer is (B).", "B", 1, "B"},
        {"a blue car", "B", 1, "B"}, {"It is a blue car, I am sure.", "B", 1, "B"},
        {"A or B", "B", 0, ""},      {"not A, it is B", "B", 1, "B"},
        {"B", "A", 0, "B"},          {"", "A", 0, ""},
    };
    CHECK(cases, "realworldqa", four, "");
    static const scorer_case texts[] = {
        {"Downhill.", "downhill", 1, "Downhill"},
        {"downhill..", "Downhill", 1},
        {"\u00A02 ", "2", 1, "2"},
        {"two", "2", 0},
        {"It is 2", "2", 0},
    };
    CHECK(texts, "realworldqa", "Which way?", "");
}

static void test_pope(void **state)
{
    (void)state;
    static const scorer_case cases[] = {
        {"yes", "yes", 1, "yes"},
        {"Yes.", "yes", 1, "yes"},
        {" No, there is none", "no", 1, "no"},
        {"There is not. Yes", "no", 1, "no"}, /* the first sentence */
        {"Yes. No.", "yes", 1, "yes"},
        {"no yes", "yes", 0, "no"},
        {"Nothing", "no", 0, "neither"},
        {"There is a dog", "yes", 0, "neither"},
        {"maybe", "no", 0, "neither"},
        {"", "no", 0, "neither"},
        {"\\boxed{yes}", "Yes", 1, "yes"},
    };
    CHECK(cases, "pope", "", "");
}

static void test_mme(void **state)
{
    (void)state;
    static const scorer_case cases[] = {
        {"Yes", "Yes", 1, "yes"},
        {"y", "Yes", 1, "yes"},
        {"N.", "No", 1, "no"},
        {"x", "No", 0, "neither"},
        {"Yes, it is.", "Yes", 1},
        {"No, yes", "No", 1, "no"},
        {"now", "No", 1, "no"},
        {"It is no", "No", 0, "neither"},
        {"...yes", "Yes", 1, "yes"},
        {"\u00E4\u00E4no", "No", 1},
        {"\u00E4\u00E4\u00E4no", "No", 0},
        {"", "No", 0, "neither"},
        {"\\boxed{No}", "No", 1, "no"},
    };
    CHECK(cases, "mme", "", "");
}

static void test_options(void **state)
{
    (void)state;
    static const scorer_case cases[] = {
        {"C", "C", 1, "C"},
        {"c)", "C", 1, "C"},
        {"C. a bus", "C", 1, "C"},
        {"**C**", "C", 1, "C"},
        {"A bus.", "C", 1, "C"},
        {"I think it is the bus", "C", 1, "C"},
        {"You can see a bus in it", "C", 1, "C"},
        {"a red car and a bus", "C", 0, ""},
        {"The correct option is D", "D", 1, "D"},
        {"E", "A", 0, ""},
        {"A or C", "C", 0, ""},
        {"none of these", "a bus", 0, "D"}, /* a truth by its text */
        {"C", "a bus", 1, "C"},
        {"\\boxed{C}", "C", 1, "C"},
        {"\\boxed{\\text{C}}", "C", 1, "C"},
        {"", "C", 0, ""},
    };
    CHECK(cases, "options", four, "");
    static const scorer_case inline_options[] = {{"B", "B", 1, "B"}, {"left", "A", 1, "A"}};
    CHECK(inline_options, "options", "Is it left or right? (A) left (B) right", "");
    static const scorer_case none[] = {{"B", "B", 1, "B"}, {"B", "A", 0}};
    CHECK(none, "options", "No options here", "");
}

static void test_mmmu(void **state)
{
    (void)state;
    static const scorer_case cases[] = {{"B", "B", 1, "B"}, {"a bus", "C", 1, "C"}};
    CHECK(cases, "mmmu", four, "");
    static const scorer_case open[] = {
        {"The answer is 24.", "24", 1, "24"},
        {"so x = 24 and y is 7", "7", 1, "7"},
        {"so x = 24 and y is 7", "24", 0}, /* the shortest conclusion */
        {"24.004", "24", 1},
        {"24.006", "24", 0},
        {"1,234", "1234", 1},
        {"it is 1.5e3 m", "1500", 1},
        {"it is 12,34", "34", 1},
        {"-3", "3", 0},
        {"The result is the Big Apple", "big apple", 1},
        {"Transformer", "former", 1}, /* stands in it */
        {"the answer is a", "a", 1},
        {"the answer is ab", "a", 0}, /* one letter stands alone */
        {"x is 5\nthus 6", "5", 1},   /* every line concludes */
        {"", "5", 0},
    };
    CHECK(open, "mmmu", "How many?", "");
}

/* A verifier is a scorer. */
static void test_verifier(void **state)
{
    (void)state;
    static const scorer_case cases[] = {{"$1,234", "1234", 1, "$1,234"}, {"x", "1234", 0, "x"}};
    CHECK(cases, "number", "", "");
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *scorer, *question, *truth, *sentence;
    } bad[] = {{"pope", "", "42", "the truth is \"42\", expected yes or no"},
               {"mme", "", "maybe", "the truth is \"maybe\", expected yes or no"},
               {"options", four, "E", "\"E\", which is none of the question's 4 options"},
               {"realworldqa", "Which?\nA. a\nB. b", "C", "\"C\", which is none of the question's 2 options"},
               {"docvqa", "", "", "there is no truth"}};
    fv_scorer scorer;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        double score;
        fv_buffer reading = {0};
        const fv_said said = {.question = fv_slice_of(bad[i].question), .truth = fv_slice_of(bad[i].truth)};
        assert_ok(fv_scorer_find(bad[i].scorer, &scorer));
        assert_fails(fv_scorer_score(&scorer, &said, &score, &reading), FV_ERR_FORMAT, bad[i].sentence);
        fv_buffer_fini(&reading);
    }
    assert_fails(fv_scorer_find("near", &scorer), FV_ERR_ARGUMENT,
                 "there is no scorer \"near\"; there are chartqa, docvqa, ocrbench, realworldqa, pope, mme, "
                 "options, mmmu, and the verifiers");
}

/* Bytes that are no text, and long ones. */
static void test_hostile(void **state)
{
    (void)state;
    static const char *const names[] = {"chartqa", "docvqa", "ocrbench", "realworldqa",
                                        "pope",    "mme",    "options",  "mmmu"};
    static const char bytes[] = "\xff\xfe\\boxed{\xc3} \xe2\x82";
    static char digits[5000];
    memset(digits, '7', sizeof digits);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (int is_long = 0; is_long < 2; is_long++) {
            fv_scorer scorer;
            double score;
            fv_buffer reading = {0};
            const fv_said said = {.question = {four, sizeof four - 1},
                                  .answer = is_long ? (fv_slice){digits, sizeof digits}
                                                    : (fv_slice){bytes, sizeof bytes - 1},
                                  .truth = fv_slice_of(i == 4 || i == 5 ? "yes" : "A")};
            assert_ok(fv_scorer_find(names[i], &scorer));
            assert_ok(fv_scorer_score(&scorer, &said, &score, &reading));
            assert_true(score == 0);
            fv_buffer_fini(&reading);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chartqa),
        cmocka_unit_test(test_docvqa),
        cmocka_unit_test(test_several_truths),
        cmocka_unit_test(test_ocrbench),
        cmocka_unit_test(test_realworldqa),
        cmocka_unit_test(test_pope),
        cmocka_unit_test(test_mme),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_mmmu),
        cmocka_unit_test(test_verifier),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
