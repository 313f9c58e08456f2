/* What answers are worth beside their score: format and tool penalty, and a file of it all. Local. */
#ifndef FOVEA_JOBS_SCORE_VERDICTS_H
#define FOVEA_JOBS_SCORE_VERDICTS_H

#include "fovea/eval/report.h"
#include "fovea/eval/task.h"
#include "fovea/reward/tool_penalty.h"

typedef struct fv_verdict_settings {
    fv_format_settings format;
    fv_tool_penalty_settings tool_penalty;
} fv_verdict_settings;

typedef struct fv_verdicts {
    const fv_report *report; /* borrowed */
    fv_reward *rewards;      /* owned, one a record, in their order */
} fv_verdicts;

/* Of a report that is scored; records of the same row are a group. */
fv_err fv_verdicts_init(fv_verdicts *out, const fv_verdict_settings *settings, const fv_report *report);
void fv_verdicts_fini(fv_verdicts *verdicts); /* back to {0} */

double fv_verdicts_format(const fv_verdicts *verdicts); /* the mean */

/* A JSON object a record: row, source, answer, reading, score, format, called, tool_penalty. */
fv_err fv_verdicts_write(const fv_verdicts *verdicts, const fv_task *task, const char *path);

#endif
