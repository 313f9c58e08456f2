/* Numbers in texts, held in decimal so that equality is exact, and the verifiers over them. */
#include "fovea/base/text/utf8.h"
#include "reward/verifier/verifier_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { MOST_DIGITS = 64, MOST_EXPONENT_DIGITS = 9, MOST_UNIT_WORDS = 3 };

/* digits x 10^exponent, without zeros at either end of the digits; zero has none. */
typedef struct decimal {
    char digits[MOST_DIGITS];
    int n, n_zeros; /* n_zeros: seen behind the digits, while reading */
    long exponent;
} decimal;

typedef struct number {
    decimal numerator, denominator;
    int is_negative, is_fraction, is_percent;
    fv_slice currency, unit; /* empty if there is none */
} number;

/* A folded text and how far it is read. */
typedef struct text_reader {
    fv_slice text;
    size_t at;
} text_reader;

static char peek(const text_reader *reader, size_t ahead)
{
    size_t at = reader->at + ahead;
    return at < reader->text.size ? reader->text.data[at] : '\0';
}

static int skip(text_reader *reader, char c)
{
    int is_there = c != '\0' && peek(reader, 0) == c;
    reader->at += (size_t)is_there;
    return is_there;
}

static fv_slice rest_of(const text_reader *reader)
{
    return fv_slice_cut(reader->text, reader->at, reader->text.size);
}

static int skip_word(text_reader *reader, const char *word)
{
    int is_there = fv_slice_starts(rest_of(reader), fv_slice_of(word));
    reader->at += is_there ? strlen(word) : 0;
    return is_there;
}

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static utf8proc_category_t next_category(const text_reader *reader, int *length)
{
    uint32_t code = 0;
    if (reader->at == reader->text.size)
        return UTF8PROC_CATEGORY_CN;
    *length = fv_utf8_decode(reader->text.data + reader->at, reader->text.size - reader->at, &code);
    return utf8proc_category((utf8proc_int32_t)code);
}

static int push_digit(decimal *out, char digit)
{
    if (digit == '0') {
        out->n_zeros += out->n > 0;
        return 1;
    }
    if (out->n + out->n_zeros >= MOST_DIGITS)
        return 0;
    memset(out->digits + out->n, '0', (size_t)out->n_zeros);
    out->n += out->n_zeros;
    out->n_zeros = 0;
    out->digits[out->n++] = digit;
    return 1;
}

/* A run of digits; returns how many, -1 if they are more than a decimal holds. */
static int read_digits(text_reader *reader, decimal *out)
{
    int n = 0;
    for (; is_digit(peek(reader, 0)); reader->at++, n++)
        if (!push_digit(out, peek(reader, 0)))
            return -1;
    return n;
}

static int is_at_group(const text_reader *reader)
{
    return peek(reader, 0) == ',' && is_digit(peek(reader, 1)) && is_digit(peek(reader, 2)) &&
           is_digit(peek(reader, 3)) && !is_digit(peek(reader, 4));
}

/* "1234" or "1,234,567". Returns as read_digits does. */
static int read_whole(text_reader *reader, decimal *out)
{
    int n = read_digits(reader, out);
    for (int group = n; group > 0 && group <= 3 && is_at_group(reader);) {
        reader->at++;
        group = read_digits(reader, out);
        n = group < 0 ? -1 : n + group;
    }
    return n;
}

static int read_exponent(text_reader *reader, decimal *out)
{
    size_t sign = peek(reader, 1) == '-' || peek(reader, 1) == '+';
    if (peek(reader, 0) != 'e' || !is_digit(peek(reader, 1 + sign)))
        return 1;
    long value = 0, direction = peek(reader, 1) == '-' ? -1 : 1;
    reader->at += 1 + sign;
    for (int n = 0; is_digit(peek(reader, 0)); n++, reader->at++) {
        if (n == MOST_EXPONENT_DIGITS)
            return 0;
        value = value * 10 + (peek(reader, 0) - '0');
    }
    out->exponent += direction * value;
    return 1;
}

/* Digits with separators, a point, an exponent; no sign. */
static int read_decimal(text_reader *reader, decimal *out)
{
    *out = (decimal){0};
    int n_whole = read_whole(reader, out), n_behind = 0;
    if (n_whole >= 0 && peek(reader, 0) == '.' && is_digit(peek(reader, 1))) {
        reader->at++;
        n_behind = read_digits(reader, out);
    }
    if (n_whole < 0 || n_behind < 0 || n_whole + n_behind == 0)
        return 0;
    out->exponent = out->n_zeros - n_behind;
    if (!read_exponent(reader, out))
        return 0;
    if (out->n == 0)
        out->exponent = 0;
    return 1;
}

static int read_fraction(text_reader *reader, number *out)
{
    size_t start = reader->at;
    skip(reader, ' ');
    if (!skip(reader, '/')) {
        reader->at = start;
        return 1;
    }
    skip(reader, ' ');
    out->is_fraction = 1;
    return read_decimal(reader, &out->denominator) && out->denominator.n > 0;
}

static fv_slice read_currency(text_reader *reader)
{
    int length = 0;
    size_t start = reader->at;
    if (next_category(reader, &length) == UTF8PROC_CATEGORY_SC)
        reader->at += (size_t)length;
    return fv_slice_cut(reader->text, start, reader->at);
}

static int starts_unit(const text_reader *reader)
{
    int length = 0;
    utf8proc_category_t category = next_category(reader, &length);
    return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) ||
           fv_slice_starts(rest_of(reader), fv_slice_of("°"));
}

