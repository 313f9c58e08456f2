/* A judge that remembers: verdicts come from the log; what is not there, inner is asked once, however many
 * wait for it, and the log learns it. Without inner it replays: what is not there has no verdict. Local. */
#ifndef FOVEA_REWARD_JUDGE_JUDGE_CACHE_H
#define FOVEA_REWARD_JUDGE_JUDGE_CACHE_H

#include "fovea/reward/judge/judge.h"
#include "fovea/reward/judge/verdict_log.h"

/* All is copied. */
typedef struct fv_judge_cache_settings {
    const char *folder; /* of the log, opened when the first case comes: the folder of a run is made after its
                           judge */
    int asker;          /* which of the processes that judge this is: the rank of fv_verdict_log_open */
    int64_t max_verdicts;
    fv_slice identity; /* of inner, whose verdicts they are: any bytes */
} fv_judge_cache_settings;

/* inner (NULL: replay) is taken, also on failure. */
fv_err fv_judge_cache_create(const fv_judge_cache_settings *settings, fv_judge *inner, fv_judge **out);

#endif
