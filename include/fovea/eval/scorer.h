/* Scorers: how right an answer is by the rule that a benchmark publishes. Local.
 *
 * A scorer reads the answer proper (fv_answer_extract) and gives a score in [0, 1] and its reading, what it
 * took the answer for. Of several truths the best counts. Before any rule the content of the last \boxed{...}
 * takes the place of the answer, as it is or, where that is worth more, as plain text. An answer of white
 * space alone scores 0. Verifiers (verifier.h) are made for rewards and forgive more; here figures must be
 * those of others. "lmms-eval" is version 0.7.3 of that program; tests/long/scorers.py compares with it, and
 * says where we differ and why.
 *
 *   chartqa      Relaxed accuracy (Masry et al., 2022, section 5.1; code: Qwen-VL, eval_mm/evaluate_vqa.py).
 *                Both are numbers and the truth is not 0: at most 5 % of the truth away; else equal but for
 *                case. A number is what Python's float() reads of ASCII; "12%" is 0.12; "$5", "1,000": texts.
 *   docvqa       ANLS (Biten et al., 2019; code: evaluation of the Robust Reading Competition). 1 - d / (the
 *                length of the longer text as given) if that is 0.5 or more, else 0; d: Levenshtein distance
 *                of the texts in lower case with single spaces; all in code points.
 *   ocrbench     (Liu et al., 2024; code: OCRBench/example.py.) The truth stands in the answer, both in lower
 *                case, with full-width forms as ASCII and line feeds as spaces. In the category "Handwritten
 *                Mathematical Expression Recognition" (data set "HME100k") case counts, and spaces and line
 *                feeds do not.
 *   realworldqa  (xAI, 2024; code: lmms-eval.) Truth A, B, C or D: as options. Else equal without case, white
 *                space at the ends and the answer's last full stops.
 *   pope         (Li et al., 2023; code: POPE/evaluate.py.) Of the answer's first sentence: "no" if "no" or
 *                "not" is a word of it, else "yes" if "yes" is one. What is neither is neither; that code
 *                calls it yes.
 *   mme          (Fu et al., 2023; code: eval_tool/calculation.py.) "yes" or "no" in the first four
 *                characters, or y or n alone; full stops aside.
 *   options      Multiple choice (MMBench, Liu et al., 2024; MMMU, Yue et al., 2024; V*, Wu and Xie, 2024;
 *                HR-Bench, Wang et al., 2025). The letter that the answer chooses, else the option whose text
 *                it is (both as the verifier choice has it), else the only option whose text stands in it.
 *                Options stand in the question (fv_verifier_ask). Where those programs draw a letter, take
 *                one of several or ask a model, none is chosen here.
 *   mmmu         Questions with options: as options. Others (MMMU, eval/eval_utils.py): a number that is the
 *                truth to two places, or the truth's text, is in what a line of the answer concludes.
 *
 * Any verifier is a scorer too, by its name. */
#ifndef FOVEA_EVAL_SCORER_H
#define FOVEA_EVAL_SCORER_H

#include "fovea/base/buffer.h"
#include "fovea/reward/verifier.h"

/* An answer to be scored. All is borrowed. */
typedef struct fv_said {
    fv_slice question; /* with its options, if it has any */
    fv_slice answer;   /* the answer proper */
    fv_slice truth;    /* the accepted ones (truths.h) */
    fv_slice category; /* "" if there is none */
} fv_said;

typedef struct fv_scorer {
    const char *name;
    /* Of one truth; append the reading, which may be nothing. FV_ERR_FORMAT: a truth that is not of its kind
     */
    fv_err (*rule)(const fv_said *said, double *score, fv_buffer *reading);
    const fv_verifier *verifier; /* instead of a rule, or NULL */
    int needs_category;          /* its rule depends on it */
} fv_scorer;

/* By name. FV_ERR_ARGUMENT lists the names there are. */
fv_err fv_scorer_find(const char *name, fv_scorer *out);

/* The best score, and in reading, {0} before, what the answer was read as, valid UTF-8; the caller releases
 * it, also on failure. FV_ERR_FORMAT: a truth that this scorer cannot have. */
fv_err fv_scorer_score(const fv_scorer *scorer, const fv_said *said, double *score, fv_buffer *reading);

#endif
