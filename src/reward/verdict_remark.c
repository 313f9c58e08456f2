/* A remark behind a score. It is read word by word, in English, and what takes the score back, or might,
 * spoils it: a judge that says "Score: 1, or maybe 0" has given no verdict. */
#include "reward/verdict_internal.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum { REACH = 3 }; /* words that a "not" is looked for a meaning in */

int fv_is_markup(char c)
{
    return c != '\0' && strchr(" \t\r*_`\"'#>", c) != NULL;
}

fv_slice fv_markup_skip(fv_slice text)
{
    size_t n = 0;
    while (n < text.size && fv_is_markup(text.data[n]))
        n++;
    return fv_slice_cut(text, n, text.size);
}

static int is_word_byte(char c)
{
    return isalnum((unsigned char)c) || c == '\'' || (c & 0x80);
}

/* Take the next word off text; 0 at its end. */
static int next_word(fv_slice *text, fv_slice *word)
{
    size_t first = 0, end;
    while (first < text->size && !is_word_byte(text->data[first]))
        first++;
    for (end = first; end < text->size && is_word_byte(text->data[end]); end++)
        ;
    *word = fv_slice_cut(*text, first, end);
    *text = fv_slice_cut(*text, end, text->size);
    return end > first;
}

/* Whether a word is in a list; "differ*" there stands for all that starts so. */
static int is_among(fv_slice word, const char *const *list)
{
    for (; *list; list++) {
        size_t n = strcspn(*list, "*");
        int is_start = word.size >= n && strncasecmp(word.data, *list, n) == 0;
        if (is_start && (word.size == n || (*list)[n] == '*'))
            return 1;
    }
    return 0;
}

static int is_negation(fv_slice word)
{
    static const char *const list[] = {"not", "no", "never", "neither", "nor", "without", "cannot", NULL};
    return is_among(word, list) || (word.size > 3 && strncasecmp(word.data + word.size - 3, "n't", 3) == 0);
}

static int is_hedge(fv_slice word)
{
    static const char *const list[] = {
        "or",    "out",      "half",      "maybe",   "perhaps", "partial*", "possibl*", "zero",   "one",
        "two",   "ten",      "unless",    "if",      "but",     "however",  "although", "though", "would",
        "could", "may",      "might",     "scale",   "point*",  "percent*", "max*",     "either", "unsure",
        "wait",  "actually", "uncertain", "unclear", "score*",  NULL};
    return is_among(word, list);
}

static int is_bad(fv_slice word)
{
    static const char *const list[] = {"wrong*",      "incorrect*",  "false",    "mismatch*", "differ*",
                                       "disagree*",   "contradict*", "fail*",    "missing",   "unlike",
                                       "discrepanc*", "conflict*",   "unequal*", "inaccura*", NULL};
    return is_among(word, list);
}

static int is_good(fv_slice word, fv_slice before)
{
    static const char *const plain[] = {"agree*",     "match*",     "same", "equal*",
                                        "identical*", "equivalen*", NULL};
    static const char *const behind[] = {"correct", "right", "true", NULL};
    static const char *const verbs[] = {"is", "are", "both", "fully", NULL};
    return is_among(word, plain) || (is_among(word, behind) && (before.size == 0 || is_among(before, verbs)));
}

typedef struct tone {
    int n_good, n_bad, n_hedges;
} tone;

/* "not" turns round the next word that means something; with none near it is bad itself. */
static tone tone_of(fv_slice remark)
{
    tone out = {0};
    int reach = 0;
    for (fv_slice word, before = {0}; next_word(&remark, &word); before = word) {
        int is_turned = reach > 0, bad = is_bad(word), good = is_good(word, before);
        out.n_hedges += is_hedge(word);
        if (is_negation(word)) {
            out.n_bad += is_turned;
            reach = REACH;
        } else if (bad || good) {
            out.n_bad += is_turned ? good : bad;
            out.n_good += is_turned ? bad : good;
            reach = 0;
        } else if (is_turned && --reach == 0) {
            out.n_bad++;
        }
    }
    out.n_bad += reach > 0;
    return out;
}

