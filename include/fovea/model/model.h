/* A model: weights in place, and its forward and backward passes. Qwen2 and Qwen2.5 text, Qwen3 text,
 * Qwen2.5-VL.
 *
 * One forward function serves prefill, decode and training; what differs is where keys live and what is
 * saved. Memory is planned: every pass takes its tensors from an arena, and taking from a dry arena first
 * gives the size to allocate. All functions are Collective over the tensor-parallel group unless marked
 * Local: every rank passes the same tokens and holds its part of the weights. */
#ifndef FOVEA_MODEL_MODEL_H
#define FOVEA_MODEL_MODEL_H

#include "fovea/ops/staging.h"
#include "fovea/model/image/picture.h"
#include "fovea/model/nn/positions.h"
#include "fovea/model/precision.h"
#include "fovea/model/weights.h"

typedef struct fv_model fv_model;

typedef struct fv_model_args {
    fv_backend *backend; /* borrowed, as is tensor */
    fv_comm *tensor;
    const char *folder; /* of Hugging Face, or a checkpoint; NULL: noise (fv_param_noise) of */
    const fv_model_shape *shape;
    int data_ranks; /* which share out the training state: flat buffers are padded for them; 0: one */
    int chunks;     /* of the sums that the ranks of tensor share, a multiple of these: 1, 2, 4, 8; 0: 4 */
    fv_precision precision;
} fv_model_args;

/* Logits and log-probs are the same bits for every number of ranks that divides the chunks; the number of
 * chunks is the order of sums, and changes them. */
enum { FV_DEFAULT_CHUNKS = 4 };

/* Open a folder and read this rank's part of the weights; or draw it. */
fv_err fv_model_open(const fv_model_args *args, fv_model **out);
void fv_model_destroy(fv_model *model); /* Local. NULL is fine */

/* Local. Borrowed; live as long as the model. */
const fv_model_shape *fv_model_shape_of(const fv_model *model);
const fv_layout *fv_model_layout(const fv_model *model);
const fv_weights *fv_model_weights(const fv_model *model);
const fv_precision *fv_model_precision(const fv_model *model);
fv_backend *fv_model_backend(const fv_model *model);
fv_comm *fv_model_tensor(const fv_model *model);

/* A second buffer of the model's layout, zeroed: gradients, a reference. The memory belongs to weights until
 * fv_model_free_weights. Local. */
fv_err fv_model_alloc_weights(fv_model *model, fv_dtype dtype, fv_weights *weights);
void fv_model_free_weights(fv_model *model, fv_weights *weights);

/* A copy of the model's weights into such a buffer, of their dtype. Local. */
fv_err fv_model_copy_weights(fv_model *model, fv_weights *to);

/* The passes that follow use *with; what they used before is in *with now. Local. */
void fv_model_swap_weights(fv_model *model, fv_weights *with);

/* After the backward passes of a step: add up the gradients of which every rank holds a part (query and key
 * norms) and of parameters that several ranks hold (shared key heads). */
fv_err fv_model_reduce_grads(fv_model *model, fv_weights *grads);

/* What a pass keeps for a backward pass: nothing, or the inputs of all blocks, and of the first blocks of
 * each tower all activations: those of the others are computed again (recomputation). The gradients are the
 * same bits either way. FV_SAVE_ALL: the head's logits, too. */
typedef int fv_save;
enum { FV_SAVE_NONE, FV_SAVE_INPUTS, FV_SAVE_ALL = FV_SAVE_INPUTS + FV_MAX_LAYERS };

/* All activations of n blocks of each tower. */
static inline fv_save fv_save_blocks(int n)
{
    return FV_SAVE_INPUTS + n;
}

/* The vision tower. */

typedef struct fv_vision_pass fv_vision_pass;
fv_err fv_vision_pass_create(fv_model *model, fv_vision_pass **out); /* Local */
void fv_vision_pass_destroy(fv_vision_pass *pass);                   /* Local. NULL is fine */

