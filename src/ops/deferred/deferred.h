/* The parts of the deferred back end: what may use which memory at the same time (deferred_order.c), calls
 * that wait (deferred_queue.c), and the table that joins them (deferred.c). Local. */
#ifndef FOVEA_SRC_OPS_DEFERRED_DEFERRED_H
#define FOVEA_SRC_OPS_DEFERRED_DEFERRED_H

#include "fovea/ops/backend.h"

/* Who acts: a stream, or the host. */
enum { FV_HOST = FV_N_STREAMS, FV_N_ACTORS };

/* Of each stream, up to which call (counted from 1) all are known to have run. */
typedef struct fv_clock {
    int64_t known[FV_N_STREAMS];
} fv_clock;

/* ---- deferred_order.c ---- */

/* A use of bytes by a call that the host does not know to have run. */
typedef struct fv_use {
    const char *call, *what; /* static storage: "gemm", "c" */
    uintptr_t first, end;
    int writes;
    fv_stream stream;
    int64_t at; /* the call's number on its stream */
} fv_use;

typedef struct fv_order {
    fv_clock clock[FV_N_ACTORS]; /* what each knows; of itself a stream knows everything */
    int64_t n[FV_N_STREAMS];     /* calls so far */
    fv_use *uses;                /* owned */
    size_t n_uses, capacity;
} fv_order;

void fv_order_fini(fv_order *order);

/* The next call on a stream; gives its number. It comes after all that the host knows. */
int64_t fv_order_call(fv_order *order, fv_stream stream);

/* The newest call of use->stream uses these bytes. FV_ERR_INTERNAL names both if one on another stream, which
 * it does not wait for, writes to them, or reads them while this one writes. */
fv_err fv_order_use(fv_order *order, const fv_use *use);

/* What an event knows that is recorded on the stream now; stream or host learns what an event knows. */
fv_clock fv_order_record(const fv_order *order, fv_stream stream);
void fv_order_learn(fv_order *order, int actor, const fv_clock *clock);

/* A use of [first, end) by a call that the host does not know to have run; NULL if there is none. */
const fv_use *fv_order_find(const fv_order *order, const void *first, size_t bytes);

/* ---- deferred_queue.c ---- */

typedef enum fv_call_kind { FV_CALL_OP, FV_CALL_UPLOAD, FV_CALL_DOWNLOAD, FV_CALL_WAIT } fv_call_kind;

typedef struct fv_call {
    fv_call_kind kind;
    fv_op op;
    void *args; /* owned: a copy of the operation's */
    fv_tensor tensor;
    void *host;     /* pinned: what is uploaded or downloaded */
    int is_behind;  /* a copy that waits uses that memory: what is in it now means nothing */
    uint64_t hash;  /* of what is uploaded */
    fv_clock clock; /* what is waited for */
} fv_call;

typedef struct fv_call_queue {
    fv_call *calls; /* owned, a ring of capacity */
    size_t first, n, capacity;
    int64_t n_run; /* calls that have been taken out */
} fv_call_queue;

typedef struct fv_queues {
    fv_backend *inner; /* borrowed */
    fv_call_queue stream[FV_N_STREAMS];
} fv_queues;

void fv_queues_fini(fv_queues *queues); /* what waits never runs */

/* Append a call, whose args are taken. Sources are hashed and destinations poisoned. */
fv_err fv_queues_push(fv_queues *queues, fv_stream stream, fv_call call);
/* Run what an event that knows clock needs, and no more. */
fv_err fv_queues_run(fv_queues *queues, const fv_clock *clock);

#endif
