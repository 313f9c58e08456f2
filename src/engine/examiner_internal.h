/* The parts of an examiner: questions and who may run (examiner.c), and one pass over them (examiner_pass.c).
 */
#ifndef FOVEA_SRC_ENGINE_EXAMINER_INTERNAL_H
#define FOVEA_SRC_ENGINE_EXAMINER_INTERNAL_H

#include "fovea/model/nn/cache.h"
#include "fovea/engine/examiner.h"
#include "fovea/model/nn/head.h"
#include "fovea/ops/workspace.h"

typedef struct fv_question {
    fv_tokens ids;   /* with what has been drawn */
    int64_t n_asked; /* of ids, without that */
    fv_page_list rows;
    int n_promised; /* pages that it may take */
    fv_examined done;
    void *context;
    struct fv_question *next;
} fv_question;

/* The pass being put together; host arrays of fixed capacity. */
typedef struct fv_exam_pass {
    int64_t n, n_segments, n_spans, n_ends;
    int32_t *ids, *slots;      /* (pass_tokens) */
    int32_t *positions;        /* (pass_tokens) */
    int32_t *by_axis;          /* (3, n) */
    int32_t *segments, *spans; /* (max_running, 6), (max_running * pages of the beginning + all pages, 2) */
    fv_question **ends;        /* (max_running): questions whose last token is in the pass, */
    int32_t *rows, *targets;   /* and the rows to look at, (n_rows), at most FV_N_CHOICES of each end */
    int64_t n_rows;
    float *logprobs; /* (n_rows) */
} fv_exam_pass;

struct fv_examiner {
    fv_model *model;
    fv_backend *backend;
    fv_examiner_settings settings; /* its beginning is owned */
    fv_cache cache;
    fv_page_list beginning;
    int n_promised; /* pages, the beginning's too */
    fv_question *first, **end;
    int n_running; /* the first ones have their pages promised */
    int64_t n_pending;
    fv_exam_pass pass;
    fv_token_run run;
    fv_text_pass *text;
    fv_workspace work;
    fv_tensor rows, hidden, uniform; /* I32 (n_rows), (n_rows, C), (n_rows) */
    fv_logits logits;
    fv_head_pass head;
};

fv_err fv_exam_pass_init(fv_examiner *x);
void fv_exam_pass_fini(fv_exam_pass *pass);

/* Compute the beginning, if it is not there. */
fv_err fv_exam_begin(fv_examiner *x);

/* Put the next pass together and compute it: pass.logprobs, or what is drawn in pass.targets. */
fv_err fv_exam_compute(fv_examiner *x);

#endif
