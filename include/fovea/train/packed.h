/* Trees of prompts and samples packed into one run of tokens: a prompt once, its samples as segments that
 * read its keys, no padding. Host data. Local. */
#ifndef FOVEA_TRAIN_PACKED_H
#define FOVEA_TRAIN_PACKED_H

#include "fovea/base/room.h"
#include "fovea/model/model.h"
#include "fovea/train/trajectory.h"

/* Samples [first, first + n) of a group, at least one of them with a generated token. */
typedef struct fv_tree {
    const fv_group *group; /* borrowed */
    int first, n;
} fv_tree;

/* Tokens that a pass over the tree computes: the prompt's, and the samples' but the last of each. */
int64_t fv_tree_tokens(const fv_tree *tree);
/* Generated tokens: what a pass gives log-probs of. */
int64_t fv_tree_generated(const fv_tree *tree);

/* Announce the views that packing the tree asks for. */
void fv_tree_want_views(const fv_tree *tree, fv_want_view want, void *context);

/* How much is packed, or how much that is at most. */
typedef struct fv_packed_size {
    int64_t trees, responses;
    int64_t tokens;   /* that a pass computes */
    int64_t logprobs; /* that it gives */
} fv_packed_size;
fv_packed_size fv_packed_size_of(const fv_tree *trees, int n_trees);

/* Starts as {0}. Its arrays lie in a room of its own, which grows to the largest batch so far. */
typedef struct fv_packed {
    fv_token_run run; /* no slots */
    /* Views, each once, in the order in which the run first shows them; features of them all (N, C) become
     * those of the run's image tokens by picking rows. */
    fv_grid *grids;        /* (n_views) */
    fv_picture **pictures; /* (n_views), each held */
    int n_views;
    int64_t n_features;    /* N */
    int32_t *feature_rows; /* (run.n_features) */
    /* Log-probs: row logprob_rows[i] of the run predicts targets[i]. Trees, samples and generated tokens in
     * order. */
    int32_t *logprob_rows, *targets; /* (n_logprobs) */
    int64_t n_logprobs;
    fv_room room; /* owned */
} fv_packed;

/* Have the room for so much. What was packed is gone. */
fv_err fv_packed_reserve(fv_packed *packed, const fv_packed_size *most);

/* Pack trees, in place of what was packed before. */
fv_err fv_packed_fill(fv_packed *packed, const fv_model_shape *shape, const fv_tree *trees, int n_trees,
                      fv_view_of view, void *context);

void fv_packed_drop(fv_packed *packed); /* release the pictures; nothing is packed any more */
void fv_packed_fini(fv_packed *packed); /* back to {0} */

#endif
