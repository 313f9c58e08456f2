/* The parts of a rollout: sequences under way (rollout_live.c), one pass over them (rollout_pass.c), and the
 * loop (rollout.c). */
#ifndef FOVEA_SRC_TRAIN_ROLLOUT_INTERNAL_H
#define FOVEA_SRC_TRAIN_ROLLOUT_INTERNAL_H

#include "fovea/model/nn/cache.h"
#include "fovea/model/nn/head.h"
#include "fovea/train/rollout.h"
#include "fovea/ops/workspace.h"

typedef struct fv_live fv_live;

/* A sequence under way: a prompt, or an answer that goes on from it. */
typedef struct fv_node {
    fv_live *live;
    fv_answer *answer;   /* borrowed; NULL: the prompt */
    fv_page_list rows;   /* of the cache: tokens computed so far */
    int64_t n_images;    /* image tokens among them */
    int32_t *positions;  /* owned, (n_positions, 3) */
    int64_t n_positions; /* tokens that have theirs */
    int64_t capacity;    /* of positions, tokens */
    int32_t next;        /* position of the token after those */
} fv_node;

/* The features of a view. */
typedef struct fv_features {
    fv_tensor rows; /* (N, C); absent until they are needed */
    void *memory;   /* owned */
} fv_features;

/* A group under way. */
struct fv_live {
    fv_group *group; /* borrowed from the source */
    fv_node prompt;
    fv_node *answers; /* owned, (fv_group_size) */
    fv_features low, high;
    int has_begun; /* the first tokens of the answers are drawn */
    int n_open;    /* answers that are not done */
    fv_live *younger;
};

/* One forward pass being put together; host arrays of fixed capacity. */
typedef struct fv_pass {
    int64_t n, n_segments, n_spans, n_features;
    int32_t *ids;       /* (pass_tokens) */
    int32_t *by_token;  /* (pass_tokens, 3): positions */
    int32_t *positions; /* (3, n) */
    int32_t *slots;     /* (pass_tokens) */
    int32_t *segments;  /* (nodes, 6) */
    int32_t *spans;     /* (nodes * pages of a sequence, 2) */
    fv_tensor *pieces;  /* (n_pieces): rows of features, in the order of their tokens */
    int64_t n_pieces;
    int64_t n_draws, n_sampled; /* the draws after the first n_sampled are greedy */
    fv_node **draws;            /* (n_draws): answers that draw, each from the logits of a row of the pass */
    int32_t *draw_rows;
    float *uniforms;
    int32_t *drawn; /* what came out */
    float *logprobs;
    float *changed;   /* (max_running, V) logits, if repetition is penalised */
    uint8_t *is_seen; /* (V), 0 between draws */
} fv_pass;

typedef struct fv_rollout {
    fv_model *model;
    fv_backend *backend;
    const fv_rollout_settings *settings;
    const fv_rollout_source *source;
    fv_rollout_stats stats;
    fv_cache cache;
    fv_live *oldest;
    int n_running;     /* answers of the groups under way, done or not */
    fv_group *waiting; /* taken from the source, without a place yet */
    int is_dry;        /* the source has no more groups */
    fv_pass pass;
    fv_token_run run; /* of the pass */
    fv_text_pass *text;
    fv_vision_pass *vision; /* NULL without a vision tower */
    fv_grid grid;           /* of the view that it is at */
    fv_workspace text_work, vision_work;
    fv_tensor features, rows, hidden, uniform; /* (n_features, C), I32 (n_draws), (n_draws, C), (n_draws) */
    fv_logits logits;
    fv_tensor changed; /* (n_draws, V) what is drawn from, if repetition is penalised */
    fv_head_pass head;
} fv_rollout;

/* rollout_live.c */

/* Take a group up; on success it is the youngest. */
fv_err fv_live_create(fv_rollout *r, fv_group *group);
void fv_live_destroy(fv_rollout *r, fv_live *live);

/* Tokens known of a sequence, and how many of them are not computed yet. */
const fv_tokens *fv_node_ids(const fv_node *node);
int64_t fv_node_pending(const fv_node *node);

/* Give positions, and compute features, for what was appended to the sequence. */
fv_err fv_node_grow(fv_rollout *r, fv_node *node);

/* Make room for n more rows, from younger sequences if need be. *has_room 0: nobody younger has any. */
fv_err fv_node_extend(fv_rollout *r, fv_node *node, int64_t n, int32_t *slots, int *has_room);
void fv_node_release(fv_rollout *r, fv_node *node);

/* rollout_pass.c */

fv_err fv_pass_init(fv_rollout *r);
void fv_pass_fini(fv_pass *pass);

/* Put the next pass together; compute it and draw. */
fv_err fv_pass_plan(fv_rollout *r);
fv_err fv_pass_compute(fv_rollout *r);

/* What the largest pass takes. */
fv_err fv_pass_bytes(fv_rollout *r, size_t *bytes);

/* rollout_penalty.c */

int fv_pass_is_penalized(const fv_rollout *r);

/* Fill r->changed: the logits of every draw, but those of tokens that its sequence has penalised. */
fv_err fv_pass_penalize(fv_rollout *r);

#endif
