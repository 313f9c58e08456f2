/* Which letter an answer chooses. Letters are found one by one; what stands around one says whether it is
 * chosen, refused, or no letter of a choice at all ("A cat", "vitamin C"). */
#include "reward/verifier/verifier_internal.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum {
    REACH = 3,        /* words looked at around a letter, */
    MOST_FILLERS = 6, /* and between "answer" and one */
    LONGEST_WORD = 64
};

/* How clearly a letter is chosen. The clearest decide. */
typedef enum tier { TIER_ANSWER, TIER_CORRECT, TIER_LEAD, TIERS, TIER_NONE = TIERS } tier;

static size_t span_of(fv_slice text, size_t from, const char *set)
{
    size_t n = 0;
    while (from + n < text.size && text.data[from + n] != '\0' && strchr(set, text.data[from + n]))
        n++;
    return n;
}

static int is_space(char c)
{
    return isspace((unsigned char)c);
}

static fv_slice rest_of(fv_slice text, size_t first)
{
    return fv_slice_cut(text, first, text.size);
}

static int is_among(fv_slice word, const char *const *list)
{
    for (; *list; list++)
        if (word.size == strlen(*list) && strncasecmp(word.data, *list, word.size) == 0)
            return 1;
    return 0;
}

/* A word without the marks around it. */
static fv_slice bare(fv_slice word)
{
    static const char marks[] = "()[]*\"'`_.,;:!?";
    while (word.size > 0 && strchr(marks, word.data[word.size - 1]))
        word.size--;
    return rest_of(word, span_of(word, 0, marks));
}

/* The word behind at, which moves behind it; empty at the end. */
static fv_slice next_word(fv_slice text, size_t *at)
{
    while (*at < text.size && is_space(text.data[*at]))
        ++*at;
    size_t first = *at;
    while (*at < text.size && !is_space(text.data[*at]) && *at - first < LONGEST_WORD)
        ++*at;
    return fv_slice_cut(text, first, *at);
}

/* The word before at, which moves before it; empty at the start. */
static fv_slice word_before(fv_slice text, size_t *at)
{
    while (*at > 0 && is_space(text.data[*at - 1]))
        --*at;
    size_t end = *at;
    while (*at > 0 && !is_space(text.data[*at - 1]) && end - *at < LONGEST_WORD)
        --*at;
    return fv_slice_cut(text, *at, end);
}

static int ends_with(fv_slice word, const char *marks)
{
    return word.size > 0 && word.data[word.size - 1] != '\0' && strchr(marks, word.data[word.size - 1]);
}

/* "is correct", "must be the right answer" behind a letter. */
static int is_called_correct(fv_slice text, size_t at)
{
    static const char *const verbs[] = {"is", "was", "must", "seems", "looks", NULL};
    static const char *const praise[] = {"correct", "right", "answer", "best", "true", "closest", NULL};
    if (!is_among(next_word(text, &at), verbs))
        return 0;
    for (int i = 0; i <= REACH; i++) {
        fv_slice word = next_word(text, &at);
        if (is_among(bare(word), praise))
            return 1;
        if (ends_with(word, ".,;:"))
            return 0;
    }
    return 0;
}

/* Words that may follow a letter in a sentence. What else does is a name of something: "C major", "A cat". */
static int follows_letter(fv_slice word)
{
    static const char *const words[] = {"is",     "was",    "because", "since", "as",     "and",    "or",
                                        "but",    "so",     "not",     "must",  "seems",  "would",  "looks",
                                        "has",    "isn't",  "which",   "for",   "given",  "due",    "here",
                                        "though", "based",  "it",      "this",  "that",   "the",    "if",
                                        "can't",  "cannot", "=",       "-",     "\u2013", "\u2014", NULL};
    return word.size == 0 || is_among(bare(word), words) || is_among(word, words) ||
           strchr("(/&", word.data[0]);
}

