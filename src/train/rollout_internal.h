/* The parts of a rollout: groups under way (rollout_group.c), and the loop (rollout.c). */
#ifndef FOVEA_SRC_TRAIN_ROLLOUT_INTERNAL_H
#define FOVEA_SRC_TRAIN_ROLLOUT_INTERNAL_H

#include "fovea/train/rollout.h"

typedef struct fv_running_group fv_running_group;

typedef struct fv_rollout {
    fv_engine *engine;
    const fv_rollout_settings *settings;
    uint32_t step;
    const fv_rollout_source *source;
    fv_rollout_stats stats;
    fv_engine_stats before; /* the engine's, at the beginning */
    fv_running_group *oldest;
    int n_running;     /* responses of the groups under way, done or not */
    fv_group *waiting; /* taken from the source, without a place yet */
    int is_dry;        /* the source has no more groups */
} fv_rollout;

typedef struct fv_running_response {
    fv_running_group *in;
    fv_response *response; /* borrowed */
    fv_sequence *sequence; /* NULL: it was done before */
} fv_running_response;

struct fv_running_group {
    fv_rollout *rollout;
    fv_group *group;                /* borrowed from the source */
    fv_sequence *prompt;            /* wants nothing; its responses are forks of it */
    fv_running_response *responses; /* owned, (fv_group_size) */
    fv_engine_image low, high;
    int n_open; /* responses that are not done */
    fv_running_group *younger;
};

/* Take a group up; on success it is the youngest. */
fv_err fv_running_group_create(fv_rollout *rollout, fv_group *group);
void fv_running_group_destroy(fv_running_group *group);

#endif
