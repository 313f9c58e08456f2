/* AdamW over a model's weights, with the gradient clipped by its norm over all ranks. Collective over the
 * tensor group and the data group.
 *
 * Ranks of a data group use the same weights and share out the training state (ZeRO stage 1, Rajbhandari et
 * al., 2020): each owns the fp32 master of its share of the flat buffer and its moments, moves them, and the
 * weights of all ranks are rounded from the masters. The master is the truth: it is what is saved.
 *
 * Weights that are fp32 need no second copy: the master of a share is that share of the weights. Of bf16
 * weights the master is a tensor of its own, or the 16 bits that the weights lack (fv_pair_split_args), which
 * takes half the memory and gives the same bits.
 *
 * State may wait in pinned host memory. A step then takes it through two slots: while one is updated the next
 * piece comes into the other, and the one before goes back. */
#ifndef FOVEA_MODEL_OPTIMIZER_H
#define FOVEA_MODEL_OPTIMIZER_H

#include "fovea/model/model.h"
#include "fovea/ops/workspace.h"

typedef enum fv_master_form { FV_MASTER_WHOLE, FV_MASTER_SPLIT } fv_master_form;
typedef enum fv_moments_form { FV_MOMENTS_FP32, FV_MOMENTS_BF16 } fv_moments_form;

/* What waits in host memory, and goes through the back end's a piece at a time: nothing, the moments, or
 * masters of bf16 weights too. */
typedef enum fv_on_host { FV_ON_HOST_NOTHING, FV_ON_HOST_MOMENTS, FV_ON_HOST_ALL } fv_on_host;

/* What a share is of: names its parts in host memory. */
typedef enum fv_state_part { FV_STATE_MASTER, FV_STATE_M, FV_STATE_V, FV_STATE_PARTS } fv_state_part;

typedef struct fv_optimizer_settings {
    float beta1, beta2, eps, weight_decay;
    float clip;              /* largest norm of the gradient; 0 = no limit */
    int decay_all;           /* norms, biases and the embedding decay too, not only matrices of linear maps */
    fv_master_form master;   /* of bf16 weights; SPLIT: as their missing bits */
    fv_moments_form moments; /* BF16: rounded at random, by draws of */
    uint64_t seed;
    fv_on_host on_host; /* changes no bit of any result */
} fv_optimizer_settings;

typedef struct fv_optimizer {
    fv_model *model; /* borrowed */
    fv_comm *data;   /* borrowed: ranks with the same part of the weights */
    fv_optimizer_settings settings;
    int64_t first, n; /* this rank's share of the flat buffers: fv_layout.share */
    int64_t held;     /* of those n, without the padding at the end */
    /* Of the share, in memory of the back end; what waits on the host is absent here. */
    fv_tensor master; /* F32 (n): its weights; in the model's memory if those are fp32; or absent: */
    fv_tensor low;    /* U16 (n): what the share's weights lack */
    fv_tensor m, v;   /* (n): moments */
    void *host[FV_STATE_PARTS];   /* (n), pinned, owned: what waits there */
    struct fv_state_slots *slots; /* owned; NULL: nothing does */
    /* Called before host changes: whoever reads it may still be at it. */
    fv_err (*before_change)(void *context);
    void *before_context;
    int step; /* steps taken */
    /* Of a step. */
    fv_tensor segments; /* I64 (parameters, 2): what of the share counts in the norm */
    fv_tensor sum;      /* F64 (1): the square of the norm */
    fv_tensor scale;    /* F32 (1): what the gradient is multiplied by; 0: it is not finite, nothing moves */
    fv_tensor piece;    /* F32: of the master on its way from and to the host; if that is split */
    fv_workspace memory;
} fv_optimizer;

/* Moments start at zero, masters as the model's weights. FV_ERR_ARGUMENT if these are fp32 and the masters
 * are to be split. */
fv_err fv_optimizer_init(fv_optimizer *optimizer, fv_model *model, fv_comm *data,
                         const fv_optimizer_settings *settings);
void fv_optimizer_fini(fv_optimizer *optimizer); /* Local */

/* The masters as in folder, which the model was opened from: where its numbers are finer than the weights.
 * Local. */
fv_err fv_optimizer_load(fv_optimizer *optimizer, const char *folder);

/* Memory of the back end that an optimizer of one of n_ranks would take, and pinned memory beside it. Local.
 */
fv_err fv_optimizer_bytes(fv_model *model, int n_ranks, const fv_optimizer_settings *settings, size_t *device,
                          size_t *host);

/* The dtype of a part as it is stored, or of masters as they are copied. Local. */
fv_dtype fv_optimizer_dtype(const fv_optimizer *optimizer, fv_state_part part);

/* Queue a download of a part of the share, without padding, to pinned memory (held). Not of what waits on the
 * host: that is in host[part], once the back end is synchronized. Local. */
fv_err fv_optimizer_copy(const fv_optimizer *optimizer, fv_state_part part, void *out);

/* Elements [first, first + n) of a moment (FV_STATE_M, FV_STATE_V) to or from ordinary host memory, as they
 * are stored. Local. */
fv_err fv_optimizer_read_moment(const fv_optimizer *optimizer, fv_state_part part, int64_t first, int64_t n,
                                void *out);
fv_err fv_optimizer_write_moment(fv_optimizer *optimizer, fv_state_part part, int64_t first, int64_t n,
                                 const void *in);

/* Elements [first, first + n) of the share's master to or from ordinary host memory; the share's weights are
 * rounded from what is written. Local. */
fv_err fv_optimizer_read_master(const fv_optimizer *optimizer, int64_t first, int64_t n, float *out);
fv_err fv_optimizer_write_master(fv_optimizer *optimizer, int64_t first, int64_t n, const float *in);

/* Give the weights of every share to all ranks, after fv_optimizer_write_master. */
fv_err fv_optimizer_publish(fv_optimizer *optimizer);

/* Write the masters of all ranks as a Hugging Face folder like source, which the model was opened from. path:
 * as for fv_folder_write. */
fv_err fv_optimizer_save(fv_optimizer *optimizer, const char *source, const char *path, fv_dtype dtype);

/* One step: the gradients of all ranks are added up (afterwards grads holds nothing of use), scaled by clip /
 * norm if norm > clip, the masters moved by lr and the weights rounded from them. *norm: before clipping.
 * FV_ERR_NUMERIC, on every rank, if it is not finite; nothing has moved then. */
fv_err fv_optimizer_step(fv_optimizer *optimizer, fv_weights *grads, float lr, double *norm);

#endif
