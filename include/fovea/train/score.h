/* The reward stage: from the samples of a group to the parts of their rewards. Local. */
#ifndef FOVEA_TRAIN_SCORE_H
#define FOVEA_TRAIN_SCORE_H

#include "fovea/reward/tool_penalty.h"
#include "fovea/reward/format.h"
#include "fovea/reward/judge/judge.h"
#include "fovea/data/row.h"
#include "fovea/train/trajectory.h"

typedef struct fv_score_settings {
    fv_format_settings format;
    fv_extraction extraction;
    fv_tool_penalty_settings tool_penalty;
    double accuracy_weight; /* in the reward; for the tool penalty */
    fv_overlong_settings overlong;
} fv_score_settings;

/* A group that waits for verdicts. */
typedef struct fv_scoring {
    fv_group *group;      /* borrowed */
    fv_buffer *turns;     /* owned, (fv_group_size * FV_MAX_TURNS): texts */
    fv_verdict *verdicts; /* owned, (fv_group_size), as are the next two */
    fv_reward *rewards;
    uint8_t *called;
} fv_scoring;

/* Set format, overlong and is_called of every sample and hand the samples to the judge (NULL: another rank
 * asks, and its verdicts are to be set here). row is borrowed until the judge has been collected. */
fv_err fv_scoring_begin(fv_scoring *scoring, const fv_score_settings *settings, const fv_dialogue *dialogue,
                        const fv_row *row, fv_judge *judge, fv_group *group);

/* With all verdicts there: set accuracy, has_verdict and tool_penalty, and let the scoring go. */
void fv_scoring_end(fv_scoring *scoring, const fv_score_settings *settings);
void fv_scoring_fini(fv_scoring *scoring); /* back to {0}, without an end */

#endif