/* Take the pass's tensors for these images from arena. Local. */
fv_err fv_vision_take(fv_vision_pass *pass, const fv_grid *grids, int n_images, fv_save save,
                      fv_arena *arena);
/* pictures: one an image, of the grids that were taken; borrowed. features (N, C): a row a token, in the
 * processor's order; lives in the arena. */
fv_err fv_vision_forward(fv_vision_pass *pass, fv_picture *const *pictures, fv_tensor *features);
/* dfeatures F32 (N, C); gradients of weights are added to grads. */
fv_err fv_vision_backward(fv_vision_pass *pass, fv_tensor dfeatures, fv_weights *grads);

/* The text decoder. */

/* A packed run of tokens, on the host; arrays are borrowed. Segments and spans are those of
 * fv_attention_args; without slots they name rows of this run, with slots rows of the cache. */
typedef struct fv_token_run {
    int64_t n;
    const int32_t *ids;       /* (n), in the vocabulary */
    const int32_t *positions; /* (3, n) */
    const int32_t *segments;  /* (n_segments, 6) */
    const int32_t *spans;     /* (n_spans, 2) */
    const int32_t *slots;     /* (n): cache rows that receive the keys; NULL without a cache */
    int64_t n_segments, n_spans;
    int64_t n_features; /* image tokens among ids: the i-th takes row i of the features */
    int64_t max_spans;  /* room for them, if not exactly that many: spans that no segment names */
} fv_token_run;

/* Keys and values of every layer: (R, K, D) tensors in memory of the back end. */
typedef struct fv_key_store {
    fv_tensor *keys, *values; /* n_layers each */
} fv_key_store;

typedef struct fv_text_pass fv_text_pass;
fv_err fv_text_pass_create(fv_model *model, fv_text_pass **out); /* Local */
void fv_text_pass_destroy(fv_text_pass *pass);                   /* Local. NULL is fine */

/* Take the pass's tensors from arena: for exactly tokens' counts (no array is read). Local. */
fv_err fv_text_take(fv_text_pass *pass, const fv_token_run *tokens, fv_save save, fv_arena *arena);
/* What a pass reads of tokens, each part in its tensor (staging.h): the first that fv_text_take takes, one
 * after the other. Arrays live until the model's next call. FV_ERR_ARGUMENT: ids outside the vocabulary, or
 * image tokens that are not n_features. Local. */
enum { FV_TEXT_PARTS = 7, FV_TEXT_IDS = 0 /* the part that the embedding reads */ };
fv_err fv_text_parts(fv_text_pass *pass, const fv_token_run *tokens, fv_upload_part parts[FV_TEXT_PARTS]);
/* The pass, when its parts are there: operations alone. hidden, features and store as below. */
fv_err fv_text_compute(fv_text_pass *pass, fv_tensor features, const fv_key_store *store, fv_tensor *hidden);

/* Parts, their upload and the pass. hidden (n, C): after the final norm; lives in the arena. features
 * (n_features, C) or absent. store: NULL without slots. */
fv_err fv_text_forward(fv_text_pass *pass, const fv_token_run *tokens, fv_tensor features,
                       const fv_key_store *store, fv_tensor *hidden);
/* dhidden F32 (n, C) is overwritten. dfeatures F32 (n_features, C) is written unless absent. Gradients are
 * added to grads. */
fv_err fv_text_backward(fv_text_pass *pass, fv_tensor dhidden, fv_tensor dfeatures, fv_weights *grads);

/* Logits of n rows over the whole vocabulary, on every rank. */
typedef struct fv_logits {
    fv_tensor all;        /* (n, V) */
    fv_tensor own, parts; /* (n, W), (ranks * n, W), W = V / ranks rounded up: on the way there */
} fv_logits;

fv_err fv_logits_take(const fv_model *model, int64_t n, fv_arena *arena, fv_logits *out); /* Local */
/* logits->all = hidden (n, C) times the head. */
fv_err fv_model_logits(fv_model *model, fv_tensor hidden, const fv_logits *logits);

#endif