static int is_digit_at(fv_slice text, size_t at)
{
    return at < text.size && isdigit((unsigned char)text.data[at]);
}

/* Whether a digit stands for itself: it is no part of "10", "1.5" or "1,000". */
static int is_alone(fv_slice text, size_t at)
{
    size_t after = at + 1, gap_after = after < text.size && strchr(".,", text.data[after]) != NULL;
    size_t gap_before = at > 1 && strchr(".,", text.data[at - 1]) != NULL;
    return !is_digit_at(text, after + gap_after) && (at == 0 || !is_digit_at(text, at - 1 - gap_before));
}

/* Another score among the words: "0" behind a 1, "1/10", "5 %". */
static int has_other_score(fv_slice remark, int score)
{
    for (size_t i = 0; i < remark.size; i++) {
        char c = remark.data[i];
        if (c == '/' || c == '%' || (c == (score ? '0' : '1') && is_alone(remark, i)))
            return 1;
    }
    return 0;
}

static int has_digit(fv_slice text)
{
    for (size_t i = 0; i < text.size; i++)
        if (isdigit((unsigned char)text.data[i]))
            return 1;
    return fv_slice_find(text, fv_slice_of("\xEF\xBC")) != FV_SLICE_NONE; /* full-width forms */
}

/* ASCII without control characters: of other scripts neither words nor digits are known. */
static int is_readable(fv_slice text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] != '\t' && text.data[i] != '\r' && (text.data[i] < ' ' || text.data[i] > '~'))
            return 0;
    return 1;
}

int fv_is_punctuation(fv_slice text)
{
    const fv_slice full_stop = fv_slice_of("\u3002");
    for (size_t i = 0; i < text.size; i++) {
        if (fv_slice_starts(fv_slice_cut(text, i, text.size), full_stop))
            i += full_stop.size - 1;
        else if (!fv_is_markup(text.data[i]) && (text.data[i] == '\0' || !strchr(".,;!", text.data[i])))
            return 0;
    }
    return 1;
}

/* "(...)" and punctuation; any script, but no digit. */
static int is_in_parentheses(fv_slice text)
{
    int depth = 0;
    for (size_t i = 0; i < text.size; i++) {
        depth += (text.data[i] == '(') - (text.data[i] == ')');
        if (depth <= 0)
            return i > 0 && fv_is_punctuation(fv_slice_cut(text, i + 1, text.size)) && !has_digit(text) &&
                   !memchr(text.data, '\0', text.size);
    }
    return 0;
}

/* Of a mark between a score and a reason at the start of text; 0: there is none. */
static size_t mark_size(fv_slice text)
{
    if (fv_slice_starts(text, fv_slice_of("\u2013")) || fv_slice_starts(text, fv_slice_of("\u2014")))
        return strlen("\u2013");
    return text.size > 0 && (fv_is_markup(text.data[0]) || (text.data[0] && strchr(".,;:-", text.data[0])));
}

/* ", since ...", ". The answers agree.", "because ...": digits only in a cause, where answers are named. */
static int is_reason(fv_slice text, int score)
{
    static const char *const causes[] = {"since", "because", "as", "reason", "explanation", NULL};
    size_t n = 0;
    for (size_t size; (size = mark_size(fv_slice_cut(text, n, text.size))) > 0;)
        n += size;
    int is_apart = n > 1 && (text.data[n - 1] == ' ' || text.data[n - 1] == '\t');
    fv_slice reason = fv_slice_cut(text, n, text.size), rest = reason, word;
    if (!is_readable(rest) || !next_word(&rest, &word))
        return 0;
    int is_cause = is_among(word, causes);
    return n > 0 && (is_cause ? !has_other_score(reason, score) : is_apart && !has_digit(reason));
}

int fv_remark_fits(fv_slice rest, int score)
{
    fv_slice text = fv_markup_skip(rest);
    if (fv_is_punctuation(text))
        return 1;
    if (!is_in_parentheses(text) && !is_reason(rest, score))
        return 0;
    tone t = tone_of(text);
    return t.n_hedges == 0 && (score ? t.n_bad == 0 : t.n_good == 0 || t.n_bad > 0);
}
