/* The head: hidden states to log-probs, and back. Collective over the tensor group.
 *
 * Logits are made some ids at a time, reduced to four numbers a row and FV_VOCAB_CHUNK of them, and thrown
 * away; the backward pass makes them again, unless all are kept. Each rank does the ids it holds, and the
 * numbers of all ranks are merged in order. */
#ifndef FOVEA_MODEL_NN_HEAD_H
#define FOVEA_MODEL_NN_HEAD_H

#include "fovea/model/model.h"

/* Memory of one computation for up to n rows; grads: a backward pass will follow. Starts as {0}. */
typedef struct fv_head_pass {
    fv_tensor targets, excluded;     /* I32 (n), (E) */
    fv_tensor inv_temperature;       /* (n) */
    fv_tensor logits, dlogits;       /* F32 (n, ids at once), and their gradient as products read it */
    fv_tensor own_parts, parts;      /* (chunks, n, 4) of this rank, of all */
    fv_tensor logprob, lse, entropy; /* (n) */
} fv_head_pass;

/* Local, all four. fv_head_take_kept: with all logits of this rank, which the backward pass reads. Without a
 * backward pass: the inputs targets, excluded and inv_temperature by themselves,
 * so that they may lie beside others that are uploaded with them; then the rest, with all logits of this rank
 * at once where they are few, and else as many as keep a device busy. The bits are the same. */
fv_err fv_head_take(const fv_model *model, int64_t n, int64_t n_excluded, fv_arena *arena, fv_head_pass *out);
fv_err fv_head_take_kept(const fv_model *model, int64_t n, int64_t n_excluded, fv_arena *arena,
                         fv_head_pass *out);
fv_err fv_head_take_inputs(int64_t n, int64_t n_excluded, fv_arena *arena, fv_head_pass *out);
fv_err fv_head_take_rest(const fv_model *model, fv_arena *arena, fv_head_pass *out);

/* pass->logprob, lse, entropy of the targets (host, n ids) given hidden (n, C). excluded (host, n_excluded as
 * taken): ids that cannot be drawn; NULL if none. */
fv_err fv_head_forward(fv_model *model, fv_head_pass *pass, fv_tensor hidden, const int32_t *targets,
                       const int32_t *excluded, float inv_temperature);

/* The same of inputs that are there already: operations alone. */
fv_err fv_head_look(fv_model *model, fv_head_pass *pass, fv_tensor hidden);

/* A draw from each row: pass->targets, with pass->logprob and the rest. pass->inv_temperature, excluded and
 * draws (fv_sample_args) are there already; the row of a target of -1 holds no distribution, and its log-prob
 * says nothing. The same ids and bits as fv_sample of whole logits, and as fv_head_forward of those ids. */
typedef struct fv_head_draws {
    fv_tensor draws;    /* I32 (n, FV_DRAW_FIELDS) */
    fv_tensor value, z; /* (n) */
} fv_head_draws;
fv_err fv_head_draws_take(int64_t n, fv_arena *arena, fv_head_draws *out); /* value and z. Local */
fv_err fv_head_draw(fv_model *model, fv_head_pass *pass, fv_tensor hidden, const fv_head_draws *draws);

/* Log-probs of pass->targets from whole logits (n, V) as fv_model_logits gives them: the same bits as
 * fv_head_forward. pass->inv_temperature and excluded are there already. Local. */
fv_err fv_head_from_logits(fv_model *model, fv_head_pass *pass, fv_tensor logits);

/* Once after fv_head_forward, given the gradients of logprob and, unless absent, of entropy (n): dhidden F32
 * (n, C) is written, that of the head added to grads. */
typedef struct fv_head_grad_args {
    fv_tensor hidden, dlogprob, dentropy, dhidden;
} fv_head_grad_args;
fv_err fv_head_backward(fv_model *model, const fv_head_pass *pass, const fv_head_grad_args *args,
                        fv_weights *grads);

#endif
