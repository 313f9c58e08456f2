/* A model with random weights, a sequence with two images, and whole passes over it. */
#ifndef FOVEA_MODEL_CASE_H
#define FOVEA_MODEL_CASE_H

#include "temp_folder.h"

#include "fovea/model/hf/folder.h"
#include "fovea/engine/generate.h"
#include "fovea/model/nn/head.h"
#include "fovea/base/rng.h"
#include "fovea/ops/staging.h"
#include "fovea/ops/workspace.h"

enum {
    CASE_TOKENS = 200,
    CASE_ROWS = CASE_TOKENS - 1,
    CASE_MAX_TOKENS = 1024,
    CASE_IMAGES = 2,
    CASE_MODELS = 3
};

extern const char *const case_models[CASE_MODELS]; /* in configs/model */
extern fv_precision case_precision; /* of what case_open and case_open_shared open; fp32 at first */
extern fv_comm *case_self;          /* between case_setup and case_teardown */

typedef struct model_case {
    fv_backend *backend; /* owned */
    fv_comm *comm;       /* borrowed */
    fv_model *model;     /* owned */
    int n_images;
    fv_grid grids[CASE_IMAGES];
    fv_picture *pictures[CASE_IMAGES]; /* held */
    int64_t n, n_features;
    int32_t ids[CASE_MAX_TOKENS], positions[3 * CASE_MAX_TOKENS], segment[FV_SEGMENT_FIELDS],
        span[FV_SPAN_FIELDS];
    float inv_temperature;
    const int32_t *excluded; /* borrowed, (n_excluded) */
    int64_t n_excluded;
    fv_save save;
    fv_workspace work;
    fv_vision_pass *vision;
    fv_text_pass *text;
    fv_head_pass head;
    fv_tensor features, dfeatures, hidden, dhidden, dlogprob, dentropy;
    fv_weights grads;
} model_case;

/* Changes rows [first, first + n) of a parameter, (n, cols), before they are written. */
typedef void (*case_adjust)(void *context, const fv_param *param, int64_t first, int64_t n, float *rows);

/* root/name becomes a model of configs/model/shape.yaml with random numbers. adjust may be NULL. */
void case_write(const char *name, const char *shape, case_adjust adjust, void *context);

void case_load_shape(const char *name, fv_model_shape *out); /* of configs/model */
void case_write_shape(const char *name, const fv_model_shape *shape, case_adjust adjust, void *context);

/* All models, and a group of one; for a test program's beginning and end. */
int case_setup(void **state);
int case_teardown(void **state);

/* Set case_precision: for a test's beginning. */
int case_use_fp32(void **state);
int case_use_bf16(void **state);

/* The sequence is whole: one segment over its own rows. */
void case_place(model_case *c);

/* A picture whose bytes are drawn by seed; blank: they are 0. */
fv_picture *case_picture(fv_grid grid, uint64_t seed);
fv_picture *case_blank_picture(fv_grid grid);

/* backend is taken; folder: as case_write made it. Shared: with the training state of several data ranks. */
void case_open(model_case *c, fv_backend *backend, fv_comm *comm, const char *folder);
void case_open_shared(model_case *c, fv_backend *backend, fv_comm *comm, int data_ranks, const char *folder);

void case_open_args(model_case *c, const fv_model_args *args); /* the back end is taken */

void case_close(model_case *c);

/* logprobs, entropies (n - 1) of the next tokens; entropies may be NULL. */
void case_forward(model_case *c, float *logprobs, float *entropies);

/* After case_forward: this rank's grads of sum of weights[i] logprob[i] + entropy_weight entropy[i]. */
void case_backward(model_case *c, const float *weights, float entropy_weight);

/* Weights of the rows' log-probs: a different one for each. */
void case_row_weights(float *weights);

/* What a generation gave; case_receive is its sink. */
typedef struct case_answer {
    int32_t ids[CASE_TOKENS];
    float logprobs[CASE_TOKENS];
    int n;
} case_answer;

fv_err case_receive(void *context, int32_t id, float logprob);

/* The case's first n_prompt tokens, with its images, go on by drawing; it becomes that sequence. */
void case_generate(model_case *c, int64_t n_prompt, int64_t chunk, const fv_sampling *sampling,
                   case_answer *out);

#endif
