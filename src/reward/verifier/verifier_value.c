/* Whether two formulas mean the same: both are computed for several values of what stands in them for a
 * number.
 *
 *   sum      product, + product, - product ...
 *   product  factor, * factor, / factor (once), and without a sign where a number or a parenthesis ends and
 *            something else than a number begins: "2x", "3(x+1)", "2 sqrt(3)"
 *   factor   a sign and a factor, or an atom and perhaps ^ and a factor
 *   atom     a number; one and a fraction ("1 1/2"); "pi"; a run of letters; sqrt and an atom; (sum)
 *
 * Runs of letters are never taken apart, so words are no products: "act" is not "cat". What else looks like a
 * formula is a text: dates ("3/4/2020", "2020-01-02"), and a difference of two numbers beside another, for
 * both may be ranges ("5-6", "6-7"). */
#include "reward/verifier/verifier_internal.h"

#include "fovea/base/text/utf8.h"
#include "base/hash.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { MOST_DEPTH = 64, MOST_DIGITS = 32, N_SAMPLES = 3 };

typedef struct formula {
    fv_slice text;
    size_t at;
    int sample, depth;
    int is_bad;
    int n_signs; /* operators and roots seen */
} formula;

static char peek(const formula *f, size_t ahead)
{
    return f->at + ahead < f->text.size ? f->text.data[f->at + ahead] : '\0';
}

static void skip_spaces(formula *f)
{
    while (peek(f, 0) == ' ')
        f->at++;
}

/* Take a sign, with the spaces around it. */
static int accept_sign(formula *f, char sign)
{
    skip_spaces(f);
    if (peek(f, 0) != sign)
        return 0;
    f->at++;
    f->n_signs++;
    skip_spaces(f);
    return 1;
}

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static double fail(formula *f)
{
    f->is_bad = 1;
    return NAN;
}

/* "12", "1.5", ".5"; a 0 in front of other digits is part of a date or a code. */
static double read_number(formula *f)
{
    char digits[MOST_DIGITS + 1];
    size_t n = 0;
    if (peek(f, 0) == '0' && is_digit(peek(f, 1)))
        return fail(f);
    for (int n_points = 0; is_digit(peek(f, 0)) || (peek(f, 0) == '.' && n_points++ == 0); f->at++) {
        if (n == MOST_DIGITS)
            return fail(f);
        digits[n++] = peek(f, 0);
    }
    digits[n] = '\0';
    return strtod(digits, NULL);
}

/* The fraction of "1 1/2"; 0 if there is none. */
static double read_rest_of_mixed(formula *f)
{
    formula ahead = *f;
    skip_spaces(&ahead);
    if (ahead.at == f->at || !is_digit(peek(&ahead, 0)))
        return 0;
    double above = read_number(&ahead);
    if (ahead.is_bad || peek(&ahead, 0) != '/' || !is_digit(peek(&ahead, 1)))
        return 0;
    ahead.at++;
    ahead.n_signs++;
    double below = read_number(&ahead);
    *f = ahead;
    return above / below;
}

/* Length of the letter at f, in bytes; 0: there is none. */
static size_t letter_size(const formula *f)
{
    uint32_t code;
    if (f->at == f->text.size)
        return 0;
    int n = fv_utf8_decode(f->text.data + f->at, f->text.size - f->at, &code);
    utf8proc_category_t c = n > 0 ? utf8proc_category((utf8proc_int32_t)code) : UTF8PROC_CATEGORY_CN;
    return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO ? (size_t)n : 0;
}

/* A run of letters, with an index: "x", "area", "x_1". */
static fv_slice read_name(formula *f)
{
    size_t first = f->at;
    for (size_t n; (n = letter_size(f)) > 0;)
        f->at += n;
    if (peek(f, 0) == '_' && is_digit(peek(f, 1)))
        for (f->at++; is_digit(peek(f, 0)); f->at++)
            ;
    return fv_slice_cut(f->text, first, f->at);
}

static double sample_of(fv_slice name, int sample)
{
    XXH64_hash_t hash = XXH3_64bits_withSeed(name.data, name.size, (XXH64_hash_t)sample + 1);
    return 1.1 + (double)(hash >> 11) * 0x1p-53;
}

