#include "fovea/verdict.h"

#include "fovea/json.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

const char *fv_unjudged_name(fv_unjudged why)
{
    static const char *const names[] = {
#define X(name, text) text,
        FV_UNJUDGED_LIST(X)
#undef X
    };
    return names[why];
}

fv_verdict fv_verdict_given(double score)
{
    return (fv_verdict){.has_verdict = 1, .score = score};
}

fv_verdict fv_verdict_none(fv_unjudged why)
{
    return (fv_verdict){.why = why};
}

/* What the parts of a reply say, one after the other. */
typedef struct findings {
    int n_right, n_wrong, n_strange;
} findings;

static fv_verdict conclude(findings found)
{
    if (found.n_strange || (!found.n_right && !found.n_wrong))
        return fv_verdict_none(FV_UNJUDGED_UNCLEAR);
    if (found.n_right && found.n_wrong)
        return fv_verdict_none(FV_UNJUDGED_BOTH);
    return fv_verdict_given(found.n_right > 0);
}

/* Words. */

static fv_verdict parse_words(fv_slice reply)
{
    const fv_slice open = fv_slice_of("[["), close = fv_slice_of("]]"), yes = fv_slice_of("YES"),
                   no = fv_slice_of("NO");
    findings found = {0};
    for (size_t at; (at = fv_slice_find(reply, open)) != FV_SLICE_NONE;) {
        reply = fv_slice_cut(reply, at + open.size, reply.size);
        size_t end = fv_slice_find(reply, close);
        fv_slice word = fv_slice_cut(reply, 0, end == FV_SLICE_NONE ? 0 : end);
        if (fv_slice_equal(word, yes))
            found.n_right++;
        else if (fv_slice_equal(word, no))
            found.n_wrong++;
        else
            found.n_strange++;
    }
    return conclude(found);
}

/* Scores. */

static int is_markup(char c)
{
    return c != '\0' && strchr(" \t\r*_`\"'#>", c) != NULL;
}

static fv_slice skip_markup(fv_slice text)
{
    size_t n = 0;
    while (n < text.size && is_markup(text.data[n]))
        n++;
    return fv_slice_cut(text, n, text.size);
}

static int take_word(fv_slice *text, const char *word)
{
    size_t n = strlen(word);
    if (text->size < n || strncasecmp(text->data, word, n) != 0)
        return 0;
    *text = fv_slice_cut(*text, n, text->size);
    return 1;
}

/* Nothing but punctuation, or a remark in parentheses that holds no digit. */
static int is_end_of_line(fv_slice rest)
{
    int depth = 0;
    for (size_t i = 0; i < rest.size; i++) {
        char c = rest.data[i];
        depth += (c == '(') - (c == ')');
        if (isdigit((unsigned char)c) || depth < 0)
            return 0;
        if (depth == 0 && !is_markup(c) && (c == '\0' || !strchr(".,;!)", c)))
            return 0;
    }
    return depth == 0;
}

static void read_line(fv_slice line, findings *found)
{
    fv_slice rest = skip_markup(line);
    if (take_word(&rest, "final"))
        rest = skip_markup(rest);
    if (!take_word(&rest, "score"))
        return;
    rest = skip_markup(rest);
    if (!take_word(&rest, ":") && !take_word(&rest, "="))
        return;
    rest = skip_markup(rest);
    int is_digit = rest.size > 0 && (rest.data[0] == '0' || rest.data[0] == '1');
    if (!is_digit || !is_end_of_line(fv_slice_cut(rest, 1, rest.size)))
        found->n_strange++;
    else if (rest.data[0] == '1')
        found->n_right++;
    else
        found->n_wrong++;
}

static fv_verdict parse_lines(fv_slice reply)
{
    const fv_slice newline = fv_slice_of("\n");
    findings found = {0};
    while (reply.size > 0) {
        size_t end = fv_slice_find(reply, newline);
        if (end == FV_SLICE_NONE)
            end = reply.size;
        read_line(fv_slice_cut(reply, 0, end), &found);
        reply = fv_slice_cut(reply, end < reply.size ? end + 1 : end, reply.size);
    }
    return conclude(found);
}

/* Without the fence of a code block around all of it. */
static fv_slice unfence(fv_slice text)
{
    const fv_slice fence = fv_slice_of("```");
    size_t first = fv_slice_find(text, fv_slice_of("\n")), last = fv_slice_find_last(text, fence);
    if (!fv_slice_starts(text, fence) || first == FV_SLICE_NONE || last <= first ||
        last + fence.size != text.size)
        return text;
    return fv_slice_trim(fv_slice_cut(text, first + 1, last));
}

static fv_verdict read_object(const fv_json *object)
{
    int64_t score = -1;
    const fv_json *value = fv_json_get(object, "score");
    if (!value || fv_json_to_integer(value, "score", &score) != FV_OK || (score != 0 && score != 1))
        return fv_verdict_none(FV_UNJUDGED_UNCLEAR);
    return fv_verdict_given((double)score);
}

static fv_verdict parse_score(fv_slice reply)
{
    fv_slice inner = unfence(reply);
    fv_json *root;
    if (inner.size == 0 || inner.data[0] != '{')
        return parse_lines(reply);
    if (fv_json_parse(inner.data, inner.size, "reply", &root) != FV_OK)
        return fv_verdict_none(FV_UNJUDGED_UNCLEAR);
    fv_verdict verdict = read_object(root);
    fv_json_destroy(root);
    return verdict;
}

/* The reply proper. 0 if it thinks to its end. */
static int skip_thoughts(fv_slice *reply)
{
    const fv_slice open = fv_slice_of("<think>"), close = fv_slice_of("</think>");
    size_t last = fv_slice_find_last(*reply, close);
    if (last != FV_SLICE_NONE)
        *reply = fv_slice_cut(*reply, last + close.size, reply->size);
    return fv_slice_find(*reply, open) == FV_SLICE_NONE;
}

fv_verdict fv_verdict_parse(fv_grammar grammar, fv_slice reply)
{
    if (!skip_thoughts(&reply))
        return fv_verdict_none(FV_UNJUDGED_CUT);
    reply = fv_slice_trim(reply);
    return grammar == FV_GRAMMAR_WORDS ? parse_words(reply) : parse_score(reply);
}