/* Words that make of a number something else: "3 or four", "3 and a half", "3 is wrong". */
static int starts_clause(fv_slice text)
{
    static const char *const words[] = {"and", "or",  "to",   "but",   "not", "is",
                                        "are", "was", "plus", "minus", "out", "over"};
    size_t size = fv_slice_find(text, fv_slice_of(" "));
    fv_slice word = size == FV_SLICE_NONE ? text : fv_slice_cut(text, 0, size);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (fv_slice_equal(word, fv_slice_of(words[i])))
            return 1;
    return 0;
}

/* The rest of the text, if it can be a unit. */
static int read_unit(text_reader *reader, number *out)
{
    int n_words = 1;
    if (reader->at == reader->text.size)
        return 1;
    if (!starts_unit(reader) || starts_clause(rest_of(reader)))
        return 0;
    out->unit = rest_of(reader);
    for (size_t i = 1; i < out->unit.size; i++)
        if (out->unit.data[i - 1] == ' ') {
            n_words++;
            if (is_digit(out->unit.data[i]))
                return 0;
        }
    return n_words <= MOST_UNIT_WORDS;
}

static int skip_sign(text_reader *reader)
{
    int is_negative = skip(reader, '-');
    if (!is_negative)
        skip(reader, '+');
    return is_negative;
}

/* Whether the folded text is a number. */
static int parse(fv_slice folded, number *out)
{
    text_reader reader = {fv_text_bare(folded), 0};
    *out = (number){0};
    size_t start = reader.at;
    out->is_negative = skip_sign(&reader);
    int has_sign = reader.at > start;
    skip(&reader, ' '); /* "- 4", "- $ 4" */
    out->currency = read_currency(&reader);
    if (!has_sign)
        out->is_negative = skip_sign(&reader);
    skip(&reader, ' ');
    if (!read_decimal(&reader, &out->numerator) || !read_fraction(&reader, out))
        return 0;
    if (out->numerator.n == 0)
        out->is_negative = 0;
    skip(&reader, ' ');
    out->is_percent = skip(&reader, '%') || skip_word(&reader, "percent");
    if (out->currency.size == 0)
        out->currency = read_currency(&reader);
    skip(&reader, ' ');
    return read_unit(&reader, out);
}

static int same_where_both_have(fv_slice a, fv_slice b)
{
    return a.size == 0 || b.size == 0 || fv_slice_equal(a, b);
}

static int is_commensurable(const number *a, const number *b)
{
    return same_where_both_have(a->currency, b->currency) && same_where_both_have(a->unit, b->unit);
}

/* Rounded once, as strtod does; 0 or infinite beyond the range of a double. */
static double decimal_value(const decimal *d)
{
    char text[MOST_DIGITS + 32];
    snprintf(text, sizeof text, "%.*se%ld", d->n, d->digits, d->exponent);
    return d->n > 0 ? strtod(text, NULL) : 0;
}

static double value(const number *a)
{
    double magnitude = decimal_value(&a->numerator);
    if (a->is_fraction)
        magnitude /= decimal_value(&a->denominator);
    return a->is_negative ? -magnitude : magnitude;
}

static int same_decimal(const decimal *a, const decimal *b)
{
    return a->n == b->n && a->exponent == b->exponent && memcmp(a->digits, b->digits, (size_t)a->n) == 0;
}

static int equal(const number *a, const number *b)
{
    int is_same = a->is_negative == b->is_negative && same_decimal(&a->numerator, &b->numerator) &&
                  same_decimal(&a->denominator, &b->denominator);
    return is_same || ((a->is_fraction || b->is_fraction) && isfinite(value(a)) && value(a) == value(b));
}

/* Percent as a factor. */
static number scaled(const number *a)
{
    number out = *a;
    if (a->is_percent && a->numerator.n > 0)
        out.numerator.exponent -= 2;
    return out;
}

static int same_number(const number *answer, const number *truth)
{
    number a = scaled(answer), t = scaled(truth);
    return equal(&a, &t) || (answer->is_percent != truth->is_percent && equal(answer, truth));
}

static int near_number(const number *answer, const number *truth)
{
    number a = scaled(answer), t = scaled(truth);
    double x = value(&a), y = value(&t);
    if (y == 0 || !isfinite(x) || !isfinite(y))
        return equal(&a, &t);
    /* 1.05 is 5 % away from 1, but not in binary: hence a hair more. */
    return fabs(x - y) <= 0.05 * fabs(y) * (1 + 1e-9);
}

static int compare(fv_slice answer, fv_slice truth, int (*matches)(const number *, const number *),
                   int *is_match)
{
    number a, t;
    int are_numbers = parse(answer, &a) && parse(truth, &t);
    *is_match = are_numbers && is_commensurable(&a, &t) && matches(&a, &t);
    return are_numbers;
}

int fv_numbers_compare(fv_slice answer, fv_slice truth, int *is_equal)
{
    return compare(answer, truth, same_number, is_equal);
}

static fv_err score_numbers(fv_slice answer, fv_slice truth, int (*matches)(const number *, const number *),
                            double *score)
{
    fv_text_pair pair;
    int is_match;
    FV_TRY(fv_text_pair_init(&pair, answer, truth));
    int are_numbers = compare(pair.answer, pair.truth, matches, &is_match);
    fv_text_pair_fini(&pair);
    *score = is_match;
    return are_numbers ? FV_OK : fv_verifier_exact(answer, truth, score);
}

fv_err fv_verifier_number(fv_slice answer, fv_slice truth, double *score)
{
    return score_numbers(answer, truth, same_number, score);
}

fv_err fv_verifier_relaxed(fv_slice answer, fv_slice truth, double *score)
{
    return score_numbers(answer, truth, near_number, score);
}
