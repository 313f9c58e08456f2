/* \boxed{...}, and simple LaTeX as plain text. */
#include "reward/verifier/verifier_internal.h"

#include <ctype.h>
#include <string.h>

enum { MOST_DEPTH = 64 }; /* of braces, and so of fractions in fractions */

typedef struct plain_text {
    fv_buffer *out;
    int keeps_dollars; /* "$5" is money; in pairs they are no more than marks */
} plain_text;

static fv_slice rest_of(fv_slice text, size_t first)
{
    return fv_slice_cut(text, first, text.size);
}

static int starts(fv_slice text, const char *start)
{
    return fv_slice_starts(text, fv_slice_of(start));
}

static size_t n_spaces(fv_slice text)
{
    size_t n = 0;
    while (n < text.size && text.data[n] == ' ')
        n++;
    return n;
}

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

static fv_slice inside(fv_slice text, size_t size_of_group)
{
    return fv_slice_cut(text, 1, size_of_group - 1);
}

/* Boxes. */

static size_t find_last_command(fv_slice text, size_t *size)
{
    size_t at = fv_slice_find_last(text, fv_slice_of("\\boxed"));
    size_t frame = fv_slice_find_last(text, fv_slice_of("\\fbox"));
    int is_frame = frame != FV_SLICE_NONE && (at == FV_SLICE_NONE || frame > at);
    *size = strlen(is_frame ? "\\fbox" : "\\boxed");
    return is_frame ? frame : at;
}

int fv_text_unbox(fv_slice *text)
{
    const fv_slice end_of_thought = fv_slice_of("</think>");
    size_t thought = fv_slice_find_last(*text, end_of_thought), size;
    fv_slice said = thought == FV_SLICE_NONE ? *text : rest_of(*text, thought + end_of_thought.size);
    size_t at = find_last_command(said, &size);
    if (at == FV_SLICE_NONE)
        return 0;
    fv_slice group = fv_slice_trim(rest_of(said, at + size));
    size = group_size(group);
    if (size)
        *text = fv_slice_trim(inside(group, size));
    return size > 0;
}

int fv_text_is_latex(fv_slice text)
{
    text = fv_slice_trim(text);
    for (size_t i = 0; i + 1 < text.size; i++)
        if (text.data[i] == '\\' &&
            (isalpha((unsigned char)text.data[i + 1]) || strchr("%${}()[],;!", text.data[i + 1])))
            return 1;
    return text.size > 2 && text.data[0] == '$' && text.data[text.size - 1] == '$';
}

/* Plain text. */

static fv_err append_plain(plain_text *p, fv_slice latex);

static fv_err append(plain_text *p, const char *text)
{
    return fv_buffer_append(p->out, text, strlen(text));
}

/* In parentheses unless it is one number or letter run. */
static fv_err append_side(plain_text *p, fv_slice side)
{
    int is_simple = 1;
    for (size_t i = 0; i < side.size; i++)
        is_simple = is_simple && !strchr(" +-*/\\^_{}", side.data[i]);
    FV_TRY(append(p, is_simple ? "" : "("));
    FV_TRY(append_plain(p, side));
    return append(p, is_simple ? "" : ")");
}

/* The argument at the start of text: a group or one character, spaces before it aside. *size: with those; 0
 * if there is none. */
static fv_slice take_argument(fv_slice text, size_t *size)
{
    size_t gap = n_spaces(text);
    fv_slice rest = rest_of(text, gap);
    size_t group = group_size(rest);
    int is_letter = rest.size > 0 && isalnum((unsigned char)rest.data[0]);
    *size = group ? gap + group : is_letter ? gap + 1 : 0;
    return group ? inside(rest, group) : fv_slice_cut(rest, 0, (size_t)is_letter);
}

/* Whether what follows a fraction would be read as part of its lower side. */
static int binds(fv_slice text)
{
    static const char *const commands[] = {"\\sqrt", "\\pi", "\\frac", "\\dfrac", "\\tfrac", "(", "^"};
    fv_slice rest = rest_of(text, n_spaces(text));
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (starts(rest, commands[i]))
            return 1;
    return rest.size > 0 && isalnum((unsigned char)rest.data[0]);
}

static fv_err print_fraction(plain_text *p, fv_slice above, fv_slice below, int is_bound)
{
    int is_mixed = p->out->size > 0 && isdigit((unsigned char)p->out->data[p->out->size - 1]);
    FV_TRY(append(p, is_mixed ? " " : ""));
    FV_TRY(append(p, is_bound ? "(" : ""));
    FV_TRY(append_side(p, above));
    FV_TRY(append(p, "/"));
    FV_TRY(append_side(p, below));
    return append(p, is_bound ? ")" : "");
}

/* "\frac{a}{b}" or "\frac12" as "a/b", "1\frac12" as "1 1/2". *size as in append_next; 0: it is not there. */
static fv_err append_fraction(plain_text *p, fv_slice latex, size_t *size)
{
    static const char *const commands[] = {"\\frac", "\\dfrac", "\\tfrac", "\\cfrac"};
    size_t n_above, n_below;
    *size = 0;
    for (int i = 0; i < 4 && *size == 0; i++)
        if (starts(latex, commands[i]))
            *size = strlen(commands[i]);
    if (*size == 0)
        return FV_OK;
    fv_slice above = take_argument(rest_of(latex, *size), &n_above);
    fv_slice below = take_argument(rest_of(latex, *size + n_above), &n_below);
    *size = n_above && n_below ? *size + n_above + n_below : 0;
    return *size ? print_fraction(p, above, below, binds(rest_of(latex, *size))) : FV_OK;
}

