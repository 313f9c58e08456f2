/* Generation: one prompt, with images, to tokens. Collective over the model's tensor group.
 *
 * An engine of one sequence: the prompt is computed in chunks, then one token at a time over the cache; every
 * log-prob is the same bits as one whole forward pass over prompt and response gives. */
#ifndef FOVEA_ENGINE_GENERATE_H
#define FOVEA_ENGINE_GENERATE_H

#include "fovea/engine/engine.h"

/* A prompt; arrays are borrowed. */
typedef struct fv_prompt {
    const int32_t *ids; /* (n), image tokens in place */
    int64_t n;
    const fv_grid *grids; /* (n_images), in order of their tokens */
    int n_images;
    fv_picture *const *pictures; /* (n_images) */
} fv_prompt;

/* The logit of a token that is in the prompt or the response so far. */
static inline float fv_repeated_logit(float logit, float penalty)
{
    return logit > 0 ? logit / penalty : logit * penalty;
}

/* Receives each token as it is generated, with its log-prob (fv_sequence_owner). Anything but FV_OK ends the
 * generation and is returned. */
typedef fv_err (*fv_token_sink)(void *context, int32_t id, float logprob);

typedef struct fv_generate_args {
    fv_prompt prompt;
    fv_sampling sampling;
    int max_tokens;
    int ignore_stop;    /* go on after an end-of-sequence token */
    int64_t chunk;      /* prompt tokens a pass, at least 1 */
    fv_token_sink sink; /* the end-of-sequence token is passed on too */
    void *context;
} fv_generate_args;

typedef enum fv_finish { FV_FINISH_STOP, FV_FINISH_LENGTH } fv_finish;

/* FV_ERR_ARGUMENT: an empty prompt, one that with max_tokens exceeds the model's positions, image tokens that
 * do not match the grids, tokens outside the vocabulary, settings that make no sense. */
fv_err fv_generate(fv_model *model, const fv_generate_args *args, fv_finish *finish);

#endif
