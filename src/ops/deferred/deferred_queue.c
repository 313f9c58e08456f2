/* Calls that wait. A stream runs in its order, as late as it may: when an event is asked for that lies behind
 * a call, or behind one that waits for it. */
#include "deferred.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

/* Repeated, a NaN of every float type, and an unlikely I32; another one than the check back end's. */
#define POISON 0x7ffeu

static void call_fini(fv_call *call)
{
    free(call->args);
    *call = (fv_call){0};
}

static fv_call *call_at(fv_call_queue *queue, size_t i)
{
    return &queue->calls[(queue->first + i) % queue->capacity];
}

void fv_queues_fini(fv_queues *queues)
{
    for (int s = 0; s < FV_N_STREAMS; s++) {
        fv_call_queue *queue = &queues->stream[s];
        for (size_t i = 0; i < queue->n; i++)
            call_fini(call_at(queue, i));
        free(queue->calls);
    }
    *queues = (fv_queues){0};
}

static size_t bytes_of(const fv_call *call)
{
    return (size_t)fv_tensor_count(call->tensor) * fv_dtype_bytes(call->tensor.dtype);
}

static void poison(const fv_call *call)
{
    uint8_t *to = call->host;
    for (size_t i = 0; i < bytes_of(call); i++)
        to[i] = (uint8_t)(i % 2 ? POISON >> 8 : POISON & 0xff);
}

/* 1 if nobody but the download has written there. */
static int is_poisoned(const fv_call *call)
{
    const uint8_t *at = call->host;
    for (size_t i = 0; i < bytes_of(call); i++)
        if (at[i] != (uint8_t)(i % 2 ? POISON >> 8 : POISON & 0xff))
            return 0;
    return 1;
}

static fv_err grow(fv_call_queue *queue)
{
    size_t capacity = 2 * queue->capacity + 64;
    fv_call *calls = malloc(capacity * sizeof *calls);
    FV_CHECK(calls, FV_ERR_MEMORY, "cannot allocate a queue of %zu calls", capacity);
    for (size_t i = 0; i < queue->n; i++)
        calls[i] = *call_at(queue, i);
    free(queue->calls);
    queue->calls = calls;
    queue->first = 0;
    queue->capacity = capacity;
    return FV_OK;
}

static int overlaps(const fv_call *a, const fv_call *b)
{
    int are_copies = a->kind == FV_CALL_UPLOAD || a->kind == FV_CALL_DOWNLOAD;
    const char *first = a->host, *second = b->host;
    return are_copies && first < second + bytes_of(b) && second < first + bytes_of(a);
}

/* Whether a copy that waits uses the host memory of this one. Whether they are in order others see to. */
static int is_behind(fv_queues *queues, const fv_call *call)
{
    for (int s = 0; s < FV_N_STREAMS; s++)
        for (size_t i = 0; i < queues->stream[s].n; i++)
            if (overlaps(call_at(&queues->stream[s], i), call))
                return 1;
    return 0;
}

fv_err fv_queues_push(fv_queues *queues, fv_stream stream, fv_call call)
{
    fv_call_queue *queue = &queues->stream[stream];
    fv_err err = queue->n == queue->capacity ? grow(queue) : FV_OK;
    if (err != FV_OK) {
        call_fini(&call);
        return err;
    }
    int is_copy = call.kind == FV_CALL_UPLOAD || call.kind == FV_CALL_DOWNLOAD;
    call.is_behind = is_copy && is_behind(queues, &call);
    if (call.kind == FV_CALL_UPLOAD && !call.is_behind)
        call.hash = XXH3_64bits(call.host, bytes_of(&call));
    if (call.kind == FV_CALL_DOWNLOAD && !call.is_behind)
        poison(&call);
    *call_at(queue, queue->n++) = call;
    return FV_OK;
}

static fv_err run_op(fv_backend *inner, const fv_call *call)
{
    switch (call->op) {
#define FV_OP(name, fields) \
    case FV_OP_##name:      \
        return inner->table->name(inner, call->args);
#include "fovea/ops/ops.def"
#undef FV_OP
    default:
        return FV_FAIL(FV_ERR_INTERNAL, "there is no operation %d", (int)call->op);
    }
}

static fv_err run_call(fv_queues *queues, fv_stream stream, const fv_call *call)
{
    fv_backend *inner = queues->inner;
    switch (call->kind) {
    case FV_CALL_UPLOAD:
        FV_CHECK(
            call->is_behind || XXH3_64bits(call->host, bytes_of(call)) == call->hash, FV_ERR_INTERNAL,
            "upload: the host wrote to %zu bytes of pinned memory before they were uploaded: wait for an "
            "event behind the upload",
            bytes_of(call));
        return fv_upload(inner, stream, call->tensor, call->host);
    case FV_CALL_DOWNLOAD:
        FV_CHECK(
            call->is_behind || is_poisoned(call), FV_ERR_INTERNAL,
            "download: the host wrote to %zu bytes of pinned memory before the download to them: wait for "
            "an event behind it",
            bytes_of(call));
        return fv_download(inner, stream, call->tensor, call->host);
    case FV_CALL_WAIT:
        return fv_queues_run(queues, &call->clock);
    default:
        return run_op(inner, call);
    }
}

static fv_err run_stream(fv_queues *queues, fv_stream stream, int64_t until)
{
    fv_call_queue *queue = &queues->stream[stream];
    while (queue->n_run < until && queue->n > 0) {
        fv_call call = *call_at(queue, 0);
        queue->first = (queue->first + 1) % queue->capacity;
        queue->n--;
        queue->n_run++;
        fv_err err = run_call(queues, stream, &call);
        call_fini(&call);
        FV_TRY(err);
    }
    return FV_OK;
}

/* A wait may lead to the stream that it is on, but never to a call behind it: events are recorded first. */
fv_err fv_queues_run(fv_queues *queues, const fv_clock *clock)
{
    for (int s = 0; s < FV_N_STREAMS; s++)
        FV_TRY(run_stream(queues, (fv_stream)s, clock->known[s]));
    return fv_backend_synchronize(queues->inner);
}
