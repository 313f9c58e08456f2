/* What the verifiers share. Contracts of the verifiers: fovea/reward/verifier.h. */
#ifndef FOVEA_SRC_REWARD_VERIFIER_VERIFIER_INTERNAL_H
#define FOVEA_SRC_REWARD_VERIFIER_VERIFIER_INTERNAL_H

#include "fovea/base/buffer.h"
#include "fovea/reward/verifier.h"

/* Append the folded text, valid UTF-8, to out. */
fv_err fv_text_fold(fv_slice text, fv_buffer *out);

/* A folded text without punctuation at its ends. */
fv_slice fv_text_bare(fv_slice folded);

/* Two folded texts; a comparison owns their memory. */
typedef struct fv_text_pair {
    fv_buffer answer_memory, truth_memory;
    fv_slice answer, truth;
} fv_text_pair;
fv_err fv_text_pair_init(fv_text_pair *pair, fv_slice answer, fv_slice truth);
void fv_text_pair_fini(fv_text_pair *pair);

/* Make *text the content of its last \boxed{...}, with braces in it up to 64 deep; thoughts before </think>
 * are passed over. 0, and *text as it was, if there is none or it is not closed. */
int fv_text_unbox(fv_slice *text);

/* Whether there is a command of LaTeX in it, or dollars around it. */
int fv_text_is_latex(fv_slice text);

/* Append simple LaTeX as plain text: fractions, roots, powers, signs and units, without what only sets type.
 */
fv_err fv_text_plain(fv_slice latex, fv_buffer *out);

/* The Levenshtein distance of two texts, valid UTF-8, in code points. */
fv_err fv_text_distance(fv_slice a, fv_slice b, size_t *out);

/* What follows the last "answer is", "answer:" or the like, up to the end of the sentence; nothing if none.
 */
fv_slice fv_text_conclusion(fv_slice text);

/* A letter of a choice at the start of a text: "B", "(b)", "B.", "**B**:"; in a sentence also an upper-case
 * one that stands alone. */
typedef struct fv_label {
    char letter;    /* upper case */
    size_t end;     /* behind its marks */
    int is_set_off; /* it has marks, or ends the text */
} fv_label;
int fv_label_parse(fv_slice text, int is_in_sentence, fv_label *out);

/* The letter that an answer chooses; 0: none, or several. */
char fv_letter_chosen(fv_slice text);

/* The options of a question, from A on: (n) texts, borrowed from it. */
enum { FV_MOST_OPTIONS = 26 };
typedef struct fv_option_list {
    fv_slice texts[FV_MOST_OPTIONS];
    int n;
} fv_option_list;
void fv_options_find(fv_slice question, fv_option_list *out);

/* Which option the truth is, by its letter alone or by its text alone; -1: none, or several. */
fv_err fv_options_place(const fv_option_list *options, fv_slice truth, int *found);

/* Append a truth that is a letter or a text of the question's options as both, "B) 12 cm"; nothing if it is
 * none. */
fv_err fv_truth_complete(fv_slice question, fv_slice truth, fv_buffer *out);

/* Whether both folded texts are numbers, and whether they are equal as `number` has it. */
int fv_numbers_compare(fv_slice answer, fv_slice truth, int *is_equal);

/* Whether both folded plain texts are formulas, at least one of more than a number or a name, of equal value.
 */
int fv_formulas_equal(fv_slice a, fv_slice b);

fv_err fv_verifier_exact(fv_slice answer, fv_slice truth, double *score);
fv_err fv_verifier_number(fv_slice answer, fv_slice truth, double *score);
fv_err fv_verifier_relaxed(fv_slice answer, fv_slice truth, double *score);
fv_err fv_verifier_choice(fv_slice answer, fv_slice truth, double *score);
fv_err fv_verifier_boxed(fv_slice answer, fv_slice truth, double *score);
fv_err fv_verifier_anls(fv_slice answer, fv_slice truth, double *score);
fv_err fv_verifier_containment(fv_slice answer, fv_slice truth, double *score);

#endif
