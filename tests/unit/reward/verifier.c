/* Every verifier over tables of answers and truths. */
#include "test.h"

#include "fovea/reward/verifier.h"

#include <stdlib.h>

typedef struct verifier_case {
    const char *answer, *truth;
    double score;
} verifier_case;

static void check(const char *name, const verifier_case *cases, size_t n)
{
    const fv_verifier *verifier;
    int n_bad = 0;
    assert_ok(fv_verifier_find(name, &verifier));
    for (size_t i = 0; i < n; i++) {
        double score = -1;
        fv_slice truth = fv_slice_of(cases[i].truth);
        assert_ok(fv_verifier_score(verifier, fv_slice_of(cases[i].answer), &truth, 1, &score));
        if (score >= cases[i].score - 1e-12 && score <= cases[i].score + 1e-12)
            continue;
        n_bad++;
        print_error("%s: \"%s\" against \"%s\" is %g, not %g\n", name, cases[i].answer, cases[i].truth, score,
                    cases[i].score);
    }
    assert_int_equal(n_bad, 0);
}
#define CHECK(name, cases) check(name, cases, sizeof(cases) / sizeof(cases)[0])

static void test_exact(void **state)
{
    (void)state;
    static const verifier_case cases[] = {
        {"Paris", "paris", 1},
        {"  \"New\n\tYork.\" ", "new york", 1},
        {"(yes)", "Yes!", 1},
        {"yes, it is", "yes", 0},
        {"", "", 0},
        {" \n", "", 0},
        {"", "a", 0},
        {"a", "", 0},
        {"?", "?", 1},
        {"?", "!", 0},
        {"-5", "5", 0},
        {".5", "5", 0},
        {"$5", "5", 0},
        {"5%", "5", 0},
        {"\u22125", "-5", 1},           /* minus sign */
        {"STRASSE", "stra\u00DFe", 1},  /* sharp s */
        {"cafe\u0301", "CAF\u00C9", 1}, /* e with accent: two code points, one */
        {"\uFF21\uFF11", "a1", 1},      /* full-width */
        {"a\uFF01b\uFF5Ec", "a!b~c", 1},
        {"a\rb", "a b", 1},
        {"don\u2019t", "don't", 1},
        {"a\u00A0b\u3000c", "a b c", 1},
        {"soft\u00ADhyphen", "softhyphen", 1},
        {"\u0661\u0662", "12", 1}, /* Arabic digits */
        {"x\u00B2", "x2", 0},
        {"a\xFF", "a\xFE", 1}, /* both are U+FFFD */
    };
    CHECK("exact", cases);
}

#define ONES_64 "1111111111111111111111111111111111111111111111111111111111111111"

