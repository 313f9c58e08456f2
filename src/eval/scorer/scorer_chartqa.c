/* Relaxed accuracy. */
#include "eval/scorer/scorer_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LONGEST_NUMBER = 400 };

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A run of digits, in which single "_" may stand between two. */
static const char *copy_digits(const char *at, char **to)
{
    while (is_digit(*at)) {
        *(*to)++ = *at++;
        at += at[0] == '_' && is_digit(at[1]);
    }
    return at;
}

static const char *copy_sign(const char *at, char **to)
{
    if (*at == '+' || *at == '-')
        *(*to)++ = *at++;
    return at;
}

static int is_no_number(const char *text)
{
    return strcasecmp(text, "inf") == 0 || strcasecmp(text, "infinity") == 0 || strcasecmp(text, "nan") == 0;
}

/* Whether float() would take the text; then copy it as strtod takes it. */
static int copy_float(const char *at, char *to)
{
    at = copy_sign(at, &to);
    if (is_no_number(at)) {
        strcpy(to, at);
        return 1;
    }
    char *first = to;
    at = copy_digits(at, &to);
    if (*at == '.') {
        *to++ = *at++;
        first++;
        at = copy_digits(at, &to);
    }
    if (to == first)
        return 0;
    if (*at == 'e' || *at == 'E') {
        *to++ = *at++;
        at = copy_sign(at, &to);
        first = to;
        at = copy_digits(at, &to);
        if (to == first)
            return 0;
    }
    *to = '\0';
    return *at == '\0';
}

int fv_scorer_number(fv_slice text, double *out)
{
    char copy[LONGEST_NUMBER + 1], number[LONGEST_NUMBER + 1];
    text = fv_scorer_strip(text);
    if (text.size == 0 || text.size > LONGEST_NUMBER || memchr(text.data, '\0', text.size))
        return 0;
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    if (!copy_float(copy, number))
        return 0;
    *out = strtod(number, NULL);
    return 1;
}

static int read_number(fv_slice text, double *out)
{
    int is_percent = text.size > 0 && text.data[text.size - 1] == '%';
    while (text.size > 0 && text.data[text.size - 1] == '%')
        text.size--;
    if (!fv_scorer_number(text, out))
        return 0;
    *out /= is_percent ? 100 : 1;
    return 1;
}

fv_err fv_rule_chartqa(const fv_said *said, double *score, fv_buffer *reading)
{
    double answer, truth;
    int is_right;
    FV_TRY(fv_buffer_append(reading, said->answer.data, said->answer.size));
    if (read_number(said->answer, &answer) && read_number(said->truth, &truth) && truth != 0)
        is_right = fabs(answer - truth) / fabs(truth) <= 0.05;
    else
        FV_TRY(fv_scorer_same(said->answer, said->truth, &is_right));
    *score = is_right;
    return FV_OK;
}
