/* The parts of an engine: sequences (sequence.c), features of images (images.c), who computes what in the
 * next pass (schedule.c), the pass itself (forward.c) and what is drawn (sample.c). */
#ifndef FOVEA_SRC_ENGINE_ENGINE_INTERNAL_H
#define FOVEA_SRC_ENGINE_ENGINE_INTERNAL_H

#include "fovea/engine/engine.h"
#include "fovea/engine/page_table.h"
#include "fovea/model/nn/cache.h"
#include "fovea/model/nn/head.h"
#include "fovea/ops/staging.h"
#include "fovea/ops/workspace.h"

/* Tokens [first, first + image->grid's tokens) of a sequence show an image. */
typedef struct fv_shown {
    int64_t first;
    fv_engine_image *image;
} fv_shown;

struct fv_sequence {
    fv_engine *engine;
    int slot; /* its row of the page table */
    fv_sequence *parent;
    int n_forks; /* open ones that go on from it */
    fv_sequence_owner owner;
    fv_sampling sampling;
    int32_t choices[FV_MAX_CHOICES];
    int n_choices;
    int is_open;
    int is_running; /* something is still wanted of it */
    int64_t first;  /* tokens that are its parent's */
    int64_t start;  /* tokens of its beginning, from which draws are counted; -1: all so far */
    int64_t n;      /* tokens, its parent's included */
    int32_t *ids;   /* (n - first), and positions (3, n - first) by token: of its own tokens */
    int32_t *positions;
    int32_t next;    /* position of the token after those */
    fv_shown *shown; /* (n_shown) */
    int n_shown;
    int64_t n_computed;             /* tokens with rows of earlier passes */
    int64_t counted_in, planned_in; /* the last pass that it was looked at for */
    fv_sequence *older, *younger;
};

/* A pass being put together; host arrays of fixed capacity. R runs at once, S sequences, T tokens. */
typedef struct fv_pass_plan {
    int64_t number; /* from 1 */
    int64_t n, n_segments, n_spans, n_features;
    int32_t *ids, *slots;  /* (T) */
    int32_t *positions;    /* (3, T) as they come, */
    int32_t *by_axis;      /* and (3, n) */
    int32_t *feature_rows; /* (T): of the image tokens, in order */
    int32_t *segments;     /* (S, 6) */
    int32_t *spans;        /* (S * width, 2) */
    fv_page_copy *copies;  /* (S) */
    int n_copies;
    /* Sequences whose last token is in the pass, and the row that it is. */
    int64_t n_draws, n_choosing;
    fv_sequence **draws, **choosing;  /* (R) */
    int32_t *draw_rows, *choice_rows; /* (R), (R * FV_MAX_CHOICES): one for each choice; */
    int32_t *rows;                    /* both */
    int64_t n_choices;
    int32_t *drawn, *choices; /* (R), (R * FV_MAX_CHOICES) */
    int32_t *keys;            /* (R, FV_DRAW_FIELDS) */
    float *inv_temperatures;  /* (R), as are */
    float *top_p, *logprobs, *choice_logprobs;
    int32_t *top_k;
    float *changed;   /* (R, V) logits, if draws may be filtered */
    uint8_t *is_seen; /* (V), 0 between draws */
} fv_pass_plan;

struct fv_engine {
    fv_model *model;
    fv_backend *backend;
    fv_engine_settings settings;
    fv_engine_stats stats;
    int32_t *excluded_ids; /* owned, (n_excluded) */
    fv_cache cache;
    fv_page_table table;
    int n_sequences; /* slots */
    fv_sequence *sequences;
    int32_t *ids, *positions; /* (n_sequences, max_tokens), and three times that */
    fv_shown *shown;          /* (n_sequences, max_images) */
    int32_t *scratch;         /* (3, max_tokens) */
    fv_grid *grids;           /* (max_images) */
    fv_sequence *oldest, *youngest;
    int n_open, n_wanting;   /* open sequences, and those that want something */
    fv_engine_image *images; /* whose features are there, by row */
    void *feature_memory;    /* owned */
    fv_tensor features;      /* (image_rows, C) */
    fv_grid grid;            /* of the image that is looked at */
    fv_pass_plan pass;
    fv_token_run run;
    fv_text_pass *text;
    fv_vision_pass *vision; /* NULL if no images may come */
    fv_workspace work, vision_work;
    /* Of a pass: F image tokens, D draws, L choices. */
    fv_tensor feature_rows, picked; /* I32 (F), (F, C) */
    fv_tensor rows, hidden;         /* I32 (D + L), (D + L, C) */
    fv_head_draws head_draws;       /* D rows */
    fv_logits logits;               /* (D, V); these if draws may be filtered */
    fv_tensor changed;              /* (D, V) what is drawn from then */
    fv_tensor top_k, top_p;         /* I32 (D), (D) */
    fv_head_pass head, choice_head; /* D, L rows */
};

/* sequence.c */

fv_err fv_sequences_init(fv_engine *engine);
void fv_sequences_fini(fv_engine *engine);
int64_t
fv_sequence_rows(const fv_sequence *sequence); /* tokens with rows, those of the pass being planned too */
void fv_sequence_evict(fv_sequence *sequence);
/* The sequence, or the one that it goes on from, that has token i itself. */
const fv_sequence *fv_sequence_with(const fv_sequence *sequence, int64_t i);
/* One more token. */
fv_err fv_sequence_push(fv_sequence *sequence, int32_t id);

/* images.c */

fv_err fv_images_init(fv_engine *engine);
void fv_images_fini(fv_engine *engine);
size_t fv_images_bytes(const fv_engine *engine);            /* of the pool */
fv_err fv_images_measure(fv_engine *engine, size_t *bytes); /* of the largest image's pass */
/* See that features are there for what tokens [first, first + *n) of a sequence show; *n becomes less if
 * there is no room for some of them in this pass. */
fv_err fv_images_need(fv_engine *engine, const fv_sequence *sequence, int64_t first, int64_t *n);
/* The row of features that token i shows; -1: none. */
int64_t fv_images_row(const fv_sequence *sequence, int64_t i);

/* schedule.c */

fv_err fv_schedule_init(fv_engine *engine);
void fv_schedule_fini(fv_engine *engine);
fv_err fv_schedule_pass(fv_engine *engine);

/* forward.c */

/* See that there is memory for the largest pass, or count it. */
fv_err fv_forward_init(fv_engine *engine);
fv_err fv_forward_measure(fv_engine *engine, size_t *bytes);
/* Compute the pass, draw and choose. */
fv_err fv_forward_pass(fv_engine *engine);

/* sample.c */

/* One more draw: the next token of the sequence. */
void fv_sample_add(fv_pass_plan *pass, fv_sequence *sequence);
fv_err fv_sample_draws(fv_engine *engine);

#endif
