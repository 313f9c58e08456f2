/* What the files of the model share. */
#ifndef FOVEA_SRC_MODEL_MODEL_H
#define FOVEA_SRC_MODEL_MODEL_H

#include "model/nn/block.h"
#include "fovea/model/model.h"

struct fv_model {
    fv_model_shape shape;
    fv_backend *backend; /* borrowed */
    fv_comm *tensor;     /* borrowed */
    fv_precision precision;
    int chunks;        /* of sums that the ranks share */
    fv_comm *replicas; /* the ranks that hold the same key heads; NULL if this rank alone does */
    fv_layout layout;
    fv_weights weights;
    fv_block_shape text, vision; /* this rank's share */
    void *staging;               /* host memory of the pass being set up; grows */
    size_t staging_bytes;
};

/* This rank's part of a shared sum over so many steps. */
fv_chunks fv_model_sum(const fv_model *model, int64_t whole);

/* Ids [first, first + n). */
typedef struct fv_id_range {
    int64_t first, n;
} fv_id_range;

/* The ids of a rank: as many whole ranges as it has chunks of a sum. */
fv_id_range fv_model_ids_of(const fv_model *model, int rank);

/* The vocabulary in as many ranges as a sum has chunks, each cut into statistics chunks from its own
 * beginning, so that no number depends on how many ranks share them. Every range counts as many statistics
 * chunks as the longest has: the last of others are empty. */
int64_t fv_model_range_parts(const fv_model *model);
fv_id_range fv_model_range(const fv_model *model, int64_t range);

/* At least bytes of host memory, valid until the next call. */
fv_err fv_model_stage(fv_model *model, size_t bytes, void **out);

/* 1 if this rank speaks for its part of the parameter: of ranks that hold the same values, the first. */
int fv_model_counts(const fv_model *model, const fv_param *param);

/* The stack of blocks that both towers run: residual streams and activations by fv_save. */
typedef struct fv_stack {
    int n_blocks;
    fv_save save;
    fv_tensor
        x[FV_MAX_LAYERS + 1]; /* (T, C): input of each block and the output; one tensor if nothing is saved */
    int n_kept;               /* blocks that keep their activations, the first ones */
    fv_block_acts acts[FV_MAX_LAYERS]; /* theirs, and one set for all others */
    fv_block_grads grads;              /* if saved */
    fv_tensor part; /* F32 (T, C): a rank's part of a sum; absent where that is no other than the sum */
} fv_stack;

typedef struct fv_stack_size {
    int n_blocks, n_ranks; /* that share the sums */
    int64_t n_tokens;
    fv_save save;
} fv_stack_size;
fv_err fv_stack_take(fv_stack *stack, const fv_block_shape *shape, const fv_stack_size *size,
                     fv_arena *arena);

/* How block i differs from its neighbours: its attention (vision: windows or whole images) and its key store.
 */
typedef struct fv_block_setup {
    fv_block_lists lists;
    fv_tensor keys, values;
} fv_block_setup;
typedef fv_block_setup (*fv_block_setup_of)(const void *context, int i);

typedef struct fv_stack_run {
    fv_block_pass pass;
    const fv_block_weights *weights;
    fv_block_setup_of setup;
    const void *context;
} fv_stack_run;

/* From x[0]. x[n_blocks] is what the last MLP adds to the last mid; the sum of both is the output, which the
 * norm that follows makes and leaves in x[n_blocks], as the norms of the blocks did in the others. */
fv_err fv_stack_forward(fv_stack *stack, fv_stack_run *run);
fv_tensor fv_stack_mid(fv_stack *stack);
/* dx: the gradient of x[n_blocks] in, that of x[0] out. */
fv_err fv_stack_backward(fv_stack *stack, fv_stack_run *run, fv_tensor dx, const fv_block_weights *grads);

#endif