static void test_number(void **state)
{
    (void)state;
    static const verifier_case cases[] = {
        {"5", "5.0", 1},
        {"05", "5", 1},
        {"+5", "5", 1},
        {"-5", "5", 0},
        {"\u22125", "-5", 1},
        {"\u22125", "5", 0},
        {"-0", "0.00", 1},
        {".5", "0.5", 1},
        {"5.", "5", 1},
        {"-.5", "-0.5", 1},
        {"\u0967\u0968", "12", 1},         /* Devanagari */
        {"\uFF11\uFF0E\uFF15", "1.5", 1},  /* full-width */
        {"\U0001D7D9\U0001D7CE", "10", 1}, /* double-struck 1, bold 0 */
        {"$1,234.50", "1234.5", 1},
        {"-$1,234.50", "$-1234.5", 1},
        {"1,234,567", "1234567", 1},
        {"1,23", "123", 0},
        {"1234,567", "1234567", 0},
        {"1,2345", "12345", 0},
        {"1,234,56", "123456", 0},
        {"$5", "\u20AC5", 0},
        {"5 $", "$5", 1},
        {"12 cm", "12", 1},
        {"12cm", "12 CM", 1},
        {"12 cm", "12 mm", 0},
        {"12 m\u00B2", "12 m\u00B2.", 1},
        {"20\u00B0", "20 degrees", 0},
        {"20\u00B0C", "20", 1},
        {"12 square meters", "12", 1},
        {"12 one two three", "12", 1},
        {"12 one two three four", "12", 0},
        {"12\u5143", "12", 1},
        {"5 or 6", "5", 0},
        {"5-6", "5", 0},
        {"5 (five)", "5", 0},
        {"(5)", "5", 1},
        {"about 5", "5", 0},
        {"10\u2075", "10", 0},
        {"10\u2075", "105", 0},
        {"5\u00BD", "5", 0},
        {"1 1/2", "1", 0},
        {"12 %", "12%", 1},
        {"12 percent", "12%", 1},
        {"0.12", "12%", 1},
        {"12%", "0.12", 1},
        {"12", "12%", 1},
        {"12%", "12", 1},
        {"12.3%", "0.123", 1},
        {"0.12%", "12%", 0},
        {"1200", "12%", 0},
        {"0%", "0", 1},
        {"1/4", "0.25", 1},
        {"1 / 4", "2/8", 1},
        {"-1/4", "-0.25", 1},
        {"25%", "1/4", 1},
        {"1/3", "0.333", 0},
        {"1/0", "1/0", 1}, /* as texts */
        {"1/0", "2/0", 0},
        {"1/0 cm", "1/0", 0},
        {"3/4/2020", "3/4", 0},
        {"3/4/2020", "3/4/2020", 1},
        {"0.1", "0.10000000000000000001", 0},
        {"9007199254740993", "9007199254740992", 0},
        {"1e3", "1000", 1},
        {"1E+03", "1,000", 1},
        {"2.5e-3", "0.0025", 1},
        {"1e5000", "1e5000", 1},
        {"1e5000", "10e4999", 1},
        {"1e5000", "1e5001", 0},
        {"1e5000", "inf", 0},
        {"1e-5000", "0", 0},
        {"1e5000/1", "1e5001/1", 0},
        {"1e5000/3", "1e5000/3", 1},
        {"1e99999999999", "1e99999999999", 1}, /* as texts */
        {"1e99999999999", "1e99999999998", 0},
        {"5e", "5", 1}, /* a unit */
        {"100000000000000000000000000000000000000000000000000000000000000000000000", "1e71", 1},
        {"1e99999999999 cm", "1e99999999999", 0},
        {ONES_64 " cm", ONES_64, 1},
        {ONES_64 "1 cm", ONES_64 "1", 0}, /* as texts */
        {"0." ONES_64 " cm", "." ONES_64, 1},
        {"0." ONES_64 "1 cm", "." ONES_64 "1", 0},
        {"nan", "nan", 1}, /* as texts */
        {"nan", "5", 0},
        {"inf", "Infinity", 0},
        {"0x10", "16", 0},
        {"", "5", 0},
        {"", "", 0},
        {"5", "", 0},
        {"%", "5", 0},
        {"$", "$5", 0},
        {"-", "-5", 0},
        {"--5", "5", 0},
        {"five", "Five.", 1},
    };
    CHECK("number", cases);
}

static void test_relaxed(void **state)
{
    (void)state;
    static const verifier_case cases[] = {
        {"105", "100", 1},    {"95", "100", 1},      {"105.001", "100", 0},   {"94.999", "100", 0},
        {"1.05", "1", 1},     {"-105", "-100", 1},   {"100", "-100", 0},      {"0", "0", 1},
        {"0.0", "0", 1},      {"1e-9", "0", 0},      {"0", "1", 0},           {"12.5%", "12%", 1},
        {"0.12", "12%", 1},   {"12", "12%", 0},      {"12%", "12", 0},        {"$1,200", "1234.50", 1},
        {"12 cm", "12.1", 1}, {"12 cm", "12 mm", 0}, {"1e5000", "1e5000", 1}, {"1e5001", "1e5000", 0},
        {"nan", "5", 0},      {"Nan", "nan", 1},     {"Blue.", "blue", 1},    {"blue", "5", 0},
        {"", "0", 0},         {"", "", 0},
    };
    CHECK("relaxed", cases);
}

