/* Multiple choice. */
#include "reward/verifier/verifier_internal.h"

#include <stdlib.h>
#include <string.h>

static int starts_with_words(fv_slice text, const char *words)
{
    size_t n = strlen(words);
    return fv_slice_starts(text, fv_slice_of(words)) && (n == text.size || strchr(" ,:", text.data[n]));
}

/* Without what leads up to an answer in a sentence, and what follows it. */
static fv_slice without_frame(fv_slice folded)
{
    static const char *const leads[] = {
        "i think",   "i believe", "i guess",  "it is", "it's", "this is", "that is",   "that's",
        "there are", "there is",  "they are", "so",    "thus", "hence",   "therefore", "probably",
        "is",        "that",      "the",      "a",     "an",   "option",  "answer",    "correct"};
    static const char *const tails[] = {" is correct",          " is right",
                                        " is the answer",       " is the correct answer",
                                        " is the right answer", " is the correct option"};
    fv_slice text = fv_text_bare(folded);
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        size_t n = strlen(tails[i]);
        if (text.size > n && memcmp(text.data + text.size - n, tails[i], n) == 0)
            text.size -= n;
    }
    for (size_t i = 0; i < sizeof leads / sizeof leads[0]; i++) {
        size_t n = strlen(leads[i]) + 1;
        if (text.size <= n || !starts_with_words(text, leads[i]))
            continue;
        text = fv_text_bare(fv_slice_cut(text, n, text.size));
        i = (size_t)-1; /* "so it is the ..." */
    }
    return text;
}

/* Of a word in letters, "seven" or "twenty-one"; -1: it is none. */
static int number_of(fv_slice word)
{
    static const char *const ones[] = {"zero",    "one",     "two",       "three",    "four",
                                       "five",    "six",     "seven",     "eight",    "nine",
                                       "ten",     "eleven",  "twelve",    "thirteen", "fourteen",
                                       "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"};
    static const char *const tens[] = {"twenty", "thirty",  "forty",  "fifty",
                                       "sixty",  "seventy", "eighty", "ninety"};
    for (int i = 0; i < 20; i++)
        if (fv_slice_equal(word, fv_slice_of(ones[i])))
            return i;
    for (int i = 0; i < 8; i++) {
        size_t n = strlen(tens[i]);
        if (!fv_slice_starts(word, fv_slice_of(tens[i])))
            continue;
        int one =
            word.size > n + 1 && word.data[n] == '-' ? number_of(fv_slice_cut(word, n + 1, word.size)) : 0;
        return word.size == n || (one > 0 && one < 10) ? 10 * (i + 2) + one : -1;
    }
    return -1;
}

/* The text with numbers in digits. */
static fv_err append_counted(fv_slice folded, fv_buffer *out)
{
    for (size_t at = 0; at < folded.size;) {
        fv_slice rest = fv_slice_cut(folded, at, folded.size);
        size_t end = fv_slice_find(rest, fv_slice_of(" "));
        fv_slice word = end == FV_SLICE_NONE ? rest : fv_slice_cut(rest, 0, end);
        int number = number_of(word);
        if (number >= 0)
            FV_TRY(fv_buffer_print(out, "%d", number));
        else
            FV_TRY(fv_buffer_append(out, word.data, word.size));
        at += word.size + 1;
        if (at < folded.size)
            FV_TRY(fv_buffer_append(out, " ", 1));
    }
    return FV_OK;
}

static fv_err same_framed(fv_slice answer, fv_slice truth, int *is_same)
{
    fv_buffer a = {0}, t = {0};
    fv_err err = append_counted(without_frame(answer), &a);
    if (err == FV_OK)
        err = append_counted(without_frame(truth), &t);
    *is_same = a.size > 0 && fv_slice_equal((fv_slice){a.data, a.size}, (fv_slice){t.data, t.size});
    fv_buffer_fini(&a);
    fv_buffer_fini(&t);
    return err;
}

/* Whether an answer in words names this option: "I think it is the cat.", "There are two". */
static fv_err score_text(fv_slice answer, fv_slice option, double *score)
{
    fv_text_pair pair;
    int is_same = 0;
    FV_TRY(fv_verifier_exact(answer, option, score));
    if (*score > 0)
        return FV_OK;
    FV_TRY(fv_text_pair_init(&pair, answer, option));
    fv_err err = pair.answer.size && pair.truth.size ? same_framed(pair.answer, pair.truth, &is_same) : FV_OK;
    fv_text_pair_fini(&pair);
    *score = is_same;
    return err;
}

static fv_slice behind(fv_slice text, size_t first)
{
    return fv_slice_trim(fv_slice_cut(text, first, text.size));
}

fv_err fv_verifier_choice(fv_slice answer, fv_slice truth, double *score)
{
    fv_label label;
    fv_slice given = fv_slice_trim(answer), option = fv_slice_trim(truth);
    char letter = fv_letter_chosen(given), right = '\0';
    if (fv_label_parse(option, 0, &label)) {
        right = label.letter;
        option = behind(option, label.end);
    }
    *score = letter && letter == right;
    if ((letter && right) || option.size == 0)
        return FV_OK;
    fv_slice said = fv_text_conclusion(given);
    if (fv_label_parse(given, 0, &label))
        said = behind(given, label.end);
    if (said.size > 0)
        FV_TRY(score_text(said, option, score));
    return *score > 0 ? FV_OK : score_text(answer, option, score);
}
