/* A model of noise on a back end, and prompts with images and samples of two turns: for tests of the same
 * bits in sizes that no unit test has. Failures end the program. */
#ifndef FOVEA_GPU_CASE_H
#define FOVEA_GPU_CASE_H

#include "fovea/base/rng.h"
#include "fovea/model/model.h"
#include "fovea/train/policy.h"

enum {
    CASE_PICTURES = 4,
    CASE_TURN = 96,
    CASE_TEXT = 120 /* tokens at most, of a turn and of a prompt's text */
};

typedef struct gpu_case {
    fv_model_shape shape;
    fv_comm *self;
    fv_backend *backend;
    fv_model *model;
    fv_policy *policy;
    fv_picture *pictures[CASE_PICTURES][2]; /* in low and high resolution */
    int32_t excluded[16];
    int n_excluded;
} gpu_case;

/* End the program with the failure's sentence. */
void must(fv_err err);

/* shape: a file of configs/model; backend: "cuda" or "cpu". The precision is bf16. */
void case_open(gpu_case *c, const char *shape, const char *backend);
void case_close(gpu_case *c);

/* A number in [0, below), of group, sample and place. */
int32_t case_draw(int group, int sample, int place, int32_t below);

/* Group number: a prompt of other text and length than its neighbours', all but each fifth with an image, and
 * n_samples empty responses with room for two turns and what lies between. */
void case_group(const gpu_case *c, int number, int n_samples, fv_group *out);

/* Append a token to a response; is_generated: with its log-prob. */
void case_push(fv_response *to, int32_t id, int is_generated, float logprob);

/* Append what the tool says, with the high-resolution image. */
void case_show(const gpu_case *c, const fv_group *group, fv_response *to);

/* An fv_view_of whose context is the case. */
fv_err case_view(void *context, const fv_group *group, int is_high, fv_picture **view);

#endif
