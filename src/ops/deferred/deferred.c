#include "deferred.h"

#include "ops/op_fields.h"
#include "ops/record.h"
#include "ops/wrapper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fv_event {
    fv_clock clock;
};

/* Memory handed out, so that what is freed can be looked for among its users. */
typedef struct block {
    char *data;
    size_t bytes;
    int is_host;
} block;

typedef struct deferred_state {
    fv_wrapper wrapper;
    fv_order order;
    fv_queues queues;
    block *blocks; /* owned */
    int n_blocks, capacity;
    fv_err fault; /* of a call that cannot fail: the next one that can tells of it */
    char sentence[256];
} deferred_state;

static fv_err tell(deferred_state *s)
{
    fv_err fault = s->fault;
    s->fault = FV_OK;
    return fault == FV_OK ? FV_OK : FV_FAIL(fault, "%s", s->sentence);
}

/* Operations. */

/* The call that was queued last. */
static fv_err use_all(deferred_state *s, fv_op op, const void *args, int64_t at)
{
    fv_operand operands[FV_MAX_OPERANDS];
    int n = fv_op_operands(op, args, operands);
    for (const fv_operand *o = operands; o < operands + n; o++)
        FV_TRY(fv_order_use(&s->order, &(fv_use){.call = fv_op_name(op),
                                                 .what = o->name,
                                                 .first = (uintptr_t)o->t.data,
                                                 .end = (uintptr_t)o->t.data + fv_tensor_span_bytes(o->t),
                                                 .writes = o->writes,
                                                 .stream = FV_STREAM_COMPUTE,
                                                 .at = at}));
    return FV_OK;
}

/* The ranks that a call works with; NULL: this one alone. */
static const fv_comm *comm_of(fv_op op, const void *args)
{
    const fv_comm *comm = NULL;
    switch (op) {
    case FV_OP_all_reduce:
        comm = ((const fv_all_reduce_args *)args)->comm;
        break;
    case FV_OP_reduce_scatter:
        comm = ((const fv_reduce_scatter_args *)args)->comm;
        break;
    case FV_OP_all_gather:
        comm = ((const fv_all_gather_args *)args)->comm;
        break;
    case FV_OP_broadcast:
        comm = ((const fv_broadcast_args *)args)->comm;
        break;
    case FV_OP_all_best:
        comm = ((const fv_all_best_args *)args)->comm;
        break;
    default:
        break;
    }
    return comm && comm->size > 1 ? comm : NULL;
}

/* A collective of several ranks runs when it is called, and so does all before it: a device would get on with
 * it while the host waits for the others in a call of its own, but nobody gets on with what is queued here.
 * The host learns nothing by that. */
static fv_err run_collective(deferred_state *s)
{
    fv_clock clock = fv_order_record(&s->order, FV_STREAM_COMPUTE);
    return fv_queues_run(&s->queues, &clock);
}

/* A call that races is queued all the same, as it would be on a device. */
static fv_err queue_op(fv_backend *backend, fv_op op, const void *args, size_t bytes)
{
    deferred_state *s = backend->state;
    FV_TRY(tell(s));
    fv_call call = {.kind = FV_CALL_OP, .op = op, .args = malloc(bytes)};
    FV_CHECK(call.args, FV_ERR_MEMORY, "cannot allocate the arguments of a call");
    memcpy(call.args, args, bytes);
    int64_t at = fv_order_call(&s->order, FV_STREAM_COMPUTE);
    FV_TRY(fv_queues_push(&s->queues, FV_STREAM_COMPUTE, call));
    FV_TRY(use_all(s, op, args, at));
    return comm_of(op, args) ? run_collective(s) : FV_OK;
}

