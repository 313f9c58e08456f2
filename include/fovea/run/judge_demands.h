/* What cases need of a local judge, counted without its weights. Local. */
#ifndef FOVEA_RUN_JUDGE_DEMANDS_H
#define FOVEA_RUN_JUDGE_DEMANDS_H

#include "fovea/reward/judge/judge_local.h"
#include "fovea/train/row_demands.h"

typedef struct fv_judge_demands fv_judge_demands;

/* settings: folder, method, reply_tokens and cache_pages are looked at. answer_tokens: of an answer, at most;
 * that there is no room for such a one is worth a warning. */
fv_err fv_judge_demands_open(const fv_judge_local_settings *settings, const char *prompt,
                             int64_t answer_tokens, fv_judge_demands **out);
void fv_judge_demands_close(fv_judge_demands *demands); /* NULL is fine */

/* Of a row: the wording with its question and its truth, and with an answer that is the truth, as the right
 * one at least has to be; and the reply. An fv_measurer's; context: an fv_judge_demands. */
fv_err fv_judge_demands_measure(const void *context, const fv_row *row, fv_demands *out);

#endif
