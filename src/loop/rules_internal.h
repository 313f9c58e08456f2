/* What the rules share. Contracts of the rules: fovea/rules.h. */
#ifndef FOVEA_LOOP_RULES_INTERNAL_H
#define FOVEA_LOOP_RULES_INTERNAL_H

#include "fovea/buffer.h"
#include "fovea/rules.h"

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

fv_err fv_rule_exact(fv_slice answer, fv_slice truth, double *score);
fv_err fv_rule_number(fv_slice answer, fv_slice truth, double *score);
fv_err fv_rule_relaxed(fv_slice answer, fv_slice truth, double *score);
fv_err fv_rule_choice(fv_slice answer, fv_slice truth, double *score);
fv_err fv_rule_boxed(fv_slice answer, fv_slice truth, double *score);
fv_err fv_rule_anls(fv_slice answer, fv_slice truth, double *score);
fv_err fv_rule_containment(fv_slice answer, fv_slice truth, double *score);

#endif
