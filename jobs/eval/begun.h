/* An evaluation that was interrupted: OUT/begun.h5 holds its samples so far, and the next one goes on. Local.
 */
#ifndef FOVEA_JOBS_EVAL_BEGUN_H
#define FOVEA_JOBS_EVAL_BEGUN_H

#include "fovea/eval/report.h"
#include "fovea/train/batch.h"

/* asked: the evaluation that these are of; its settings and shard go with them. */
fv_err fv_begun_write(const fv_batch *begun, const fv_report *asked, const char *folder);

/* {0} if there are none. FV_ERR_ARGUMENT: they are of another evaluation. The caller checks what is read
 * (fv_batch_check). */
fv_err fv_begun_read(const char *folder, const fv_report *asked, fv_batch *out);

/* The results are there, or will be. Fine if there is none. */
void fv_begun_remove(const char *folder);

#endif