static void test_choice(void **state)
{
    (void)state;
    static const verifier_case cases[] = {
        {"B", "B", 1},
        {"b", "B", 1},
        {"(B)", "B", 1},
        {"(b)", "(B)", 1},
        {"B.", "B", 1},
        {"B) 12 cm", "B", 1},
        {"B)12 cm", "B", 1},
        {"B: 12 cm", "B", 1},
        {"**B**", "B", 1},
        {"[C]", "B", 0},
        {"The answer is B", "B", 1},
        {"the correct answer is: (b).", "B", 1},
        {"The answer is B, because A is wrong.", "B", 1},
        {"Answer: **B**", "B", 1},
        {"Option B is correct", "B", 1},
        {"The answer is not option A. The answer is option B.", "B", 1},
        {"Of A and B, my choice is B. That is the answer.", "B", 1},
        {"The answer is a cat", "A", 0},
        {"A cat", "A", 0},
        {"A cat", "a cat", 1},
        {"I'm sure", "I", 0},
        {"B.C.", "B", 0},
        {"Answers: B", "B", 0},
        {"The answer is B\u00E9", "B", 0},
        {"answer", "answer", 1},
        {"nonanswer B", "B", 0},
        {"12 cm", "12 cm", 1},
        {"B) 12 cm", "12 cm", 1},
        {"12 cm.", "B) 12 cm", 1},
        {"The answer is 12 cm.", "(B) 12 cm", 1},
        {"C) 12 cm", "B) 12 cm", 0},
        {"B) 13 cm", "B) 12 cm", 1},
        {"12 cm", "B", 0},
        {"A, C", "A", 0},
        {"", "B", 0},
        {"", "", 0},
        {"(", "B", 0},
    };
    CHECK("choice", cases);
    static const verifier_case letters[] = {
        {"B is correct", "B", 1},
        {"B is correct.", "A", 0},
        {"D, text", "D", 1},
        {"D, 12 cm", "D", 1},
        {"I think it is B.", "B", 1},
        {"I believe B is the right one, not A", "B", 1},
        {"It's B", "B", 1},
        {"It must be (c).", "C", 1},
        {"So B.", "B", 1},
        {"I would go with D", "D", 1},
        {"B, because A is wrong", "B", 1},
        {"B because it is longer", "B", 1},
        {"B - the second bar", "B", 1},
        {"A is correct", "A", 1},
        {"A", "A", 1},
        {"(A) or rather B", "A", 0},
        {"I think A is correct", "A", 1},
        {"The correct option is B", "B", 1},
        {"The answer is probably B", "B", 1},
        {"The correct answer is option B: 12 cm", "B", 1},
        {"answer:B", "B", 1},
        {"The right choice would be C!", "C", 1},
        {"A. 10 cm\nB. 12 cm\nThe answer is B", "B", 1},
        {"A. 10 cm\nB. 12 cm", "A", 0},
        {"(A) 10 cm (B) 12 cm", "A", 0},
        {"A is wrong, so B", "B", 1},
        {"A is not correct", "A", 0},
        {"A can't be right", "A", 0},
        {"It is not A", "A", 0},
        {"It isn't option A", "A", 0},
        {"not A but B", "B", 1},
        {"not A but B", "A", 0},
        {"The answer cannot be A", "A", 0},
        {"The answer is A or B", "A", 0},
        {"Both A and B are correct", "A", 0},
        {"Both A and B look right", "B", 0},
        {"Neither A nor B", "B", 0},
        {"It looks like B", "B", 1},
        {"Correct: B", "B", 1},
        {"Correct answer - B", "B", 1},
        {"The answer is A or B", "B", 0},
        {"The answer is either A or B", "A", 0},
        {"The answer is A/B", "A", 0},
        {"The answer is A and B", "B", 0},
        {"The answer is A, B", "A", 0},
        {"The answer is A. The answer is B.", "A", 0},
        {"The answer is A. The answer is B.", "B", 0},
        {"A and B", "A", 0},
        {"A, B or C", "A", 0},
        {"A & B", "B", 0},
        {"A/B", "A", 0},
        {"B. The answer is C", "B", 0},
        {"B\nB", "B", 1},
        {"A big cat", "A", 0},
        {"A dog is correct", "A", 0},
        {"It is A cat", "A", 0},
        {"A 12-inch pizza", "A", 0},
        {"I see a cat", "I", 0},
        {"I am sure", "I", 0},
        {"Vitamin C", "C", 0},
        {"It is vitamin C", "C", 0},
        {"It is C major", "C", 0},
        {"B flat", "B", 0},
        {"Bob", "B", 0},
        {"a", "A", 1},
        {"The cat is a mammal", "A", 0},
    };
    CHECK("choice", letters);
    static const verifier_case texts[] = {
        {"It is 12 cm", "B) 12 cm", 1},
        {"I think it is the cat.", "B. A cat", 1},
        {"the cat is correct", "cat", 1},
        {"There are two", "C) 2", 1},
        {"two", "2", 1},
        {"Two cats", "(A) 2 cats", 1},
        {"The answer is two.", "B. 2", 1},
        {"2", "(B) two", 1},
        {"twenty-one", "21", 1},
        {"twenty-one", "20", 0},
        {"twentyone", "21", 0},
        {"two", "3", 0},
        {"two or three", "2", 0},
        {"It is not 12 cm", "B) 12 cm", 0},
        {"There are two cats", "2", 0},
        {"someone", "some1", 0},
        {"The answer is C major", "B) C major", 1},
        {"The answer is C major", "C) D minor", 0},
        {"the", "the", 1},
        {"so it is", "so it is", 1},
    };
    CHECK("choice", texts);
    const fv_verifier *verifier;
    double score;
    fv_slice truths[] = {fv_slice_of("B"), fv_slice_of("12 cm")};
    assert_ok(fv_verifier_find("choice", &verifier));
    assert_ok(fv_verifier_score(verifier, fv_slice_of("It is 12 cm. Answer: 12 cm"), truths, 2, &score));
    assert_true(score == 1);
}

