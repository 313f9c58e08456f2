/* Back ends: who runs the operations and owns tensor memory.
 *
 * A back end is a table filled once. `cpu` computes in fp32; `check` wraps another and verifies every call,
 * `deferred` runs it late, `plan` not at all.
 * The functions declared at the end check, time and dispatch; they are what all other code calls. Local; one
 * thread at a time.
 *
 * Order of time. A call that names a stream, and every operation (on FV_STREAM_COMPUTE), is queued and may
 * return before it has run. Calls on one stream run in order. Calls on different streams run in any order,
 * unless one waits for an event that was recorded behind the other. The host may look at what a download
 * brings, write to what an upload reads, and free memory only after a synchronisation that covers the call. A
 * failure may be told by a later call. `cpu` runs everything at once. */
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

typedef enum fv_stream {
    FV_STREAM_COMPUTE, /* operations, and copies that they need or that need them */
    FV_STREAM_COPY,    /* copies that overlap with operations */
    FV_STREAM_BACK,    /* copies to the host that overlap with those on FV_STREAM_COPY, too */
    FV_N_STREAMS
} fv_stream;

/* A place in a stream. The back end's own. */
typedef struct fv_event fv_event;

/* Operations that are queued again and again, as one: fv_graph_run. The back end's own. */
typedef struct fv_graph fv_graph;
typedef fv_err (*fv_graph_body)(void *context);

/* Pinned buffers for copies of ordinary host memory: staging.h. */
typedef struct fv_staging fv_staging;
void fv_staging_destroy(fv_staging *staging); /* NULL is fine; waits for its copies */

/* The table that a back end fills. */
typedef struct fv_backend_table {
    const char *name;

    /* Operations; all REQUIRED but those that ops.def says are optional. */
#define FV_OP(op, fields) fv_err (*op)(fv_backend *, const fv_##op##_args *);
#include "fovea/ops/ops.def"
#undef FV_OP

    /* REQUIRED. Bytes that an operation uses beside its tensors, with these arguments (fv_<op>_args).
     * Contents are not looked at. The back end has them from its beginning, or takes what is missing when a
     * call is the first to need it, without waiting and without moving what it has, so that records of graphs
     * stay right. A call that is recorded has what it needs from the first run of its graph. */
    size_t (*workspace)(fv_backend *, fv_op, const void *args);

    /* With attention_plan, else NULL: bytes of the plan of these arguments, a function of its numbers and of
     * the shapes of segments and spans alone. */
    size_t (*attention_plan_bytes)(fv_backend *, const fv_attention_plan_args *args);

    /* Memory, REQUIRED. alloc: at least FV_ARENA_ALIGN aligned, contents undefined. */
    fv_err (*alloc)(fv_backend *, size_t bytes, void **out);
    void (*free)(fv_backend *, void *memory);
    /* Pinned host memory, aligned to FV_HOST_ALIGN, contents undefined: what copies read and write. */
    fv_err (*host_alloc)(fv_backend *, size_t bytes, void **out);
    void (*host_free)(fv_backend *, void *memory);
    /* OPTIONAL (NULL: nobody knows). Bytes that alloc could still give. */
    fv_err (*free_bytes)(fv_backend *, size_t *out);

    /* Order, REQUIRED; see the functions of the same names. */
    fv_err (*upload)(fv_backend *, fv_stream, fv_tensor to, const void *from);
    fv_err (*download)(fv_backend *, fv_stream, fv_tensor from, void *to);
    fv_err (*event_create)(fv_backend *, fv_event **out);
    void (*event_destroy)(fv_backend *, fv_event *);
    fv_err (*event_record)(fv_backend *, fv_event *, fv_stream);
    fv_err (*event_wait)(fv_backend *, fv_event *, fv_stream);
    fv_err (*event_synchronize)(fv_backend *, fv_event *);
    fv_err (*synchronize)(fv_backend *);

    /* OPTIONAL: absent where an operation has run when its call returns. Between two events that have
     * happened. */
    fv_err (*event_seconds)(fv_backend *, fv_event *from, fv_event *to, double *seconds);

    /* OPTIONAL, absent as above. 1: all that was queued on FV_STREAM_COMPUTE has run; 0: not; -1: that cannot
     * be told now. Any thread may ask, at any time (idle.h). */
    int (*is_idle)(fv_backend *);

    /* Graphs, OPTIONAL, all or none; see the functions of the same names. */
    fv_err (*graph_create)(fv_backend *, fv_graph **out);
    void (*graph_destroy)(fv_backend *, fv_graph *);
    fv_err (*graph_run)(fv_backend *, fv_graph *, fv_graph_body body, void *context);

    void (*destroy)(fv_backend *);
} fv_backend_table;

typedef struct fv_op_timer {
    int64_t n_calls;
    int64_t ns;
} fv_op_timer;

/* Tensor memory that was asked for. */
typedef struct fv_backend_memory {
    int64_t n_allocs;   /* so far */
    size_t workspace;   /* of a plan: the largest of an operation so far */
    size_t bytes, peak; /* now, and the most so far */
} fv_backend_memory;

struct fv_backend {
    const fv_backend_table *table;
    void *state; /* owned by the back end */
    int n_threads;
    fv_op_timer timer[FV_N_OPS];
    fv_graph *recording;        /* of wrappers: the graph whose body is running */
    struct fv_profile *profile; /* owned; NULL: timers hold what calls took on the host (profile.h) */
    fv_staging *staging;        /* owned; NULL before its first use */
    fv_backend_memory memory;
    struct fv_block *blocks; /* owned, (n_blocks): what the memory is */
    int n_blocks, max_blocks;
    int has_failed; /* which fv_backend_settle has told */
};

