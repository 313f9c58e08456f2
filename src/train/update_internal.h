/* What the files of the update share. */
#ifndef FOVEA_SRC_TRAIN_UPDATE_INTERNAL_H
#define FOVEA_SRC_TRAIN_UPDATE_INTERNAL_H

#include "fovea/train/update.h"

#include "fovea/base/room.h"

/* The micro-batch under way: host arrays over its generated tokens (N) and samples (S). */
typedef struct fv_micro {
    fv_packed packed;
    const fv_tree *trees; /* (n_trees) */
    int n_trees;
    float *now, *then, *reference, *entropy, *logprob_grad, *entropy_grad; /* (N) */
    uint8_t *mask;                                                         /* (N) */
    double *advantages;                                                    /* (S) */
    int64_t *starts;                                                       /* (S + 1) */
    int64_t n_sequences;
    fv_room room; /* of these arrays */
} fv_micro;

/* The sharing out of a mini-batch of so many samples. */
typedef struct fv_update_list {
    int64_t samples;
    int n_ranks;
    fv_tree *trees;   /* (samples) */
    int64_t *scratch; /* (samples + n_ranks) */
    fv_room room;     /* of both */
} fv_update_list;

struct fv_updater {
    fv_updater_args args;
    fv_weights grads; /* owned */
    fv_micro micro;
    fv_update_list list;
};

/* What is done with each micro-batch. */
typedef fv_err (*fv_micro_work)(fv_updater *updater, fv_micro *micro, void *context);

/* Do it with this rank's share of the groups' samples. name: of the phase, for people. Local. */
fv_err fv_micro_run(fv_updater *updater, const fv_group *groups, int n, const char *name, fv_micro_work work,
                    void *context);

void fv_micro_fini(fv_updater *updater);

#endif