static void test_boxed(void **state)
{
    (void)state;
    static const verifier_case cases[] = {
        {"so \\boxed{12}", "12", 1},
        {"\\boxed{1} then \\boxed{2}", "2", 1},
        {"\\boxed{1} then \\boxed{2}", "1", 0},
        {"\\boxed {x^{2}}", "x^2", 1},
        {"\\boxed{\\frac{1}{2}}", "0.5", 1},
        {"$\\boxed{-\\dfrac{1}{2}}$.", "-1/2", 1},
        {"\\boxed{\\frac{x+1}{2}}", "x+\\frac{1}{2}", 0},
        {"\\boxed{\\frac{x+1}{2}}", "(x+1)/2", 1},
        {"\\boxed{12\\%}", "0.12", 1},
        {"\\boxed{\\$1{,}234.50}", "$1,234.50", 1},
        {"\\boxed{12\\,\\text{cm}}", "12 cm", 1},
        {"\\boxed{45^{\\circ}}", "45\u00B0", 1},
        {"\\boxed{45^\\circ}", "45", 1},
        {"\\boxed{\\left(1, 2\\right)}", "(1, 2)", 1},
        {"\\boxed{\\leftarrow}", "arrow", 0},
        {"\\boxed{\\{1\\}}", "{1}", 1},
        {"\\boxed{\\frac12}", "12", 0},
        {"\\boxed{x{1}{2}}", "x12", 1},
        {"\\boxed{12", "12", 0},
        {"\\boxed", "12", 0},
        {"\\boxed{}", "", 0},
        {"12", "\\boxed{12}", 1},
        {"twelve", "\\boxed{\\textbf{Twelve}}", 1},
        {"", "12", 0},
    };
    CHECK("boxed", cases);
}

