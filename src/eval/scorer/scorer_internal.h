/* What the scorers share. Contracts of the rules: fovea/eval/scorer.h. */
#ifndef FOVEA_SRC_EVAL_SCORER_SCORER_INTERNAL_H
#define FOVEA_SRC_EVAL_SCORER_SCORER_INTERNAL_H

#include "fovea/eval/scorer.h"

/* Append the text in lower case, code point by code point, as valid UTF-8. */
fv_err fv_scorer_lower(fv_slice text, fv_buffer *out);

/* Without white space of any kind at both ends. */
fv_slice fv_scorer_strip(fv_slice valid);

/* Code points of valid UTF-8, counted as bytes that are no continuation. */
size_t fv_scorer_length(fv_slice valid);

/* Append the text with every run of white space as one space and none at the ends. */
fv_err fv_scorer_collapse(fv_slice valid, fv_buffer *out);

/* Whether both are equal in lower case. */
fv_err fv_scorer_same(fv_slice a, fv_slice b, int *is_same);

/* Whether the text is a number to Python's float(), of ASCII digits; its value. */
int fv_scorer_number(fv_slice valid, double *out);

fv_err fv_rule_chartqa(const fv_said *said, double *score, fv_buffer *reading);
fv_err fv_rule_docvqa(const fv_said *said, double *score, fv_buffer *reading);
fv_err fv_rule_ocrbench(const fv_said *said, double *score, fv_buffer *reading);
fv_err fv_rule_realworldqa(const fv_said *said, double *score, fv_buffer *reading);
fv_err fv_rule_pope(const fv_said *said, double *score, fv_buffer *reading);
fv_err fv_rule_mme(const fv_said *said, double *score, fv_buffer *reading);
fv_err fv_rule_options(const fv_said *said, double *score, fv_buffer *reading);
fv_err fv_rule_mmmu(const fv_said *said, double *score, fv_buffer *reading);

#endif