/* isa: "avx512", "avx2", "portable", or NULL for the best that this processor has. n_threads 0: as OpenMP
 * says (OMP_NUM_THREADS, else the cores this process may use). FV_ERR_UNSUPPORTED names an isa that is
 * missing here. */
fv_err fv_backend_cpu_create(const char *isa, int n_threads, fv_backend **out);

/* Wrap inner (taken: destroyed with the wrapper). Before an operation outputs are poisoned with NaN; after it
 * they must hold none, inputs must have kept their bits, and so must memory between strided rows; outside
 * operations, upload and download, touching tensor memory is a fault. Slow; for tests. Results
 * are the inner back end's. */
fv_err fv_backend_check_create(fv_backend *inner, fv_backend **out);

/* Wrap inner (taken). Nothing runs before a synchronisation asks for it, and then no more than that one
 * needs: a result that is looked at too early is NaN. (Collectives of several ranks run at once, with all
 * before them: others may wait for them.) FV_ERR_INTERNAL, at the call or at the synchronisation
 * that runs it, for memory that two streams use at the same time without an event between, whatever the
 * timing; for pinned memory that the host wrote to before its copy has run; for memory that is not pinned;
 * and, from the next call, for memory that was freed while a queued call uses it. For tests. Results are the
 * inner back end's. */
fv_err fv_backend_deferred_create(fv_backend *inner, fv_backend **out);

/* Wrap inner (taken). Arguments are checked and memory is counted (backend->memory), but there is none and
 * nothing runs: a pass on this back end is its dry pass. Downloads bring zeros; collectives do not wait. */
fv_err fv_backend_plan_create(fv_backend *inner, fv_backend **out);

/* A testing aid: wrap *backend as FOVEA_BACKEND_WRAP says, "check" or "deferred,check" (the inner one last);
 * unset or empty: not at all. Back ends do it to themselves when they are created. On failure it is destroyed
 * and NULL. */
fv_err fv_backend_wrap(fv_backend **backend);

void fv_backend_destroy(fv_backend *backend); /* NULL is fine */

const char *fv_op_name(fv_op op);
size_t fv_backend_workspace(fv_backend *backend, fv_op op, const void *args);
size_t fv_attention_plan_bytes(fv_backend *backend, const fv_attention_plan_args *args);

enum { FV_HOST_ALIGN = 4096 };

/* Memory through the back end. Nothing that is queued may use what is freed; fv_backend_release settles
 * first. NULL is fine. */
fv_err fv_backend_alloc(fv_backend *backend, size_t bytes, void **out);
void fv_backend_free(fv_backend *backend, void *memory);
void fv_backend_release(fv_backend *backend, void *memory);
fv_err fv_host_alloc(fv_backend *backend, size_t bytes, void **out);
fv_err fv_backend_free_bytes(fv_backend *backend, size_t *out); /* 0: nobody knows */
void fv_host_free(fv_backend *backend, void *memory);

/* Queue a copy between a tensor and pinned host memory, where its elements lie side by side. Ordinary memory
 * goes through staging.h. */
fv_err fv_upload(fv_backend *backend, fv_stream stream, fv_tensor to, const void *from);
fv_err fv_download(fv_backend *backend, fv_stream stream, fv_tensor from, void *to);

/* An event that was never recorded has happened. record: it happens when what is on the stream now has run.
 * wait: what comes on the stream from now on runs after the event as it is recorded now. synchronize: the
 * host waits. */
fv_err fv_event_create(fv_backend *backend, fv_event **out);
void fv_event_destroy(fv_backend *backend, fv_event *event); /* NULL is fine */
fv_err fv_event_record(fv_backend *backend, fv_event *event, fv_stream stream);
fv_err fv_event_wait(fv_backend *backend, fv_event *event, fv_stream stream);
fv_err fv_event_synchronize(fv_backend *backend, fv_event *event);

/* The host waits for everything that is queued. */
fv_err fv_backend_synchronize(fv_backend *backend);

/* The same, for ends, when nobody is left to be told: a failure goes into the log, once, and does not take
 * the place of what is recorded (error.h). */
void fv_backend_settle(fv_backend *backend);

/* A graph is operations that come again and again with the same arguments: addresses, shapes and numbers;
 * what tensors hold may change. run has the effect of a call of body, which calls operations and nothing else
 * of the back end, and whose calls always are the same. The back end may keep a record of them and launch
 * that, without calling body; so what body reads on the host, it reads too early. Memory that the calls name
 * lives as long as the graph. `check` and `deferred` call body each time: FV_ERR_INTERNAL names operation and
 * member of a call that is another than in the first run.
 *
 * has_graphs 0: nothing is recorded, *out is NULL, and run calls body. */
int fv_backend_has_graphs(const fv_backend *backend);
fv_err fv_graph_create(fv_backend *backend, fv_graph **out);
void fv_graph_destroy(fv_backend *backend, fv_graph *graph); /* NULL is fine. It is not queued any more */
fv_err fv_graph_run(fv_backend *backend, fv_graph *graph, fv_graph_body body, void *context);

/* Check, time, dispatch: fv_err fv_gemm(fv_backend *, const fv_gemm_args *); and so on. */
#define FV_OP(op, fields) fv_err fv_##op(fv_backend *backend, const fv_##op##_args *args);
#include "fovea/ops/ops.def"
#undef FV_OP

#endif