/* What stands in the last box is the answer, whatever the verifier. */
static void test_boxes_before_any_verifier(void **state)
{
    (void)state;
    static const verifier_case exact[] = {
        {"So it is \\boxed{Paris}.", "Paris", 1},
        {"\\boxed{\\text{Paris}}", "paris", 1},
        {"$$\\boxed{ \\textbf{New York} }$$", "New York", 1},
        {"\\boxed{\\frac{3}{4}}", "3/4", 1},
        {"\\boxed{\\frac{3}{4}}", "\\frac{3}{4}", 1},
        {"Paris", "\\boxed{Paris}", 1},
        {"\\boxed{Rome} or \\boxed{Paris}", "Paris", 1},
        {"\\boxed{Paris} or \\boxed{Rome}", "Paris", 0},
        {"Paris, so \\boxed{Rome}", "Paris", 0},
        {"\\boxed{{a}{b}}", "ab", 1},
        {"\\boxed{x^{2_{3}}}", "x^{2_{3}}", 1},
        {"\\fbox{yes}", "Yes", 1},
        {"<think>\\boxed{Paris}</think>Rome", "Paris", 0},
        {"<think>\\boxed{Rome}</think>\\boxed{Paris}", "Paris", 1},
        {"\\boxed{Paris", "Paris", 0},
        {"\\boxed{}", "", 0},
        {"\\boxed{}", "Paris", 0},
        {"\\boxed{\\$5}", "$5", 1},
        {"\\boxed{5}", "$5", 0},
        {"\\boxed{[1, 2]}", "(1, 2)", 0},
        {"\\boxed{(1, 2)}", "(1, 2)", 1},
    };
    static const verifier_case number[] = {
        {"The total is \\boxed{1{,}234.5}", "1,234.50", 1},
        {"\\boxed{12\\%}", "0.12", 1},
        {"\\boxed{12\\%}", "1.2", 0},
        {"\\boxed{\\dfrac{1}{2}}", "0.5", 1},
        {"\\boxed{-\\frac12}", "-0.5", 1},
        {"\\boxed{-\\frac12}", "0.5", 0},
        {"\\boxed{12\\text{ cm}}", "12", 1},
        {"\\boxed{45^\\circ}", "45", 1},
        {"\\boxed{\\$ 5}", "$5.00", 1},
        {"$\\frac{1}{4}$", "0.25", 1},
        {"\\(12\\)", "12", 1},
        {"$12$", "12", 1},
        {"\\boxed{12}", "13", 0},
        {"13 \\boxed{12}", "13", 0},
        {"\\boxed{1\\frac{1}{2}}", "5.5", 0},
    };
    static const verifier_case relaxed[] = {
        {"\\boxed{105}", "100", 1}, {"\\boxed{106}", "100", 0}, {"\\boxed{\\text{blue}}", "Blue", 1}};
    static const verifier_case choice[] = {
        {"\\boxed{B}", "B", 1},
        {"\\boxed{\\text{(B)}}", "B", 1},
        {"\\boxed{\\textbf{(B)}\\ 12}", "B", 1},
        {"A or \\boxed{\\mathrm{B}}", "B", 1},
        {"The answer is A. \\boxed{B}", "A", 0},
        {"\\boxed{12\\text{ cm}}", "B) 12 cm", 1},
    };
    static const verifier_case anls[] = {{"It says \\boxed{Hello World}", "hello world", 1},
                                         {"\\boxed{helo}", "hello", 0.8},
                                         {"\\boxed{a}", "abc", 0}};
    static const verifier_case containment[] = {{"\\boxed{\\text{STOP here}}", "stop", 1},
                                                {"stop, no: \\boxed{go}", "stop", 0},
                                                {"\\boxed{}", "a", 0}};
    CHECK("exact", exact);
    CHECK("number", number);
    CHECK("relaxed", relaxed);
    CHECK("choice", choice);
    CHECK("anls", anls);
    CHECK("containment", containment);
}