int fv_label_parse(fv_slice text, int is_in_sentence, fv_label *out)
{
    size_t at = span_of(text, 0, "([*\"'`_");
    if (at == text.size || !isalpha((unsigned char)text.data[at]))
        return 0;
    char letter = text.data[at];
    size_t n_marks = span_of(text, at + 1, ".):]*\"'`_"), end = at + 1 + n_marks, word_at = end;
    char next = end < text.size ? text.data[end] : ' ';
    int is_set_off = next == '\n' || end == text.size ||
                     (n_marks > 0 && (is_space(next) || strchr("):]", text.data[end - 1])));
    if (!is_set_off) {
        int is_upper = is_in_sentence && isupper((unsigned char)letter);
        int is_apart =
            strchr(",;!?/&", next) || (is_space(next) && follows_letter(next_word(text, &word_at)));
        if (!is_upper || !is_apart || (letter == 'I' && !is_called_correct(text, end)))
            return 0;
    }
    *out = (fv_label){(char)toupper((unsigned char)letter), end, is_set_off};
    return 1;
}

/* Around a letter. */

static int is_negation(fv_slice word)
{
    static const char *const words[] = {"not",        "never",      "neither", "nor",   "except",
                                        "unlike",     "than",       "cannot",  "wrong", "incorrect",
                                        "false",      "impossible", "exclude", "rule",  "eliminate",
                                        "eliminated", "excluded",   NULL};
    word = bare(word);
    size_t n = word.size;
    return is_among(word, words) || (n > 3 && strncasecmp(word.data + n - 3, "n't", 3) == 0) ||
           (n > 5 && memcmp(word.data + n - 5, "n\u2019t", 5) == 0);
}

static int is_refused_before(fv_slice text, size_t at)
{
    static const char *const turns[] = {"but", "rather", "instead", "so", NULL};
    for (int i = 0; i < REACH; i++) {
        fv_slice word = word_before(text, &at);
        if (word.size == 0 || ends_with(word, ".,;") || is_among(bare(word), turns))
            return 0;
        if (is_negation(word))
            return 1;
    }
    return 0;
}

static int is_refused_behind(fv_slice text, size_t at)
{
    static const char *const turns[] = {"but", "and", "or", NULL};
    for (int i = 0; i < REACH && span_of(text, at, ",;") == 0; i++) {
        fv_slice word = next_word(text, &at);
        if (is_among(bare(word), turns))
            return 0;
        if (is_negation(word))
            return 1;
        if (word.size == 0 || ends_with(word, ".,;"))
            return 0;
    }
    return 0;
}

/* What leads up to a letter. */
static tier lead_of(fv_slice text, size_t at)
{
    static const char *const fillers[] = {"the",    "letter",  "either", "both",       "probably", "likely",
                                          "most",   "clearly", "simply", "definitely", "be",       "must",
                                          "should", "would",   "option", "choice",     "",         NULL};
    static const char *const verbs[] = {"is", "=", "-", "\u2013", NULL}, *const nouns[] = {"option", "choice",
                                                                                           NULL};
    static const char *const answer[] = {"answer", NULL};
    static const char *const leads[] = {
        "is",      "be",       "it's",     "that's",    "it\u2019s",  "that\u2019s", "=",
        "so",      "thus",     "hence",    "therefore", "think",      "believe",     "choose",
        "chose",   "pick",     "select",   "guess",     "say",        "option",      "choice",
        "either",  "both",     "probably", "likely",    "definitely", "but",         "like",
        "correct", "solution", "final",    "selection", NULL};
    static const char *const going[] = {"go", "going", "went", "stick", NULL}, *const with[] = {"with", NULL};
    size_t before = at;
    fv_slice first = word_before(text, &before);
    int has_verb = 0, is_lead = is_among(bare(first), leads) || is_among(first, leads);
    if (is_among(first, with))
        is_lead = is_among(word_before(text, &before), going);
    for (int i = 0; i < MOST_FILLERS; i++) {
        fv_slice word = word_before(text, &at);
        fv_slice name = bare(word);
        if (is_among(name, answer))
            return TIER_ANSWER;
        has_verb |= is_among(name, verbs) || is_among(word, verbs) || ends_with(word, ":");
        if (has_verb && is_among(name, nouns))
            return TIER_CORRECT;
        if (word.size == 0 || (!is_among(name, fillers) && !is_among(name, verbs)))
            break;
    }
    return is_lead ? TIER_LEAD : TIER_NONE;
}

