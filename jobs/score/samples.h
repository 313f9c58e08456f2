/* Answers as lmms-eval logs its samples. Local. */
#ifndef FOVEA_JOBS_SCORE_SAMPLES_H
#define FOVEA_JOBS_SCORE_SAMPLES_H

#include "fovea/eval/report.h"
#include "fovea/eval/task.h"

/* A line a record as lmms-eval logs its samples: doc_id, target, input, resps (all turns, a line feed between
 * two), filtered_resps (the answer proper), and under the task's name score, category and group. */
fv_err fv_samples_write(const fv_report *report, const fv_task *task, const char *path);

#endif