static double read_sum(formula *f);
static double read_factor(formula *f);

static double read_group(formula *f)
{
    double value = read_sum(f);
    return accept_sign(f, ')') ? value : fail(f);
}

/* *is_name: nothing may follow it without a sign. */
static double read_atom(formula *f, int *is_name)
{
    *is_name = 0;
    if (accept_sign(f, '('))
        return read_group(f);
    if (is_digit(peek(f, 0)) || (peek(f, 0) == '.' && is_digit(peek(f, 1)))) {
        double whole = read_number(f);
        return whole + read_rest_of_mixed(f);
    }
    fv_slice name = read_name(f);
    if (name.size == 0)
        return fail(f);
    if (fv_slice_equal(name, fv_slice_of("pi")))
        return 3.14159265358979323846;
    if (fv_slice_equal(name, fv_slice_of("sqrt"))) {
        f->n_signs++;
        return sqrt(read_atom(f, is_name));
    }
    *is_name = 1;
    return sample_of(name, f->sample);
}

static double read_power(formula *f, int *is_name)
{
    double base = read_atom(f, is_name);
    return accept_sign(f, '^') ? pow(base, read_factor(f)) : base;
}

static double read_signed(formula *f, int *is_name)
{
    int is_negative = 0;
    while (peek(f, 0) == '-' || peek(f, 0) == '+')
        is_negative ^= accept_sign(f, '-') || !accept_sign(f, '+');
    double value = read_power(f, is_name);
    return is_negative ? -value : value;
}

static double read_factor(formula *f)
{
    int is_name;
    if (++f->depth > MOST_DEPTH)
        return fail(f);
    double value = read_signed(f, &is_name);
    f->depth--;
    return value;
}

static double read_product(formula *f)
{
    int is_name, n_divisions = 0;
    double value = read_signed(f, &is_name);
    while (!f->is_bad) {
        if (accept_sign(f, '*'))
            value *= read_signed(f, &is_name);
        else if (accept_sign(f, '/') && n_divisions++ == 0)
            value /= read_signed(f, &is_name);
        else if (!is_name && (peek(f, 0) == '(' || letter_size(f) > 0))
            value *= read_power(f, &is_name);
        else
            break;
    }
    return n_divisions > 1 ? fail(f) : value;
}

static double read_sum(formula *f)
{
    if (++f->depth > MOST_DEPTH)
        return fail(f);
    double value = read_product(f);
    while (!f->is_bad && (peek(f, 0) == '+' || peek(f, 0) == '-'))
        value += accept_sign(f, '-') ? -read_product(f) : accept_sign(f, '+') ? read_product(f) : 0;
    f->depth--;
    return value;
}

/* Whether the text is a formula; *out: its value for a sample, finite; *n_signs: how much of one it is. */
static int compute(fv_slice text, int sample, double *out, int *n_signs)
{
    formula f = {.text = text, .sample = sample};
    skip_spaces(&f);
    *out = read_sum(&f);
    skip_spaces(&f);
    *n_signs = f.n_signs;
    return !f.is_bad && f.at == text.size && isfinite(*out);
}

/* Digits and hyphens only, at least one between digits: a date, a range, a number to call. */
static int is_range(fv_slice text)
{
    int n_hyphens = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (!is_digit(text.data[i]) && text.data[i] != '-' && text.data[i] != ' ')
            return 0;
        n_hyphens += i > 0 && text.data[i] == '-';
    }
    return n_hyphens;
}

int fv_formulas_equal(fv_slice a, fv_slice b)
{
    int range_a = is_range(a), range_b = is_range(b);
    if (range_a > 1 || range_b > 1 || (range_a && range_b))
        return 0;
    for (int sample = 0; sample < N_SAMPLES; sample++) {
        double x, y;
        int signs_a, signs_b;
        if (!compute(a, sample, &x, &signs_a) || !compute(b, sample, &y, &signs_b) || signs_a + signs_b == 0)
            return 0;
        if (fabs(x - y) > 1e-12 * fmax(fabs(x), fabs(y)))
            return 0;
    }
    return 1;
}