/* A letter in front of the answer proper: "B. text", "D, text", "B because ...". */
static int is_in_front(fv_slice text, const fv_label *label)
{
    size_t at = label->end;
    return label->is_set_off || span_of(text, at, ",;/&") > 0 || follows_letter(next_word(text, &at));
}

/* "or B", ", B", "/B" behind a letter: where the next one starts; 0: nothing of the kind. */
static size_t find_joined(fv_slice text, size_t at)
{
    static const char *const words[] = {"or", "and", "and/or", "&", NULL};
    static const char *const doubts[] = {"rather", "maybe", "perhaps", "possibly", "even", "option", NULL};
    size_t start = at, word_at;
    at += span_of(text, at, " \t\n,");
    word_at = at;
    if (is_among(next_word(text, &word_at), words)) {
        at = word_at;
        if (!is_among(next_word(text, &word_at), doubts))
            word_at = at;
        at = word_at + span_of(text, word_at, " \t\n");
    } else {
        at += span_of(text, at, "/& ");
    }
    return at > start + span_of(text, start, " \t\n") ? at : 0;
}

/* The whole. */

typedef struct tally {
    unsigned chosen[TIERS]; /* a bit a letter */
    unsigned front;         /* in front of the text, */
    unsigned listed; /* or behind it with nothing that leads to it, like "(B) text" or "B. text" in a list */
} tally;

static unsigned bit_of(char letter)
{
    return 1u << (letter - 'A');
}

static int is_single(unsigned letters)
{
    return letters != 0 && (letters & (letters - 1)) == 0;
}

static int is_listed(fv_slice text, size_t at, const fv_label *label)
{
    size_t line = at;
    while (line > 0 && (text.data[line - 1] == ' ' || text.data[line - 1] == '\t'))
        line--;
    return label->is_set_off &&
           (line == 0 || text.data[line - 1] == '\n' || memchr(text.data + at, ')', label->end));
}

/* Behind "or" a letter needs not much to be one. */
static int is_joined(fv_slice text, fv_label *label)
{
    if (fv_label_parse(text, 1, label))
        return 1;
    *label = (fv_label){text.size ? text.data[0] : '\0', 1, 0};
    return text.size > 1 && isupper((unsigned char)label->letter) && !strchr("AI", label->letter) &&
           is_space(text.data[1]);
}

/* Count a letter and those that are joined to it; returns where to go on. */
static size_t count_joined(fv_slice text, size_t at, fv_label label, unsigned *letters)
{
    size_t end = at + label.end;
    *letters |= bit_of(label.letter);
    while ((at = find_joined(text, end)) > 0 && is_joined(rest_of(text, at), &label) &&
           !is_refused_behind(text, at + label.end)) {
        *letters |= bit_of(label.letter);
        end = at + label.end;
    }
    return end;
}

static size_t count_letter(fv_slice text, size_t at, fv_label label, tally *out)
{
    size_t end = at + label.end;
    tier t = lead_of(text, at);
    if (is_refused_before(text, at) || is_refused_behind(text, end))
        return end;
    if (t > TIER_CORRECT && is_called_correct(text, end))
        t = TIER_CORRECT;
    if (t != TIER_NONE)
        return count_joined(text, at, label, &out->chosen[t]);
    if (at == 0 && is_in_front(text, &label))
        return count_joined(text, at, label, &out->front);
    if (is_listed(text, at, &label))
        out->listed |= bit_of(label.letter);
    return end;
}

static void count_letters(fv_slice text, tally *out)
{
    *out = (tally){.listed = 0};
    for (size_t at = 0; at < text.size;) {
        fv_label label;
        int is_start = at == 0 || is_space(text.data[at - 1]) || strchr(":=", text.data[at - 1]);
        if (is_start && fv_label_parse(rest_of(text, at), 1, &label))
            at = count_letter(text, at, label, out);
        else
            at++;
    }
}

char fv_letter_chosen(fv_slice text)
{
    tally t;
    count_letters(text, &t);
    if (!(t.listed & ~t.front)) /* else the front is the start of a list of options */
        t.chosen[TIER_ANSWER] |= t.front;
    for (int i = 0; i < TIERS; i++)
        if (t.chosen[i])
            return is_single(t.chosen[i]) ? (char)('A' + __builtin_ctz(t.chosen[i])) : '\0';
    return '\0';
}
