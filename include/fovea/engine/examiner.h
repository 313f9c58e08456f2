/* A text model that is asked many questions with the same beginning. Collective over the model's tensor
 * group.
 *
 * The beginning is computed once, by the first pass, and every question reads it through the paged cache. A
 * pass computes the next tokens of the questions under way, the oldest first. What a question gives is the
 * same bits whatever else is in its passes. */
#ifndef FOVEA_ENGINE_EXAMINER_H
#define FOVEA_ENGINE_EXAMINER_H

#include "fovea/model/model.h"
#include "fovea/model/tokenizer/tokenizer.h"

enum { FV_N_CHOICES = 2 };

typedef struct fv_examiner_settings {
    const int32_t *beginning; /* (n_beginning), at least 1; copied */
    int64_t n_beginning;
    int32_t choices[FV_N_CHOICES]; /* ids to choose from, if max_drawn is 0 */
    int max_drawn;   /* tokens generated greedily after a question, at most; 0: none, but chosen */
    int32_t stop;    /* ends what is drawn, as the model's own end-of-sequence ids do */
    int max_running; /* questions at once */
    int pass_tokens, cache_pages;
} fv_examiner_settings;

/* What came of a question. */
typedef struct fv_finding {
    float logprobs[FV_N_CHOICES]; /* of each choice as the next token */
    const int32_t *drawn;         /* (n_drawn), without what ended it; borrowed for the call */
    int64_t n_drawn;
    int is_cut; /* max_drawn ended it */
} fv_finding;

typedef fv_err (*fv_examined)(void *context, const fv_finding *finding);

typedef struct fv_examiner fv_examiner;

/* model is borrowed. FV_ERR_ARGUMENT: settings that make no sense, or a beginning that fills the cache. */
fv_err fv_examiner_create(fv_model *model, const fv_examiner_settings *settings, fv_examiner **out);
void fv_examiner_destroy(fv_examiner *examiner); /* Local. NULL is fine; what is under way is dropped */

/* 1 if a question of n tokens, and what may be drawn after it, fits into the cache and the model's positions.
 * Local. */
int fv_examiner_fits(const fv_examiner *examiner, int64_t n);

/* A question, which fits and has a token; it is taken, also on failure. done is called once, from a pass.
 * Local. */
fv_err fv_examiner_ask(fv_examiner *examiner, fv_tokens *question, fv_examined done, void *context);

/* Tokens that passes have to compute before anything more is drawn. Local. */
int64_t fv_examiner_pending(const fv_examiner *examiner);

/* One pass; nothing if nothing is asked. */
fv_err fv_examiner_pass(fv_examiner *examiner);

#endif
