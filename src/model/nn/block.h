/* One transformer block, of the text decoder and of the vision tower: pre-norm attention and a gated MLP,
 * each added to the residual stream. The one forward function serves prefill, decode and training. Collective
 * over the tensor group.
 *
 * T rows; C hidden; H, K, D, F are this rank's share. Row-parallel products (out, down) end in an all-reduce
 * forward, column-parallel ones (qkv, gate_up) backward. Sums of the former are cut into chunks and added in
 * one tree, however many ranks share them, so that a forward pass gives the same bits on any number. */
#ifndef FOVEA_SRC_MODEL_NN_BLOCK_H
#define FOVEA_SRC_MODEL_NN_BLOCK_H

#include "fovea/ops/backend.h"
#include "fovea/model/weights.h"

typedef struct fv_block_shape {
    int hidden, n_heads, n_kv_heads, head_dim, intermediate;
    int causal, window, has_qk_norm;
    float norm_eps;
    fv_chunks out_sum, down_sum; /* of the products that ranks share */
    fv_dtype dtype;              /* of activations: everything below but rstd, lse, what is said to be F32 */
} fv_block_shape;

/* What a forward pass leaves for the backward pass. */
typedef struct fv_block_acts {
    fv_tensor rstd1;   /* (T) */
    fv_tensor h1;      /* (T, C) after norm1 */
    fv_tensor qkv;     /* (T, (H + 2K) D); turned in place unless qk is there */
    fv_tensor qk;      /* (T, (H + K) D) normalised and turned; absent without has_qk_norm */
    fv_tensor qk_rstd; /* (T * H + T * K), queries first */
    fv_tensor attn;    /* (T, H D) */
    fv_tensor lse;     /* (T, H) */
    fv_tensor mid;     /* (T, C) the residual stream after attention */
    fv_tensor rstd2;   /* (T) */
    fv_tensor h2;      /* (T, C) after norm2 */
    fv_tensor gate_up; /* (T, 2F) */
    fv_tensor y;       /* (T, F) */
} fv_block_acts;

/* Scratch of a backward pass. */
typedef struct fv_block_grads {
    fv_tensor h;       /* F32 (T, C): a sum over ranks */
    fv_tensor qkv;     /* (T, (H + 2K) D) */
    fv_tensor sums;    /* F32, as qkv: what the gradient of attention gives; qkv itself if that is F32 */
    fv_tensor qk;      /* F32 (T, (H + K) D); absent without has_qk_norm */
    fv_tensor attn;    /* (T, H D) */
    fv_tensor gate_up; /* (T, 2F) */
    fv_tensor y;       /* (T, F) */
} fv_block_grads;

/* What attention goes by, and the plan that a back end makes of it once a pass. */
typedef struct fv_block_lists {
    fv_tensor segments, spans, plan;
    int most_queries, most_keys; /* of a segment; 0: any number */
} fv_block_lists;

fv_err fv_block_plan_take(fv_backend *backend, const fv_block_shape *shape, int64_t n_tokens, fv_arena *arena,
                          fv_block_lists *lists);
/* When segments and spans are there. */
fv_err fv_block_plan(fv_backend *backend, const fv_block_shape *shape, int64_t n_tokens,
                     const fv_block_lists *lists);

/* Everything about a pass that does not change from block to block. */
typedef struct fv_block_pass {
    fv_backend *backend;
    fv_comm *tensor;
    fv_block_shape shape;
    fv_tensor cos, sin;   /* (T, D / 2) */
    fv_block_lists lists; /* of attention */
    fv_tensor part;       /* of the stack */
    fv_tensor
        slots; /* I32 (T): rows of the key store that receive this pass's keys; absent: keys stay here */
} fv_block_pass;

fv_err fv_block_acts_take(fv_arena *arena, const fv_block_shape *shape, int64_t n_tokens, fv_block_acts *out);
fv_err fv_block_grads_take(fv_arena *arena, const fv_block_shape *shape, int64_t n_tokens,
                           fv_block_grads *out);

/* x (T, C): what the block reads; if mid, the mid of the block before, is there, x is what that block's MLP
 * adds to it, and becomes their sum. out (T, C), which may be x: what this block's MLP adds to its mid;
 * absent: it is not computed. keys and values (R, K, D) are the block's key store when pass->slots is there.
 */
typedef struct fv_block_io {
    fv_tensor x, mid, out, keys, values;
} fv_block_io;
fv_err fv_block_forward(const fv_block_pass *pass, const fv_block_weights *weights, const fv_block_io *io,
                        fv_block_acts *acts);

/* x as the forward pass left it; dx (T, C) holds the gradient of mid + out and receives that of x. Gradients
 * of weights are added. */
fv_err fv_block_backward(const fv_block_pass *pass, const fv_block_weights *weights,
                         const fv_block_acts *acts, fv_tensor x, fv_tensor dx, const fv_block_grads *scratch,
                         const fv_block_weights *grads);

/* y (T, out) = x (T, in) w^T + bias; and its gradients: dx (absent: skipped) is written, or added to if
 * accumulate; dw and dbias are added to. */
fv_err fv_linear(fv_backend *backend, fv_tensor x, fv_tensor w, fv_tensor bias, fv_tensor y);
/* The same, where x and w are this rank's columns, the chunks of the sum. part F32, of y's shape: what this
 * rank adds; absent where y may hold it. Collective over tensor. */
typedef struct fv_shared_linear_args {
    fv_tensor x, w, bias, y, part;
    fv_chunks sum;
} fv_shared_linear_args;
fv_err fv_shared_linear(fv_backend *backend, fv_comm *tensor, const fv_shared_linear_args *args);

typedef struct fv_linear_grad_args {
    fv_tensor dy, x, w, dx, dw, dbias;
    int accumulate;
} fv_linear_grad_args;
fv_err fv_linear_grad(fv_backend *backend, const fv_linear_grad_args *args);

/* Room for t rounded to dtype: t itself if it has that one. */
fv_err fv_take_rounded(fv_arena *arena, fv_tensor t, fv_dtype dtype, fv_tensor *out);
/* t into the room that was taken. */
fv_err fv_round(fv_backend *backend, fv_tensor t, fv_tensor out);

#endif