#define FV_OP(op, fields)                                                        \
    static fv_err deferred_##op(fv_backend *backend, const fv_##op##_args *args) \
    {                                                                            \
        return queue_op(backend, FV_OP_##op, args, sizeof *args);                \
    }
#include "fovea/ops/ops.def"
#undef FV_OP

/* Memory. */

static fv_err note_block(deferred_state *s, void *data, size_t bytes, int is_host)
{
    if (s->n_blocks == s->capacity) {
        int capacity = 2 * s->capacity + 16;
        block *blocks = realloc(s->blocks, (size_t)capacity * sizeof *blocks);
        FV_CHECK(blocks, FV_ERR_MEMORY, "cannot allocate a list of %d blocks", capacity);
        s->blocks = blocks;
        s->capacity = capacity;
    }
    s->blocks[s->n_blocks++] = (block){data, bytes, is_host};
    return FV_OK;
}

static fv_err deferred_alloc(fv_backend *backend, size_t bytes, void **out)
{
    deferred_state *s = backend->state;
    FV_TRY(fv_backend_alloc(s->wrapper.inner, bytes, out));
    fv_err err = note_block(s, *out, bytes, 0);
    if (err != FV_OK)
        fv_backend_free(s->wrapper.inner, *out);
    return err;
}

static fv_err deferred_host_alloc(fv_backend *backend, size_t bytes, void **out)
{
    deferred_state *s = backend->state;
    FV_TRY(fv_host_alloc(s->wrapper.inner, bytes, out));
    fv_err err = note_block(s, *out, bytes, 1);
    if (err != FV_OK)
        fv_host_free(s->wrapper.inner, *out);
    return err;
}

static fv_clock everything(const deferred_state *s)
{
    fv_clock clock;
    for (int i = 0; i < FV_N_STREAMS; i++)
        clock.known[i] = s->order.n[i];
    return clock;
}

static void blame(deferred_state *s, const block *freed, const fv_use *use)
{
    if (s->fault == FV_OK)
        snprintf(
            s->sentence, sizeof s->sentence,
            "free: %zu bytes of %s memory were freed while %s may still use them (%s): synchronize first",
            freed->bytes, freed->is_host ? "pinned" : "tensor", use->call, use->what);
    s->fault = FV_ERR_INTERNAL;
}

static void forget_block(deferred_state *s, const void *data)
{
    block *b = s->blocks;
    while (b < s->blocks + s->n_blocks && b->data != data)
        b++;
    if (b == s->blocks + s->n_blocks)
        return;
    const fv_use *use = fv_order_find(&s->order, data, b->bytes);
    if (use) {
        fv_clock clock = everything(s);
        blame(s, b, use);
        (void)fv_queues_run(&s->queues, &clock); /* nothing may run on freed memory */
    }
    *b = s->blocks[--s->n_blocks];
}

static void deferred_free(fv_backend *backend, void *memory)
{
    deferred_state *s = backend->state;
    forget_block(s, memory);
    fv_backend_free(s->wrapper.inner, memory);
}

static void deferred_host_free(fv_backend *backend, void *memory)
{
    deferred_state *s = backend->state;
    forget_block(s, memory);
    fv_host_free(s->wrapper.inner, memory);
}

/* Copies. */

static fv_err check_pinned(const deferred_state *s, const char *call, const void *host, size_t bytes)
{
    for (const block *b = s->blocks; b < s->blocks + s->n_blocks; b++)
        if (b->is_host && (const char *)host >= b->data && (const char *)host + bytes <= b->data + b->bytes)
            return FV_OK;
    return FV_FAIL(FV_ERR_INTERNAL, "%s: its %zu bytes of host memory are not pinned, or no longer", call,
                   bytes);
}

static fv_err copy(deferred_state *s, fv_stream stream, fv_call call)
{
    int up = call.kind == FV_CALL_UPLOAD;
    const char *name = up ? "upload" : "download";
    size_t bytes = (size_t)fv_tensor_count(call.tensor) * fv_dtype_bytes(call.tensor.dtype);
    FV_TRY(tell(s));
    FV_TRY(check_pinned(s, name, call.host, bytes));
    fv_use use = {.call = name, .what = "tensor", .writes = up, .stream = stream};
    use.at = fv_order_call(&s->order, stream);
    FV_TRY(fv_queues_push(&s->queues, stream, call));
    use.first = (uintptr_t)call.tensor.data;
    use.end = use.first + fv_tensor_span_bytes(call.tensor);
    FV_TRY(fv_order_use(&s->order, &use));
    use.what = "host memory";
    use.first = (uintptr_t)call.host;
    use.end = use.first + bytes;
    use.writes = !up;
    return fv_order_use(&s->order, &use);
}

static fv_err deferred_upload(fv_backend *backend, fv_stream stream, fv_tensor to, const void *from)
{
    return copy(backend->state, stream,
                (fv_call){.kind = FV_CALL_UPLOAD, .tensor = to, .host = (void *)(uintptr_t)from});
}

static fv_err deferred_download(fv_backend *backend, fv_stream stream, fv_tensor from, void *to)
{
    return copy(backend->state, stream, (fv_call){.kind = FV_CALL_DOWNLOAD, .tensor = from, .host = to});
}

/* Order. */

static fv_err deferred_event_create(fv_backend *backend, fv_event **out)
{
    (void)backend;
    *out = calloc(1, sizeof **out);
    FV_CHECK(*out, FV_ERR_MEMORY, "cannot allocate an event");
    return FV_OK;
}

static void deferred_event_destroy(fv_backend *backend, fv_event *event)
{
    (void)backend;
    free(event);
}

static fv_err deferred_event_record(fv_backend *backend, fv_event *event, fv_stream stream)
{
    deferred_state *s = backend->state;
    event->clock = fv_order_record(&s->order, stream);
    return tell(s);
}

static fv_err deferred_event_wait(fv_backend *backend, fv_event *event, fv_stream stream)
{
    deferred_state *s = backend->state;
    FV_TRY(tell(s));
    fv_order_call(&s->order, stream);
    fv_order_learn(&s->order, (int)stream, &event->clock);
    return fv_queues_push(&s->queues, stream, (fv_call){.kind = FV_CALL_WAIT, .clock = event->clock});
}

static fv_err reach(deferred_state *s, const fv_clock *clock)
{
    FV_TRY(fv_queues_run(&s->queues, clock));
    fv_order_learn(&s->order, FV_HOST, clock);
    return tell(s);
}

static fv_err deferred_event_synchronize(fv_backend *backend, fv_event *event)
{
    return reach(backend->state, &event->clock);
}

static fv_err deferred_synchronize(fv_backend *backend)
{
    deferred_state *s = backend->state;
    fv_clock clock = everything(s);
    return reach(s, &clock);
}

/* Life. */

static void deferred_destroy(fv_backend *backend)
{
    deferred_state *s = backend->state;
    fv_queues_fini(&s->queues);
    fv_order_fini(&s->order);
    free(s->blocks);
    fv_wrapper_destroy(backend);
}

fv_err fv_backend_deferred_create(fv_backend *inner, fv_backend **out)
{
    const fv_backend_table table = {
        .name = "deferred",
#define FV_OP(op, fields) .op = deferred_##op,
#include "fovea/ops/ops.def"
#undef FV_OP
        .alloc = deferred_alloc,
        .free = deferred_free,
        .host_alloc = deferred_host_alloc,
        .host_free = deferred_host_free,
        .upload = deferred_upload,
        .download = deferred_download,
        .event_create = deferred_event_create,
        .event_destroy = deferred_event_destroy,
        .event_record = deferred_event_record,
        .event_wait = deferred_event_wait,
        .event_synchronize = deferred_event_synchronize,
        .synchronize = deferred_synchronize,
        .graph_create = fv_record_create,
        .graph_destroy = fv_record_destroy,
        .graph_run = fv_record_run,
        .destroy = deferred_destroy,
    };
    FV_TRY(fv_wrapper_create(inner, &table, sizeof(deferred_state), out));
    ((deferred_state *)(*out)->state)->queues.inner = inner;
    return FV_OK;
}