static void test_boxed_forms(void **state)
{
    (void)state;
    static const verifier_case cases[] = {
        {"The answer is 3", "3", 1},
        {"The answer is $3$.", "3", 1},
        {"So the final answer is: **3**.", "3", 1},
        {"Answer: \\frac12", "1/2", 1},
        {"The answer is 3, since 1 + 2 = 3.", "3", 1},
        {"The answer is not 3", "3", 0},
        {"The answer isn't 3", "3", 0},
        {"The answer is 3 or 4", "3", 0},
        {"The answer is 3 or four", "3", 0},
        {"The answer is 3 is wrong", "3", 0},
        {"The answer is 3, 4", "3", 0},
        {"The answer is 3. The answer is 4.", "3", 0},
        {"The answer is 3. The answer is 4.", "4", 1},
        {"The answer is 3.5", "3", 0},
        {"The answer is 13", "3", 0},
        {"The answer 3 is wrong", "3", 0},
        {"x = 3", "3", 1},
        {"3", "x = 3", 1},
        {"\\boxed{y = 3}", "x = 3", 0},
        {"\\boxed{y = 2x + 1}", "y=1+2x", 1},
        {"\\boxed{y = 2x + 1}", "y=2x-1", 0},
        {"x \\neq 3", "3", 0},
        {"\\boxed{x \\le 3}", "x <= 3", 1},
        {"\\boxed{x \\le 3}", "x >= 3", 0},
        {"\\boxed{- 4}", "-4", 1},
        {"- 4", "-4", 1},
        {"- 4", "4", 0},
        {"\\boxed{\\frac12}", "1/2", 1},
        {"\\boxed{\\frac12}", "0.5", 1},
        {"\\boxed{\\frac 1 2}", "0.5", 1},
        {"\\boxed{\\frac1{2}}", "0.5", 1},
        {"\\boxed{\\frac{1}2}", "0.5", 1},
        {"\\boxed{\\tfrac34}", "\\dfrac{3}{4}", 1},
        {"\\boxed{\\frac12}", "2", 0},
        {"\\boxed{\\frac12}", "2/1", 0},
        {"\\boxed{\\frac{-1}{2}}", "-0.5", 1},
        {"\\boxed{1\\frac12}", "1.5", 1},
        {"\\boxed{1\\frac12}", "3/2", 1},
        {"\\boxed{-1\\frac12}", "-1.5", 1},
        {"\\boxed{1\\frac12}", "5.5", 0},
        {"\\boxed{1\\frac12}", "11/2", 0},
        {"\\boxed{1\\frac12}", "1/2", 0},
        {"\\boxed{2+3}", "5", 1},
        {"\\boxed{2 + 3}", "6", 0},
        {"\\boxed{5 - 3}", "2", 1},
        {"\\boxed{1+x}", "x + 1", 1},
        {"\\boxed{x-1}", "1-x", 0},
        {"\\boxed{-1+x}", "x-1", 1},
        {"\\boxed{\\frac{x+1}{2}}", "\\frac{x}{2}+\\frac12", 1},
        {"\\boxed{\\frac12x}", "x/2", 1},
        {"\\boxed{\\frac{1}{2}x}", "1/(2x)", 0},
        {"\\boxed{2\\sqrt{3}}", "\\sqrt{12}", 1},
        {"\\boxed{2\\sqrt3}", "2\\cdot\\sqrt{3}", 1},
        {"\\boxed{\\sqrt{3}}", "3", 0},
        {"\\boxed{\\sqrt[3]{8}}", "2", 1},
        {"\\boxed{\\frac{\\sqrt{3}}{2}}", "\\sqrt{3}/2", 1},
        {"\\boxed{2\\pi}", "\\pi \\times 2", 1},
        {"\\boxed{2\\pi}", "6.28", 0},
        {"\\boxed{10^{3}}", "1000", 1},
        {"\\boxed{2.5 \\times 10^{-3}}", "0.0025", 1},
        {"\\boxed{x^{10}}", "x^1", 0},
        {"\\boxed{x^{n+1}}", "x^n+1", 0},
        {"\\boxed{5\\text{ m}^2}", "5 m\u00B2", 1},
        {"\\boxed{5}", "5\\ \\text{cm}", 1},
        {"\\boxed{5\\text{ cm}}", "5\\text{ mm}", 0},
        {"\\boxed{50\\%}", "50", 1},
        {"\\boxed{50\\%}", "5", 0},
        {"\\boxed{1{,}000}", "1000", 1},
        {"\\boxed{1,000}", "1", 0},
        {"\\boxed{\\$5}", "5", 1},
        {"\\boxed{$5$}", "5", 1},
        {"[1,2]", "(1,2)", 0},
        {"\\boxed{[1, 2]}", "[1,2]", 1},
        {"\\boxed{[1,2)}", "[1,2]", 0},
        {"\\boxed{(1,2]}", "[1,2)", 0},
        {"\\boxed{\\left[1, 2\\right)}", "[1,2)", 1},
        {"\\boxed{(2,1)}", "(1,2)", 0},
        {"\\boxed{(\\frac12, 3)}", "(0.5, 3.0)", 1},
        {"\\boxed{(1,2,3)}", "(1,2)", 0},
        {"\\boxed{(1, 2)}", "1, 2", 0},
        {"\\boxed{1, 234}", "1234", 0},
        {"\\boxed{(-\\infty, 3]}", "(-\u221E,3]", 1},
        {"\\boxed{(-\\infty, 3]}", "(-\u221E,3)", 0},
        {"\\boxed{(-\\infty, 1) \\cup (2, \\infty)}", "(-\\infty,1)\\cup(2,\\infty)", 1},
        {"\\boxed{(-\\infty, 1) \\cup (2, \\infty)}", "(-\\infty,1]\\cup(2,\\infty)", 0},
        {"\\boxed{(-\\infty, 1) \\cup (2, \\infty)}", "(-\\infty,1)\\cup[2,\\infty)", 0},
        {"\\boxed{[1,2] \\cup [3,4]}", "[1,2]\\cup[3,4)", 0},
        {"\\boxed{[1,2] \\cup [3,4]}", "[1,2]\\cup[3,4]", 1},
        {"= 3", "3", 1},
        {"\\boxed{\\{2, 1\\}}", "\\{1,2\\}", 1},
        {"\\boxed{\\{1, 2\\}}", "{2, 1}", 1},
        {"\\boxed{\\{1, 1\\}}", "\\{1,2\\}", 0},
        {"\\boxed{\\{1,2\\}}", "(1,2)", 0},
        {"\\boxed{1, 2}", "2, 1", 0},
        {"\\boxed{1, 2}", "1,2", 1},
        {"\\boxed{1, 2}", "1", 0},
        {"\\boxed{-3, \\frac12}", "-3, 0.5", 1},
        {"\\boxed{\\text{cat}}", "act", 0},
        {"\\boxed{\\text{New York}}", "York New", 0},
        {"\\boxed{2020-01-02}", "2017", 0},
        {"\\boxed{3/4/2020}", "0.000371287", 0},
        {"\\boxed{5-6}", "6-7", 0},
        {"\\boxed{10:30}", "10", 0},
        {"\\boxed{2x}", "x2", 0},
        {"\\boxed{f(2)}", "2f", 0},
        {"\\boxed{0.333}", "1/3", 0},
        {"\\boxed{1/0}", "2/0", 0},
        {"\\boxed{3 and a half}", "3", 0},
        {"\\boxed{\\text{yes}}", "Yes", 1},
        {"\\boxed{A}", "B", 0},
    };
    CHECK("boxed", cases);
    static const verifier_case exact[] = {
        {"[1,2]", "(1,2)", 0}, {"(1,2]", "(1,2)", 0}, {"(1,2)", "(1,2).", 1}};
    CHECK("exact", exact);
    CHECK("number", exact);
    static const verifier_case number[] = {{"- 4", "-4", 1},
                                           {"- $4", "-4", 1},
                                           {"3 or four", "3", 0},
                                           {"3 and a half", "3", 0},
                                           {"3 is wrong", "3", 0}};
    CHECK("number", number);
}

