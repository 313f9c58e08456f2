/* Back ends: who runs the operations and owns tensor memory.
 *
 * A back end is a table filled once. `cpu` computes in fp32; `check` wraps another and verifies every call.
 * The functions declared at the end check, time and dispatch; they are what all other code calls. Local; one
 * thread at a time. */
#ifndef FOVEA_OPS_BACKEND_H
#define FOVEA_OPS_BACKEND_H

#include "fovea/ops/ops.h"

typedef struct fv_backend fv_backend;

typedef enum fv_op {
#define FV_OP(name, fields) FV_OP_##name,
#include "fovea/ops/ops.def"
#undef FV_OP
    FV_N_OPS
} fv_op;

/* The table that a back end fills. */
typedef struct fv_backend_table {
    const char *name;

    /* Operations; all REQUIRED. */
#define FV_OP(op, fields) fv_err (*op)(fv_backend *, const fv_##op##_args *);
#include "fovea/ops/ops.def"
#undef FV_OP

    /* Memory, REQUIRED. alloc: at least FV_ARENA_ALIGN aligned, contents undefined. */
    fv_err (*alloc)(fv_backend *, size_t bytes, void **out);
    void (*free)(fv_backend *, void *memory);
    /* Copy between host memory (contiguous) and a tensor. */
    fv_err (*upload)(fv_backend *, fv_tensor to, const void *from);
    fv_err (*download)(fv_backend *, fv_tensor from, void *to);
    /* Between these two calls host code (folders, checkpoints) may read and write all tensor memory. */
    void (*open)(fv_backend *);
    void (*close)(fv_backend *);
    void (*destroy)(fv_backend *);
} fv_backend_table;

typedef struct fv_op_timer {
    int64_t n_calls;
    int64_t ns;
} fv_op_timer;

struct fv_backend {
    const fv_backend_table *table;
    void *state; /* owned by the back end */
    int n_threads;
    fv_op_timer timer[FV_N_OPS];
};

/* isa: "avx512", "avx2", "portable", or NULL for the best that this processor has. n_threads 0: as OpenMP
 * says (OMP_NUM_THREADS, else the cores this process may use). FV_ERR_UNSUPPORTED names an isa that is
 * missing here. */
fv_err fv_backend_cpu_create(const char *isa, int n_threads, fv_backend **out);

/* Wrap inner (taken: destroyed with the wrapper). Before an operation outputs are poisoned with NaN; after it
 * they must hold none, inputs must have kept their bits, and so must memory between strided rows; outside
 * operations, upload, download and open..close, touching tensor memory is a fault. Slow; for tests. Results
 * are the inner back end's. */
fv_err fv_backend_check_create(fv_backend *inner, fv_backend **out);

void fv_backend_destroy(fv_backend *backend); /* NULL is fine */

const char *fv_op_name(fv_op op);

/* Memory through the back end. */
fv_err fv_backend_alloc(fv_backend *backend, size_t bytes, void **out);
void fv_backend_free(fv_backend *backend, void *memory); /* NULL is fine */
fv_err fv_upload(fv_backend *backend, fv_tensor to, const void *from);
fv_err fv_download(fv_backend *backend, fv_tensor from, void *to);

/* Check, time, dispatch: fv_err fv_gemm(fv_backend *, const fv_gemm_args *); and so on. */
#define FV_OP(op, fields) fv_err fv_##op(fv_backend *backend, const fv_##op##_args *args);
#include "fovea/ops/ops.def"
#undef FV_OP

#endif
