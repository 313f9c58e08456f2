/* What may follow a score on its line. Contract of the grammar: fovea/verdict.h. */
#ifndef FOVEA_SRC_REWARD_VERDICT_INTERNAL_H
#define FOVEA_SRC_REWARD_VERDICT_INTERNAL_H

#include "fovea/base/text/slice.h"

/* Whether rest, all that follows the number on its line, leaves the score (0 or 1) as it stands: nothing but
 * punctuation, or a remark that takes nothing back. */
int fv_remark_fits(fv_slice rest, int score);

int fv_is_punctuation(fv_slice text); /* or markup; so is nothing */

/* Markup of Markdown, quotes and blanks, which may stand around any part. */
int fv_is_markup(char c);
fv_slice fv_markup_skip(fv_slice text);

#endif
