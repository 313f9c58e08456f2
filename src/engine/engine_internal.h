/* The parts of an engine: sequences (sequence.c), features of images (images.c), who computes what in the
 * next pass (schedule.c, ahead.c, pass_plan.c), the pass itself (forward.c) and what is drawn (sample.c). */
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
    int slot;     /* its row of the page table */
    int64_t life; /* no other one has this number, in the same slot or another */
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
    /* While the pass behind a flight is planned: 1: it goes on with a token that is draw `draw` of the
     * flight; -1: it waits for the last one that there is room for; 0: all its tokens are known. */
    int ahead;
    int64_t draw;
    fv_sequence *older, *younger;
};

/* Something that comes of a pass: it is for this sequence if that still has this life and n tokens. */
typedef struct fv_awaited {
    fv_sequence *sequence;
    int64_t life, n;
    int64_t look; /* the first look at a row that is for it */
    int is_ahead; /* the last of the n tokens was not known when the pass was queued */
} fv_awaited;

/* A pass that is queued, until its owners are told of it. */
typedef struct fv_flight {
    int is_under_way;
    int64_t n_known; /* tokens of the pass that were known when it was queued */
    int64_t n_awaited;
    fv_awaited *awaited; /* owned, (R) */
    int32_t *results;    /* owned, pinned: as those of the engine */
    fv_event *arrived;   /* owned: they are there */
} fv_flight;

/* A pass being put together; host arrays of fixed capacity. R runs at once, S sequences, T tokens, L = R *
 * FV_MAX_CHOICES looks at rows: one a draw, or one a choice. */
typedef struct fv_pass_plan {
    int64_t number; /* from 1 */
    int64_t n, n_segments, n_spans, n_features;
    int64_t n_unknown;     /* of the n */
    int64_t size;          /* rows: n and padding */
    int32_t *ids, *slots;  /* (T) */
    int32_t *positions;    /* (3, T) as they come, */
    int32_t *by_axis;      /* and (3, size) */
    int32_t *feature_rows; /* (T): of the image tokens, in order */
    int32_t *segments;     /* (S, 6) */
    int32_t *spans;        /* (S * width, 2) */
    fv_page_copy *copies;  /* (S) */
    int n_copies;
    int64_t n_awaited, n_looks;
    fv_awaited *awaited;     /* (R) */
    int32_t *rows, *targets; /* (L), (L) of choices */
    int32_t *keys;           /* (L, FV_DRAW_FIELDS) */
    float *inv_temperatures; /* (L), as are */
    float *top_p;
    int32_t *top_k;
    int is_filtered, has_penalty;
    float *changed;   /* (R, V) logits, if draws may be filtered */
    uint8_t *is_seen; /* (V), 0 between draws */
    /* A pass that takes one token of every sequence, and a draw from each, has the rows of its bucket, and is
     * recorded: row before[j] gets draw j of the pass before; -1: none does. */
    int is_decode, bucket;
    int32_t *before; /* (R) */
} fv_pass_plan;

enum { FV_MAX_BUCKETS = 128 };

/* Images whose features are to be computed: together, until they fill a device. */
enum { FV_SEEN_PATCHES = 4096, FV_MAX_SEEN = 64 };

typedef struct fv_seen {
    int n;
    int64_t patches;
    fv_engine_image *images[FV_MAX_SEEN];
    fv_picture *pictures[FV_MAX_SEEN]; /* held */
    fv_grid grids[FV_MAX_SEEN];
} fv_seen;

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
    fv_seen seen;
    int64_t n_lives;
    fv_pass_plan pass;
    fv_flight flights[2]; /* that whose owners are told next, and the one behind it, by turns */
    int at;               /* which is the first */
    int is_recording;     /* decoding is recorded, and the next pass queued before draws are known */
    fv_graph *graphs[FV_MAX_BUCKETS][2]; /* owned; NULL before the first use; [1]: draws are filtered */
    const void *recorded;                /* the weights of those */
    fv_token_run run;
    fv_text_pass *text;
    fv_vision_pass *vision; /* NULL if no images may come */
    fv_workspace work, vision_work;
    /* Of a pass: F image tokens, L looks. Results are in one place for all: I32 ids and F32 log-probs of
     * draws, (2, R), or log-probs of choices, (R * FV_MAX_CHOICES). */
    fv_tensor results, before;      /* before: I32 (R) */
    fv_tensor read_ids;             /* I32 (T): that the decoder reads */
    fv_tensor feature_rows, picked; /* I32 (F), (F, C) */
    fv_tensor rows, hidden;         /* I32 (L), (L, C) */
    fv_head_draws head_draws;
    fv_logits logits;       /* (L, V); these if draws may be filtered */
    fv_tensor changed;      /* (L, V) what is drawn from then */
    fv_tensor top_k, top_p; /* I32 (L), (L) */
    fv_head_pass head;      /* L rows */
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
fv_err fv_images_measure(fv_engine *engine, size_t *bytes); /* of the largest pass of the tower */
/* See that features are there for what tokens [first, first + *n) of a sequence show; *n becomes less if
 * there is no room for some of them in this pass. */
fv_err fv_images_need(fv_engine *engine, const fv_sequence *sequence, int64_t first, int64_t *n);
/* Compute the features of what was seen since the last call; or forget it. */
fv_err fv_images_encode(fv_engine *engine);
void fv_images_drop(fv_engine *engine);
/* The row of features that token i shows; -1: none. */
int64_t fv_images_row(const fv_sequence *sequence, int64_t i);

/* pass_plan.c */

fv_err fv_pass_plan_init(fv_engine *engine);
void fv_pass_plan_fini(fv_engine *engine);
void fv_pass_clear(fv_engine *engine);
/* n more rows of s, which the page table has already; then its tokens, the last of them perhaps a draw of the
 * pass before; then what is wanted of the last row: with it s has n tokens. */
void fv_pass_add_segment(fv_engine *engine, const fv_sequence *s, int64_t n);
void fv_pass_add_token(fv_engine *engine, const fv_sequence *s, int64_t i);
void fv_pass_add_unknown(fv_engine *engine, const fv_sequence *s);
void fv_pass_add_want(fv_engine *engine, fv_sequence *s, int64_t n);
void fv_pass_close(fv_engine *engine);
/* Rows of the least bucket for n of at most `most`; returns its number. */
int fv_bucket_of(int64_t n, int64_t most, int64_t *size);

/* schedule.c: the next pass. It has no rows if it may not evict, and would have to. */
fv_err fv_schedule_pass(fv_engine *engine, int may_evict);

/* ahead.c: the pass behind a flight; *is_there 0: it has to wait for what that brings. */
fv_err fv_schedule_ahead(fv_engine *engine, const fv_flight *flight, int *is_there);
int fv_is_awaited(const fv_awaited *awaited);

/* forward.c */

/* See that there is memory for the largest pass, or count it. */
fv_err fv_forward_init(fv_engine *engine);
void fv_forward_fini(fv_engine *engine);
fv_err fv_forward_measure(fv_engine *engine, size_t *bytes);
/* Queue the pass. */
fv_err fv_forward_pass(fv_engine *engine, fv_flight *flight);

/* sample.c: queue the draws from hidden (L, C). */
fv_err fv_sample_draws(fv_engine *engine, fv_tensor hidden);

#endif
