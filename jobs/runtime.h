/* What programs that run a model share: the process group, the back end, the model, and their options. */
#ifndef FOVEA_JOBS_RUNTIME_H
#define FOVEA_JOBS_RUNTIME_H

#include "fovea/model/tokenizer/chat.h"
#include "fovea/comm/mesh.h"
#include "fovea/model/model.h"
#include "fovea/ops/backend_choice.h"
#include "fovea/model/image/processor.h"

#include <argp.h>

typedef struct fv_runtime_options {
    const char *model;             /* --model DIR, required */
    const fv_model_shape *shape;   /* set by a program: noise of this shape in place of a model; borrowed */
    fv_backend_kind backend;       /* --backend auto|cpu|cuda */
    const char *kernels;           /* --kernels avx512|avx2|portable; NULL: the best */
    int threads;                   /* --threads N; 0: as OpenMP says */
    int tensor;                    /* ranks of a tensor group, set by the program; 0: all ranks are one */
    int chunks;                    /* --chunks N: of fv_model_args */
    fv_precision_choice precision; /* --precision fp32|bf16 */
    int is_plan;                   /* set by a program: memory is planned, nothing is computed */
    int needs_no_model;            /* set by a program that was told to do without */
    const char *needs_fp32;        /* set by a program: what does; NULL: nothing. auto is cpu then */
} fv_runtime_options;

/* A child parser for these options; its input is a fv_runtime_options. */
extern const struct argp fv_runtime_argp;

typedef struct fv_runtime {
    fv_comm *all;   /* every process, if some of them judge; else NULL: see fv_runtime_all */
    int is_judge;   /* this one does */
    fv_comm *world; /* the processes that do the same as this one */
    fv_mesh mesh;   /* the model is opened on its tensor group */
    fv_backend *backend;
    fv_backend_kind backend_kind; /* cpu or cuda: what was taken */
    int ends_by_interrupt; /* set by the program: FV_STOPPED is fv_job_interrupted(), not FV_EXIT_AGAIN */
    int obeys_launcher;    /* which is held, and kills the ranks now: they wait for that at their end */
    fv_model *model;
} fv_runtime;

/* The last n_judges processes are parted from the others: from now on world is those of one kind. Collective
 * over all processes, whose world is there. */
fv_err fv_runtime_part_judges(fv_runtime *runtime, int n_judges);

/* Every process, whatever it does. Borrowed; Local. */
fv_comm *fv_runtime_all(const fv_runtime *runtime);

/* What computes, of the options, on the device that is this rank's. What the back end cannot do is
 * FV_ERR_ARGUMENT. Collective over the processes of world. */
fv_err fv_runtime_open_backend(fv_runtime *runtime, const fv_runtime_options *options);

/* Starts as {0}, or with its world. Collective over the processes of world. */
fv_err fv_runtime_open(fv_runtime *runtime, const fv_runtime_options *options);

/* Bytes of tensors that a device has room for beside those that are there; 0: nobody knows. Some of its
 * memory is left to workspaces of operations, and to what no plan knows: graphs, libraries, what is not used
 * of a page. Local. */
fv_err fv_runtime_room(const fv_runtime *runtime, double *out);

/* The image processor of the model's folder, whose sizes and tokens are checked against the model. A model
 * without a vision tower is FV_ERR_ARGUMENT. Local. */
fv_err fv_runtime_load_processor(const fv_runtime *runtime, const char *model, const fv_chat *chat,
                                 fv_processor *out);

/* Let a launcher that was held go on, if it is to be. It kills the ranks then, so those of one kind meet
 * first (what those that train come to, judges do not know, and they end later): while they are watched, for
 * one of them may be lost. After a failure it is held no more: whoever aborts waits for it. Collective over
 * the processes of world, if they are well. */
void fv_runtime_free_launcher(fv_runtime *runtime, fv_err err);

/* End a program: report err (FV_STOPPED, which all ranks have: that it was stopped), close the runtime,
 * return the exit status. A failure that all ranks know is printed by the rank where it happened; one that
 * only this rank knows, or of communication, ends all processes, which may wait in a collective. */
int fv_runtime_finish(fv_runtime *runtime, fv_err err);

#endif
