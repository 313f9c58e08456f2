/* A judge that remembers: verdicts come from the log; what is not there, inner is asked once, however many
 * wait for it, and the log learns it. Without inner it replays: what is not there has no verdict. Local. */
#ifndef FOVEA_JUDGE_RECALL_H
#define FOVEA_JUDGE_RECALL_H

#include "fovea/judge.h"
#include "fovea/verdict_log.h"

/* log and inner (NULL: replay) are taken, also on failure. identity is copied: whose verdicts they are. */
fv_err fv_judge_recall_create(fv_verdict_log *log, fv_slice identity, fv_judge *inner, fv_judge **out);

#endif
