/* Answers in \boxed{...}, with simple LaTeX undone. */
#include "loop/rules_internal.h"

#include <ctype.h>
#include <string.h>

enum { MOST_DEPTH = 64 }; /* of braces, and so of fractions in fractions */

/* Length of the group "{...}" at the start of text, braces included; 0 if there is none, it is not closed or
 * too deep. */
static size_t group_size(fv_slice text)
{
    int depth = 0;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (i == 0 && c != '{')
            return 0;
        if (c == '\\')
            i++;
        depth += (c == '{') - (c == '}');
        if (depth == 0)
            return i + 1;
        if (depth > MOST_DEPTH)
            return 0;
    }
    return 0;
}

static fv_slice rest_of(fv_slice text, size_t first)
{
    return fv_slice_cut(text, first, text.size);
}

static fv_slice inside(fv_slice text, size_t size_of_group)
{
    return fv_slice_cut(text, 1, size_of_group - 1);
}

static fv_slice unbox(fv_slice text)
{
    fv_slice command = fv_slice_of("\\boxed");
    size_t at = fv_slice_find_last(text, command);
    if (at == FV_SLICE_NONE)
        return text;
    fv_slice group = fv_slice_trim(rest_of(text, at + command.size));
    size_t size = group_size(group);
    return size ? inside(group, size) : text;
}

static fv_err append_plain(fv_slice latex, fv_buffer *out);

/* One side of a fraction: in parentheses unless it is one number or letter run. */
static fv_err append_side(fv_slice side, fv_buffer *out)
{
    int is_simple = 1;
    for (size_t i = 0; i < side.size; i++)
        is_simple = is_simple && !strchr(" +-*/\\^_{}", side.data[i]);
    FV_TRY(fv_buffer_append(out, "(", !is_simple));
    FV_TRY(append_plain(side, out));
    return fv_buffer_append(out, ")", !is_simple);
}

/* "{a}{b}" at the start of text as "a/b"; *size: its length, 0 if it is not there. */
static fv_err append_fraction(fv_slice text, fv_buffer *out, size_t *size)
{
    size_t above = group_size(text), below = group_size(rest_of(text, above));
    *size = above && below ? above + below : 0;
    if (*size == 0)
        return FV_OK;
    FV_TRY(append_side(inside(text, above), out));
    FV_TRY(fv_buffer_append(out, "/", 1));
    return append_side(inside(rest_of(text, above), below), out);
}

typedef struct spelling {
    const char *latex, *plain;
} spelling;

/* What a command or sign at the start of text means, or NULL. "\left" does not start "\leftarrow". */
static const spelling *find_spelling(fv_slice text)
{
    static const spelling spellings[] = {
        {"\\textbf", ""},   {"\\text", ""},   {"\\mathrm", ""}, {"\\left", ""}, {"\\right", ""},
        {"^{\\circ}", "°"}, {"^\\circ", "°"}, {"\\%", "%"},     {"\\$", "$"},   {"\\{", "{"},
        {"\\}", "}"},       {"\\,", ""},      {"\\!", ""},      {"\\;", " "},   {"\\ ", " "},
        {"~", " "},         {"$", ""},        {"{", ""},        {"}", ""}};
    for (size_t i = 0; i < sizeof spellings / sizeof spellings[0]; i++) {
        fv_slice latex = fv_slice_of(spellings[i].latex);
        int is_word = isalpha((unsigned char)latex.data[latex.size - 1]);
        if (fv_slice_starts(text, latex) &&
            !(is_word && text.size > latex.size && isalpha((unsigned char)text.data[latex.size])))
            return &spellings[i];
    }
    return NULL;
}

static size_t fraction_command(fv_slice text)
{
    static const char *const commands[] = {"\\frac", "\\dfrac", "\\tfrac"};
    for (int i = 0; i < 3; i++)
        if (fv_slice_starts(text, fv_slice_of(commands[i])))
            return strlen(commands[i]);
    return 0;
}

/* What the start of latex stands for; *size: how much of latex that was, at least 1. */
static fv_err append_next(fv_slice latex, fv_buffer *out, size_t *size)
{
    size_t command = fraction_command(latex);
    if (command) {
        FV_TRY(append_fraction(rest_of(latex, command), out, size));
        if (*size) {
            *size += command;
            return FV_OK;
        }
    }
    const spelling *found = find_spelling(latex);
    *size = found ? strlen(found->latex) : 1;
    return found ? fv_buffer_append(out, found->plain, strlen(found->plain))
                 : fv_buffer_append(out, latex.data, 1);
}

static fv_err append_plain(fv_slice latex, fv_buffer *out)
{
    size_t size;
    for (size_t at = 0; at < latex.size; at += size)
        FV_TRY(append_next(rest_of(latex, at), out, &size));
    return FV_OK;
}

fv_err fv_rule_boxed(fv_slice answer, fv_slice truth, double *score)
{
    fv_err err = FV_OK;
    fv_buffer given = {0}, right = {0};
    FV_TRY_DONE(append_plain(unbox(answer), &given));
    FV_TRY_DONE(append_plain(unbox(truth), &right));
    FV_TRY_DONE(
        fv_rule_number((fv_slice){given.data, given.size}, (fv_slice){right.data, right.size}, score));
done:
    fv_buffer_fini(&given);
    fv_buffer_fini(&right);
    return err;
}
