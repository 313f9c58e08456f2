/* Verifiers: how right an answer is, without a judge. Local.
 *
 * A verifier compares the answer proper (fv_answer_extract) with one truth and gives a score in [0, 1]; of
 * several truths the best counts. An answer that is empty, or holds only white space, scores 0 by every
 * verifier.
 *
 * Before any verifier, of answer and truth, the content of the last \boxed{...} takes the place of the text:
 * braces in it up to 64 deep, and not a box of the thought before </think>. Where that or a text is LaTeX, it
 * counts as it is and as plain text: fractions ("\frac12", "1\frac12"), roots, powers, %, $, degrees, signs;
 * \text, \left and their like only set type.
 *
 * All verifiers compare folded texts: case folded and composed (Unicode CaseFolding and NFC), characters
 * without a picture dropped, white space of any kind and length one space and none at the ends, decimal
 * digits of any script, full-width forms, minus signs, hyphens, en dashes and typographic quotes as their
 * ASCII equals. Invalid UTF-8 becomes U+FFFD.
 *
 *   exact        Equal without punctuation at the ends: opening brackets and quotes and * in front;
 *                closing ones, * and . , ; : ! ? behind. A text of nothing else keeps it. Lists in other
 *                brackets are others: "[1, 2]", "(1, 2)".
 *   number       Both are numbers: equal in value, exactly, in decimal. Else exact.
 *   relaxed      Both are numbers: at most 5 % of the truth away (ChartQA, Masry et al., 2022); a truth
 *                of 0 must be met exactly. Else exact. 12 % is 0.12, never 12, as ChartQA has it.
 *   choice       Multiple choice. Truth: a letter ("B"), a letter and text ("B) 12 cm") or text. Answer:
 *                a label in front ("B", "(b)", "B.", "B) text", "**B**: text", "D, text"), an upper-case
 *                letter that a sentence chooses ("The answer is B", "I think it is B", "B is correct"), or
 *                the text of the option, framed so or not, numbers up to 99 also as words. What "answer"
 *                leads to goes before other letters. A letter that is refused ("not A", "A is wrong") does
 *                not count, nor do the article ("A cat") and names ("vitamin C"). Several letters are none.
 *                Two letters decide; else the texts must be equal as in exact.
 *   boxed        Mathematics. Numbers as in number. Formulas are equal if they compute the same: "1+x",
 *                "x+1"; "2+3", "5"; "\sqrt{12}", "2\sqrt3". Points, intervals and lists: brackets, order
 *                and every item; with {} on a side in any order. Equations: both sides; and "x = 5" is
 *                5. Else texts, spaces beside signs aside. An answer that is not right as a whole may be so
 *                behind its last "answer is", "answer:" or the like, up to the end of the sentence.
 *   anls         1 - d / (length of the longer text) if that is above 0.5, else 0; d: Levenshtein
 *                distance; both in code points (Biten et al., 2019, equation 1).
 *   containment  The truth stands anywhere in the answer (OCRBench, Liu et al., 2024).
 *
 * A number is, after exact's trimming: a sign, a currency sign, digits with or without thousands separators
 * ("1,234", groups of three), ".", digits, "e" with an exponent; or two of them as a fraction "3/4" (its
 * value then compared as a double); and "%" or "percent"; and a unit of at most three words that starts with
 * a letter, a degree or a currency sign, and not with "or", "and", "to", "is" and their like. A space may
 * follow sign and currency. Nothing else may stand there: "about 5", "nan", "inf", "1,23", "5-6", "3/4/2020",
 * "10⁵", "1/0" and numbers of more than 64 significant digits are texts. Units and currencies must be the
 * same if both sides have one; nothing is converted. In `number`, if one side alone has a percent sign, both
 * readings hold: 12 % is 0.12, and 12, since the question often says percent. */
#ifndef FOVEA_REWARD_VERIFIER_H
#define FOVEA_REWARD_VERIFIER_H

#include "fovea/base/error.h"
#include "fovea/base/text/slice.h"

typedef struct fv_verifier {
    const char *name;
    fv_err (*score)(fv_slice answer, fv_slice truth, double *score); /* FV_ERR_MEMORY */
} fv_verifier;

/* By name. FV_ERR_ARGUMENT lists the names there are. */
fv_err fv_verifier_find(const char *name, const fv_verifier **out);

/* The best score over n_truths, at least 1 (FV_ERR_ARGUMENT). */
fv_err fv_verifier_score(const fv_verifier *verifier, fv_slice answer, const fv_slice *truths, int n_truths,
                         double *score);

/* The same of the accepted answers to a question (truths.h). choice knows the question's options: "(A) text",
 * "A. text", "A) text" or "A: text", from A on. */
fv_err fv_verifier_ask(const fv_verifier *verifier, fv_slice question, fv_slice answer, fv_slice truths,
                       double *score);

#endif
