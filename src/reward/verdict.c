#include "fovea/reward/verdict.h"

#include "fovea/io/json.h"
#include "reward/verdict_internal.h"

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

static int take_word(fv_slice *text, const char *word)
{
    size_t n = strlen(word);
    if (text->size < n || strncasecmp(text->data, word, n) != 0)
        return 0;
    *text = fv_slice_cut(*text, n, text->size);
    return 1;
}

static int take_one_of(fv_slice *text, const char *const *words)
{
    while (*words)
        if (take_word(text, *words++))
            return 1;
    return 0;
}

/* Without markup and the mark of a list: "- ", "2. ". */
static fv_slice skip_bullet(fv_slice line)
{
    static const char *const bullets[] = {"-", "+", "\u2022", "\u2013", "\u2014", NULL};
    fv_slice rest = fv_markup_skip(line), number = rest;
    while (number.size > 0 && isdigit((unsigned char)number.data[0]))
        number = fv_slice_cut(number, 1, number.size);
    if (number.size < rest.size && (take_word(&number, ".") || take_word(&number, ")")))
        rest = number;
    else
        take_one_of(&rest, bullets);
    return fv_markup_skip(rest);
}

/* Take "1", "0", "1.0" or a full-width digit; -1 if there is none. */
static int take_score(fv_slice *text)
{
    static const char *const ones[] = {"1", "\uFF11", NULL}, *const zeros[] = {"0", "\uFF10", NULL};
    int score = take_one_of(text, ones) ? 1 : take_one_of(text, zeros) ? 0 : -1;
    size_t n = 1;
    while (n < text->size && text->data[n] == '0')
        n++;
    if (n > 1 && text->data[0] == '.')
        *text = fv_slice_cut(*text, n, text->size);
    return score;
}

static void count_score(int score, findings *found)
{
    found->n_right += score == 1;
    found->n_wrong += score == 0;
    found->n_strange += score != 0 && score != 1;
}

static void read_line(fv_slice line, findings *found)
{
    static const char *const colons[] = {":",      "=",      "\uFF1A", "\uFE55", "\uFE13", "\uFF1D",
                                         "\u2236", "\uA789", "\u0589", "\u05C3", "\u1804", NULL};
    fv_slice rest = skip_bullet(line);
    if (take_word(&rest, "final"))
        rest = fv_markup_skip(rest);
    if (!take_word(&rest, "score"))
        return;
    rest = fv_markup_skip(rest);
    if (!take_one_of(&rest, colons))
        return;
    rest = fv_markup_skip(rest);
    int score = take_score(&rest);
    count_score(score >= 0 && fv_remark_fits(rest, score) ? score : -1, found);
}

static void read_lines(fv_slice text, findings *found)
{
    const fv_slice newline = fv_slice_of("\n");
    while (text.size > 0) {
        size_t end = fv_slice_find(text, newline);
        if (end == FV_SLICE_NONE)
            end = text.size;
        read_line(fv_slice_cut(text, 0, end), found);
        text = fv_slice_cut(text, end < text.size ? end + 1 : end, text.size);
    }
}

/* The first part of text from a brace to the one that closes it, or to the end. 0 if there is none. */
static int find_object(fv_slice text, size_t *first, size_t *end)
{
    int depth = 0, in_string = 0;
    *first = fv_slice_find(text, fv_slice_of("{"));
    if (*first == FV_SLICE_NONE)
        return 0;
    for (*end = *first; *end < text.size;) {
        char c = text.data[(*end)++];
        if (in_string && c == '\\')
            *end += *end < text.size;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string)
            depth += (c == '{') - (c == '}');
        if (depth == 0)
            break;
    }
    return 1;
}

static const char *const score_keys[] = {"score", "Score"};
enum { N_SCORE_KEYS = 2 };

static int names_score(fv_slice text)
{
    return fv_slice_find(text, fv_slice_of("\"score\"")) != FV_SLICE_NONE ||
           fv_slice_find(text, fv_slice_of("\"Score\"")) != FV_SLICE_NONE;
}

static void read_members(const fv_json *object, findings *found)
{
    int n_scores = 0;
    for (int i = 0; i < N_SCORE_KEYS; i++) {
        double score;
        const fv_json *value = fv_json_get(object, score_keys[i]);
        if (!value)
            continue;
        n_scores++;
        int is_number = fv_json_to_real(value, score_keys[i], &score) == FV_OK;
        count_score(is_number && (score == 0 || score == 1) ? (int)score : -1, found);
    }
    found->n_strange += n_scores != 1;
}

static void read_object(fv_slice text, findings *found)
{
    fv_json *object;
    if (fv_json_parse(text.data, text.size, "reply", &object) != FV_OK) {
        found->n_strange++;
        return;
    }
    read_members(object, found);
    fv_json_destroy(object);
}

/* Lines, and at most one object that names a score; other braces are part of a line. */
static findings read_parts(fv_slice reply)
{
    findings found = {0};
    int n_objects = 0;
    size_t start = 0;
    for (size_t at = 0, first, end; find_object(fv_slice_cut(reply, at, reply.size), &first, &end);
         at += end) {
        fv_slice object = fv_slice_cut(reply, at + first, at + end);
        if (!names_score(object))
            continue;
        read_lines(fv_slice_cut(reply, start, at + first), &found);
        read_object(object, &found);
        start = at + end;
        n_objects++;
    }
    read_lines(fv_slice_cut(reply, start, reply.size), &found);
    found.n_strange += n_objects > 1;
    return found;
}

/* A reply that is a number and nothing else: 1 or 0, or -1. */
static int bare_score(fv_slice reply)
{
    while (reply.size > 0 && reply.data[0] != '#' && reply.data[0] != '>' && fv_is_markup(reply.data[0]))
        reply = fv_slice_cut(reply, 1, reply.size);
    int score = take_score(&reply);
    return fv_is_punctuation(reply) ? score : -1;
}

static fv_verdict parse_score(fv_slice reply)
{
    int bare = bare_score(reply);
    return bare >= 0 ? fv_verdict_given(bare) : conclude(read_parts(reply));
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
