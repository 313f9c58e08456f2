/* Checkpoints of tiny models, whose every number tells where it came from. */
#ifndef FOVEA_CHECKPOINT_CASE_H
#define FOVEA_CHECKPOINT_CASE_H

#include "tiny_folder.h"

#include "fovea/model/checkpoint/checkpoint.h"

/* A number that tells where it came from: the set, the parameter and the element of the whole tensor. */
float checkpoint_value(int set, int param, int64_t whole);

/* The flat buffer of a rank, as training would have it. */
float *checkpoint_flat(const fv_layout *layout, int set);

/* The checkpoint root/name, as T tensor ranks of D data ranks each write it. */
const char *checkpoint_save(const char *name, const fv_model_shape *shape, int tensor, int data,
                            const char *source);

#endif
