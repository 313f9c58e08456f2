/* The list of a model's parameters: one entry a tensor of the Hugging Face folder, in one fixed order. Local.
 *
 * Names are those of transformers 4: "model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight",
 * "model.norm.weight", "lm_head.weight", "visual.patch_embed.proj.weight", "visual.blocks.0.norm1.weight",
 * "visual.merger.mlp.0.weight". A tied head has no entry of its own. */
#ifndef FOVEA_MODEL_PARAM_H
#define FOVEA_MODEL_PARAM_H

#include "fovea/base/dtype.h"
#include "fovea/model/shape/shape.h"

enum { FV_PARAM_NAME_BYTES = 80, FV_PARAM_MAX_DIMS = 5 };

/* First values: LINEAR normal with the variance of a third over the inputs of a row (what PyTorch gives a
 * linear layer); EMBEDDING normal with deviation 0.02. */
typedef enum fv_param_init { FV_INIT_LINEAR, FV_INIT_EMBEDDING, FV_INIT_ZERO, FV_INIT_ONE } fv_param_init;

/* Tensor-parallel split of dimension split_dim of the matrix (rows, cols) into units of `unit` rows or
 * columns that stay together (a head; 1 otherwise). Of U = size / blocks / unit units, rank r of T holds
 * units [r*U/T, (r+1)*U/T) (integer division) of each of the `blocks` equal blocks that the dimension
 * consists of (3 for the vision tower's fused qkv, else 1). When U < T the unit r*U/T is held by T/U ranks at
 * once: the key and value heads. */
typedef struct fv_param {
    char name[FV_PARAM_NAME_BYTES];
    int n_dims;
    int64_t dim[FV_PARAM_MAX_DIMS]; /* as in the file */
    int64_t rows, cols;             /* as a matrix: dim[0], product of the rest; a vector is (n, 1) */
    int split_dim; /* 0 rows (column parallel), 1 columns (row parallel), -1 whole on every rank */
    int64_t unit;
    int blocks;
    int sum_grad; /* whole on every rank, but each rank's gradient is a part: the query and key norms */
    fv_param_init init;
} fv_param;

typedef struct fv_param_list {
    fv_param *items; /* owned */
    int n;
} fv_param_list;

fv_err fv_param_list_init(fv_param_list *list, const fv_model_shape *shape);
void fv_param_list_fini(fv_param_list *list);

/* NULL if there is none of that name. */
const fv_param *fv_param_find(const fv_param_list *list, const char *name);

/* The part of the matrix that rank of n_ranks holds: `blocks` blocks of n rows (or columns), block b starting
 * at first + b * stride in the whole and at b * n in the part. split_dim < 0: everything. */
typedef struct fv_param_part {
    int64_t first, n, stride;
    int64_t rows, cols; /* of the part */
} fv_param_part;
fv_param_part fv_param_part_of(const fv_param *param, int rank, int n_ranks);

/* Element i of a part, row-major, is element *in_whole of the tensor; returns how many from there on lie side
 * by side in both. */
int64_t fv_param_run(const fv_param *param, const fv_param_part *part, int64_t i, int64_t *in_whole);

/* Random first values of rows [first, first + n) into out (n, cols), as param->init says. A number depends on
 * seed, the parameter's name and its place in the tensor alone. */
void fv_param_fill(const fv_param *param, uint64_t seed, int64_t first, int64_t n, float *out);

/* Numbers to measure speed with, drawn many times as fast: uniform, of the same deviations. Elements [first,
 * first + n) of the tensor into out (n), of dtype, a float one. A number depends on name and place alone. */
void fv_param_noise(const fv_param *param, int64_t first, int64_t n, fv_dtype dtype, void *out);

#endif
