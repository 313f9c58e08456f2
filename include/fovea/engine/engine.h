/* The engine: sequences of tokens through a model, by continuous batching. Collective over the model's tensor
 * group: every rank makes the same calls.
 *
 * A sequence is a list of tokens, which may go on from another one (a fork: what both begin with is computed
 * once), and what is wanted of it: that it generates, or how likely the model finds each of some choices as
 * its next token. A pass computes one token of every sequence for which there is room and, with what is left
 * of it, pieces of what has been appended, the oldest first. Its owner is told of every generated token, and
 * may append more tokens, with images, or end the sequence.
 *
 * When the cache is full the youngest sequences give up their rows and are computed again later, to the same
 * bits. Features of images are kept while there is room, and are computed again if they are needed again.
 * What is generated is a pure function of the tokens before, the weights and the sampling's key, so neither
 * batching nor room changes a token or a bit of its log-prob.
 *
 * Where a back end records graphs, the next pass is queued before the draws of a pass are known, if there is
 * room for it, no sequence has a repetition penalty and the engine does not choose, and owners are told while
 * it runs. What it computed for sequences that have ended or go on otherwise is not looked at, nor counted.
 *
 * All memory is taken when the engine is made: a pass allocates nothing. */
#ifndef FOVEA_ENGINE_ENGINE_H
#define FOVEA_ENGINE_ENGINE_H

#include "fovea/base/rng.h"
#include "fovea/model/model.h"

typedef struct fv_engine fv_engine;
typedef struct fv_sequence fv_sequence;

enum { FV_MAX_CHOICES = 2 };

typedef struct fv_engine_settings {
    const char *name;   /* of its memory, in messages; borrowed */
    int max_running;    /* sequences open at once that want something; besides, as many others */
    int64_t max_tokens; /* of a sequence, those it goes on from included */
    int pass_tokens;    /* of a pass, at least max_running */
    int cache_pages;    /* of the key-value cache (cache.h); one sequence of max_tokens must fit */
    int max_images;     /* of the tokens that a sequence has itself */
    fv_grid image;      /* the largest image; {0}: none */
    int64_t image_rows; /* of features kept at once, a row a token; at least those of the largest image */
    int has_filters;    /* some sequences have a top-k, a top-p or a repetition penalty */
    int is_choosing;    /* sequences choose; else they generate */
    const int32_t *excluded; /* (n_excluded), copied: never generated, and outside every log-prob */
    int n_excluded;
} fv_engine_settings;

typedef struct fv_engine_stats {
    int64_t n_passes;
    int64_t computed_tokens; /* through the decoder, those computed again included */
    int64_t generated_tokens;
    int64_t vision_patches;
    int64_t n_evictions; /* sequences that gave up their rows */
} fv_engine_stats;

/* model is borrowed. FV_ERR_ARGUMENT names a setting that makes no sense. */
fv_err fv_engine_create(fv_model *model, const fv_engine_settings *settings, fv_engine **out);
void fv_engine_destroy(fv_engine *engine); /* Local. NULL is fine; all sequences are closed */

/* Sums since the engine was made. Local. */
const fv_engine_stats *fv_engine_stats_of(const fv_engine *engine);
/* What it was made of. Borrowed; excluded names the engine's copy. Local. */
const fv_engine_settings *fv_engine_settings_of(const fv_engine *engine);
/* Pages of the cache that are free, and tokens that are to be computed before anything more can be generated.
 * Local. */
int fv_engine_free_pages(const fv_engine *engine);
int64_t fv_engine_pending(const fv_engine *engine);

/* One pass; *is_idle if there was nothing to do. */
fv_err fv_engine_pass(fv_engine *engine, int *is_idle);

/* Images. */

/* An image that sequences show: memory of the user, which it may not move while a sequence shows it. look is
 * called when its features are needed, and calls fv_engine_see once. */
typedef struct fv_engine_image {
    fv_grid grid;
    fv_err (*look)(void *context, fv_engine *engine, struct fv_engine_image *image);
    void *context;
    /* The engine's: rows [first, first + n) of its features, n 0 if they are not there. */
    int64_t first, n;
    int64_t used_in; /* the last pass that showed it */
    struct fv_engine_image *next;
} fv_engine_image;

/* picture: of the image's grid; it is held until the pass is queued, with the features of all its images. */
fv_err fv_engine_see(fv_engine *engine, fv_engine_image *image, fv_picture *picture);
/* No sequence shows the image any more. Local. */
void fv_engine_forget(fv_engine *engine, fv_engine_image *image);

/* Sequences. */

typedef struct fv_sampling {
    float temperature;        /* 0 takes the likeliest token */
    int top_k;                /* 0 = all */
    float top_p;              /* 1 = all */
    float repetition_penalty; /* 1 = none: logits of tokens that are in the sequence are divided by it if
                                 positive, else multiplied (CTRL, Keskar et al., 2019) */
    fv_rng_key key;           /* of the draws: with the place of a token after the sequence's beginning */
} fv_sampling;

/* FV_ERR_ARGUMENT names what makes no sense. */
fv_err fv_sampling_check(const fv_sampling *sampling);

/* Whether something but the temperature changes the distribution. */
int fv_sampling_is_filtered(const fv_sampling *sampling);

/* Who is told of what comes of a sequence; in these calls it may be appended to, ended or closed. */
typedef struct fv_sequence_owner {
    void *context;
    /* id is the last token of the sequence now. logprob: under softmax(logits / temperature) over all ids but
     * the excluded ones, whatever top-k, top-p or a penalty left to draw from (temperature 0: of the plain
     * logits). */
    fv_err (*generated)(void *context, fv_sequence *sequence, int32_t id, float logprob);
    /* logprobs (n_choices); the sequence has ended. */
    fv_err (*chosen)(void *context, fv_sequence *sequence, const float *logprobs);
} fv_sequence_owner;

typedef struct fv_sequence_args {
    fv_sequence
        *parent; /* goes on from all tokens that the parent has now; is closed before the parent; NULL */
    fv_sequence_owner owner; /* generated or chosen is set; {0}: computed for its forks alone */
    fv_sampling sampling;
    int32_t choices[FV_MAX_CHOICES]; /* (n_choices), if chosen is set */
    int n_choices;
} fv_sequence_args;

/* An empty sequence, but for its parent's tokens: the youngest. FV_BUSY: max_running are open. Local. */
fv_err fv_sequence_open(fv_engine *engine, const fv_sequence_args *args, fv_sequence **out);

/* Append n tokens. images: those that they show, in order of their runs of image tokens. All that is there
 * before the first pass is the sequence's beginning; with a parent, that is the parent's. FV_ERR_ARGUMENT:
 * more than max_tokens, or runs of image tokens that do not fit the images. Local. */
fv_err fv_sequence_append(fv_sequence *sequence, const int32_t *ids, int64_t n,
                          fv_engine_image *const *images, int n_images);

/* Nothing more is wanted of it. Local. */
void fv_sequence_end(fv_sequence *sequence);
void fv_sequence_close(fv_sequence *sequence); /* Local. It may have no forks any more */

/* Memory that an engine of these settings takes, in bytes. Local. */
typedef struct fv_engine_bytes {
    size_t cache, image_rows, pass, vision;
} fv_engine_bytes;
fv_err fv_engine_measure(fv_model *model, const fv_engine_settings *settings, fv_engine_bytes *bytes);

/* Lower cache_pages to what an engine of `room` bytes has, but no lower than two sequences of max_tokens
 * take. Local. */
fv_err fv_engine_fit_cache(fv_model *model, double room, fv_engine_settings *settings);

#endif