/* "\\frac{" n times, then as many "}{1}". */
static double score_of_nested(int n)
{
    static char text[1 << 20];
    const fv_verifier *verifier;
    double score;
    size_t size = 0;
    for (int i = 0; i < n; i++)
        size += (size_t)sprintf(text + size, "\\frac{");
    for (int i = 0; i < n; i++)
        size += (size_t)sprintf(text + size, "}{1}");
    assert_ok(fv_verifier_find("boxed", &verifier));
    assert_ok(fv_verifier_score(verifier, (fv_slice){text, size}, &(fv_slice){text, size}, 1, &score));
    return score;
}

static void test_nesting_has_an_end(void **state)
{
    (void)state;
    assert_true(score_of_nested(2) == 1 && score_of_nested(64) == 1 && score_of_nested(20000) == 1);
}

static void test_anls(void **state)
{
    (void)state;
    static const verifier_case cases[] = {
        {"Hello World", " hello   world ", 1},
        {"helo", "hello", 0.8},
        {"ab", "abc", 2.0 / 3},
        {"abcd", "abxy", 0}, /* exactly half */
        {"abcde", "abcxy", 0.6},
        {"xabcd", "abcd", 0.8},
        {"kitten", "sitting", 4.0 / 7},
        {"caf\u00E9", "cafe", 0.75}, /* one code point, not two bytes */
        {"\u00E9\u00E8", "e\u00E8", 0},
        {"ab", "abcd", 0},
        {"", "", 0},
        {"", "a", 0},
        {"a", "", 0},
        {"a.", "a", 0},
        {"total.", "total", 5.0 / 6}, /* punctuation counts */
    };
    CHECK("anls", cases);
}

static void test_containment(void **state)
{
    (void)state;
    static const verifier_case cases[] = {
        {"The sign says\nSTOP here.", "stop", 1},
        {"a  b", "A\tB", 1},
        {"ab", "a b", 0},
        {"stop", "stops", 0},
        {"anything", "", 0},
        {"", "", 0},
        {"", "a", 0},
    };
    CHECK("containment", cases);
}

static void test_best_truth_counts(void **state)
{
    (void)state;
    const fv_verifier *verifier;
    double score;
    fv_slice truths[] = {fv_slice_of("nothing like it"), fv_slice_of("hello"), fv_slice_of("helium")};
    assert_ok(fv_verifier_find("anls", &verifier));
    assert_ok(fv_verifier_score(verifier, fv_slice_of("helo"), truths, 3, &score));
    assert_true(score == 0.8);
    assert_ok(fv_verifier_score(verifier, fv_slice_of("helo"), truths, 1, &score));
    assert_true(score == 0);
    assert_fails(fv_verifier_score(verifier, fv_slice_of("helo"), truths, 0, &score), FV_ERR_ARGUMENT,
                 "without a truth");
}

