/* The parts of collecting: prompts are drawn from the data set (draw_prompts.c), and their samples generated
 * and judged (collect.c). */
#ifndef FOVEA_SRC_TRAIN_COLLECT_COLLECT_INTERNAL_H
#define FOVEA_SRC_TRAIN_COLLECT_COLLECT_INTERNAL_H

#include "fovea/train/collect.h"

/* A group under way on this tensor group, with what judging it needs. */
typedef struct fv_collected {
    fv_group group;
    fv_row row;
    fv_scoring scoring;
} fv_collected;

typedef struct fv_collection {
    const fv_collector *with;
    const fv_collect_args *args;
    fv_counter *counter;  /* of prompts; the first rank of a tensor group asks it */
    fv_batch *begun;      /* groups of the first prompts, from an earlier call */
    fv_collected **items; /* owned, (n_items); each stays where it is */
    int n_items, capacity;
    int n_given;       /* to the rollout; the others wait for it to have room, while their views are made */
    int64_t n_waiting; /* prompts that no rank has taken yet, as far as this one knows */
    int is_over;       /* a stop was requested of this rank or another */
} fv_collection;

/* The next group for the rollout, of a prompt that no other tensor group has drawn; NULL: there is none.
 * Collective over the tensor group. */
fv_err fv_collection_draw(fv_collection *c, fv_group **group);

#endif