/* "\sqrt{a}" as "sqrt(a)", "\sqrt[3]{a}" as "(a)^(1/3)", "^{a}" as "^(a)". */
static fv_err append_with_argument(plain_text *p, fv_slice latex, size_t *size)
{
    int is_root = starts(latex, "\\sqrt"), is_power = starts(latex, "^{");
    fv_slice degree = {0};
    size_t n;
    *size = 0;
    if (!is_root && !is_power)
        return FV_OK;
    size_t at = is_root ? strlen("\\sqrt") : 1;
    if (is_root && latex.size > at + 2 && latex.data[at] == '[' && latex.data[at + 2] == ']') {
        degree = fv_slice_cut(latex, at + 1, at + 2);
        at += 3;
    }
    fv_slice argument = take_argument(rest_of(latex, at), &n);
    if (n == 0)
        return FV_OK;
    *size = at + n;
    if (is_power) {
        FV_TRY(append(p, "^"));
        return append_side(p, argument);
    }
    FV_TRY(append(p, degree.size ? "(" : "sqrt("));
    FV_TRY(append_plain(p, argument));
    FV_TRY(append(p, degree.size ? ")^(1/" : ""));
    FV_TRY(fv_buffer_append(p->out, degree.data, degree.size));
    return append(p, ")");
}

typedef struct spelling {
    const char *latex, *plain;
} spelling;

/* What a command or sign at the start of text means, or NULL. "\left" does not start "\leftarrow". */
static const spelling *find_spelling(fv_slice text)
{
    static const spelling spellings[] = {{"\\text", ""},
                                         {"\\textbf", ""},
                                         {"\\textit", ""},
                                         {"\\textrm", ""},
                                         {"\\mathrm", ""},
                                         {"\\mathbf", ""},
                                         {"\\mathit", ""},
                                         {"\\mathsf", ""},
                                         {"\\mbox", ""},
                                         {"\\hbox", ""},
                                         {"\\operatorname", ""},
                                         {"\\displaystyle", ""},
                                         {"\\left", ""},
                                         {"\\right", ""},
                                         {"\\big", ""},
                                         {"\\Big", ""},
                                         {"^{\\circ}", "°"},
                                         {"^\\circ", "°"},
                                         {"\\circ", "°"},
                                         {"\\degree", "°"},
                                         {"\\cdot", "*"},
                                         {"\\times", "*"},
                                         {"\\div", "/"},
                                         {"\\pi", "pi"},
                                         {"\\infty", "∞"},
                                         {"\\cup", "∪"},
                                         {"\\pm", "±"},
                                         {"\\leq", "<="},
                                         {"\\le", "<="},
                                         {"\\geq", ">="},
                                         {"\\ge", ">="},
                                         {"\\lt", "<"},
                                         {"\\gt", ">"},
                                         {"\\quad", " "},

                                         {"×", "*"},
                                         {"·", "*"},
                                         {"÷", "/"},
                                         {"π", "pi"},
                                         {"√", "sqrt"},
                                         {"²", "^2"},
                                         {"³", "^3"},
                                         {"≤", "<="},
                                         {"≥", ">="},
                                         {"\\%", "%"},
                                         {"\\$", "$"},
                                         {"\\{", "{"},
                                         {"\\}", "}"},
                                         {"\\(", ""},
                                         {"\\)", ""},
                                         {"\\[", ""},
                                         {"\\]", ""},
                                         {"\\,", ""},
                                         {"\\!", ""},
                                         {"\\;", " "},
                                         {"\\:", " "},
                                         {"\\ ", " "},
                                         {"~", " "},
                                         {"{", ""},
                                         {"}", ""}};
    for (size_t i = 0; i < sizeof spellings / sizeof spellings[0]; i++) {
        fv_slice latex = fv_slice_of(spellings[i].latex);
        int is_word = isalpha((unsigned char)latex.data[latex.size - 1]);
        if (fv_slice_starts(text, latex) &&
            !(is_word && text.size > latex.size && isalpha((unsigned char)text.data[latex.size])))
            return &spellings[i];
    }
    return NULL;
}

/* What the start of latex stands for; *size: how much of latex that was, at least 1. */
static fv_err append_next(plain_text *p, fv_slice latex, size_t *size)
{
    char c = latex.data[0];
    int is_itself = !(c & 0x80) && (c == '\0' || !strchr("\\^~{}$", c));
    const spelling *found = is_itself ? NULL : find_spelling(latex);
    *size = 1;
    if (is_itself)
        return fv_buffer_append(p->out, &c, 1);
    if (found) {
        *size = strlen(found->latex);
        return append(p, found->plain);
    }
    FV_TRY(append_fraction(p, latex, size));
    if (*size == 0)
        FV_TRY(append_with_argument(p, latex, size));
    if (*size)
        return FV_OK;
    *size = 1;
    return c == '$' && !p->keeps_dollars ? FV_OK : fv_buffer_append(p->out, &c, 1);
}

static fv_err append_plain(plain_text *p, fv_slice latex)
{
    size_t size;
    for (size_t at = 0; at < latex.size; at += size)
        FV_TRY(append_next(p, rest_of(latex, at), &size));
    return FV_OK;
}

fv_err fv_text_plain(fv_slice latex, fv_buffer *out)
{
    plain_text p = {.out = out};
    for (size_t i = 0; i < latex.size; i++)
        p.keeps_dollars ^= latex.data[i] == '$' && (i == 0 || latex.data[i - 1] != '\\');
    return append_plain(&p, latex);
}