/* Accepted answers behind each other, and the question, whose options choice knows. */
static void test_cases(void **state)
{
    (void)state;
    static const char lines[] =
        "Which? Note: A. Smith drew it.\nA. 10 cm\nB. 12 cm\nC. two of them\nAnswer with a letter.";
    static const char inline_[] = "How long is it? (A) 10 cm (B) 12 cm (C) 12 cm";
    static const struct {
        const char *verifier, *question, *answer, *truth;
        size_t size;
        double score;
    } cases[] = {
        {"exact", "", "b", "a\0b\0c", 5, 1},
        {"exact", "", "ab", "a\0b", 3, 0},
        {"exact", "", "\\boxed{c}", "a\0b\0c", 5, 1},
        {"number", "", "2.0", "two\0002", 5, 1},
        {"relaxed", "", "104", "90\000100", 6, 1},
        {"boxed", "", "\\boxed{1+x}", "y\0x+1", 5, 1},
        {"anls", "", "helo", "nothing\0hello\0helium", 20, 0.8},
        {"containment", "", "say stop now", "go\0stop", 7, 1},
        {"containment", "", "say halt now", "go\0stop", 7, 0},
        {"choice", "", "B", "A\0B", 3, 1},
        {"choice", "", "12 cm", "B", 1, 0},
        {"choice", lines, "12 cm", "B", 1, 1},
        {"choice", lines, "It is 12 cm.", "(b)", 3, 1},
        {"choice", lines, "10 cm", "B", 1, 0},
        {"choice", lines, "B", "12 cm", 5, 1},
        {"choice", lines, "A", "12 cm", 5, 0},
        {"choice", lines, "There are 2 of them", "C", 1, 1},
        {"choice", lines, "Answer with a letter", "C", 1, 0},
        {"choice", inline_, "10 cm", "A", 1, 1},
        {"choice", inline_, "B", "12 cm", 5, 0}, /* which of two */
        {"choice", inline_, "12 cm", "\\boxed{B}", 9, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const fv_verifier *verifier;
        double score = -1;
        assert_ok(fv_verifier_find(cases[i].verifier, &verifier));
        assert_ok(fv_verifier_ask(verifier, fv_slice_of(cases[i].question), fv_slice_of(cases[i].answer),
                                  (fv_slice){cases[i].truth, cases[i].size}, &score));
        if (score != cases[i].score)
            fail_msg("%s: case %zu, \"%s\", is %g, not %g", cases[i].verifier, i, cases[i].answer, score,
                     cases[i].score);
    }
}

static void test_unknown_verifier_is_named(void **state)
{
    (void)state;
    const fv_verifier *verifier;
    assert_fails(fv_verifier_find("fuzzy", &verifier), FV_ERR_ARGUMENT,
                 "\"fuzzy\"; there are exact, number, choice");
}

/* A very long answer takes no quadratic time, and a text that ends within a character no harm. */
static void test_long_and_broken_texts(void **state)
{
    (void)state;
    static const char *const names[] = {"exact",   "number", "choice",     "boxed",
                                        "relaxed", "anls",   "containment"};
    enum { LONG = 1 << 20 };
    char *text = malloc(LONG);
    assert_non_null(text);
    memset(text, '7', LONG);
    text[LONG - 1] = (char)0xE2;
    fv_slice truth = fv_slice_of("7");
    for (int i = 0; i < 7; i++) {
        const fv_verifier *verifier;
        double score = -1;
        assert_ok(fv_verifier_find(names[i], &verifier));
        assert_ok(fv_verifier_score(verifier, (fv_slice){text, LONG}, &truth, 1, &score));
        assert_true(score == (i == 6));
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_number),
        cmocka_unit_test(test_relaxed),
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_boxed),
        cmocka_unit_test(test_boxes_before_any_verifier),
        cmocka_unit_test(test_boxed_forms),
        cmocka_unit_test(test_nesting_has_an_end),
        cmocka_unit_test(test_anls),
        cmocka_unit_test(test_containment),
        cmocka_unit_test(test_best_truth_counts),
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_unknown_verifier_is_named),
        cmocka_unit_test(test_long_and_broken_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
