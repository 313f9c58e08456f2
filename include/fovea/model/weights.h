/* The weights of one rank: one flat buffer, and views into it. Local.
 *
 * Values, gradients and the optimizer's moments are four buffers of one layout, so an update is one operation
 * over all of them. Parameters that one product reads together (query, key and value; gate and up) lie side
 * by side and are one matrix; each remains a parameter of its own in the list. */
#ifndef FOVEA_MODEL_WEIGHTS_H
#define FOVEA_MODEL_WEIGHTS_H

#include "fovea/ops/backend.h"
#include "fovea/model/param.h"

/* Where the part of every parameter that this rank holds lies in a flat buffer. */
typedef struct fv_layout {
    fv_param_list params;
    int64_t *offset;    /* owned; elements; one for each parameter */
    int64_t n_elements; /* the parameters with the gaps between them: the same for any number of data ranks */
    int64_t share;      /* of a data rank: rank i has elements [i share, (i + 1) share) of a flat buffer */
    int64_t n_flat;     /* elements of a flat buffer, at least n_elements: those after them are zeros */
    int rank, n_ranks;  /* of the tensor-parallel group */
} fv_layout;

/* One transformer block, text or vision; absent tensors have no data. Sizes are this rank's:
 * H query heads, K key heads of D, F of the MLP. */
typedef struct fv_block_weights {
    fv_tensor norm1;        /* (C) */
    fv_tensor qkv;          /* ((H + 2K) D, C) */
    fv_tensor qkv_bias;     /* ((H + 2K) D) */
    fv_tensor q_norm;       /* (D) */
    fv_tensor k_norm;       /* (D) */
    fv_tensor out;          /* (C, H D) */
    fv_tensor out_bias;     /* (C) */
    fv_tensor norm2;        /* (C) */
    fv_tensor gate_up;      /* (2F, C) */
    fv_tensor gate_up_bias; /* (2F) */
    fv_tensor down;         /* (C, F) */
    fv_tensor down_bias;    /* (C) */
} fv_block_weights;

typedef struct fv_weights {
    fv_tensor flat;            /* (n_flat); the memory is the creator's */
    fv_tensor embed;           /* (V, C) */
    fv_tensor norm;            /* (C) */
    fv_tensor head;            /* (V, C); embed if tied */
    fv_block_weights *text;    /* owned; one for each layer */
    fv_tensor patch;           /* (Cv, channels * frames * patch^2) */
    fv_block_weights *vision;  /* owned; NULL without vision */
    fv_tensor merger_norm;     /* (Cv) */
    fv_tensor merger_in;       /* (M, merge^2 Cv) */
    fv_tensor merger_in_bias;  /* (M) */
    fv_tensor merger_out;      /* (C, M) */
    fv_tensor merger_out_bias; /* (C) */
} fv_weights;

/* For one data rank: n_flat = share = n_elements. FV_ERR_ARGUMENT if the shape cannot be split over n_ranks,
 * with the arithmetic. */
fv_err fv_layout_init(fv_layout *layout, const fv_model_shape *shape, int rank, int n_ranks);

/* Pad flat buffers so that the shares of n_shares data ranks are equal and aligned. */
void fv_layout_pad(fv_layout *layout, int n_shares);
void fv_layout_fini(fv_layout *layout);

/* Views into memory of layout->n_flat elements. */
fv_err fv_weights_init(fv_weights *weights, const fv_layout *layout, const fv_model_shape *shape,
                       fv_dtype dtype, void *memory);
void fv_weights_fini(fv_weights *weights);

/* This rank's part of parameter i as a matrix (rows, cols of its fv_param_part). */
fv_tensor fv_weights_param(const fv_weights *weights, const fv_layout *layout, int i);

#endif
