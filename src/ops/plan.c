/* The plan back end: everything is asked for and nothing is done, so that what a run would take is counted by
 * the code that will run. Addresses are numbers that no memory has: whoever looks there ends at once. */
#include "ops/wrapper.h"

#include <string.h>

typedef struct plan_state {
    fv_wrapper wrapper;
    uintptr_t next; /* address */
} plan_state;

/* Above what a process can have (the lower half of 57 bits at most). */
static const uintptr_t first_address = (uintptr_t)1 << 60;

static fv_err plan_alloc(fv_backend *backend, size_t bytes, void **out)
{
    plan_state *s = backend->state;
    size_t rounded = (bytes / FV_ARENA_ALIGN + 1) * FV_ARENA_ALIGN;
    FV_CHECK(bytes < SIZE_MAX / 32, FV_ERR_MEMORY, "cannot plan %zu bytes of tensor memory", bytes);
    *out = (void *)s->next;
    s->next += rounded;
    return FV_OK;
}

static void plan_free(fv_backend *backend, void *memory)
{
    (void)backend;
    (void)memory;
}

/* Buffers that copies go through are there, for code that writes into them. What is larger is only named:
 * state that waits on the host. */
enum { MOST_HOST_BYTES = 1 << 26 };

static int is_named(const void *memory)
{
    return (uintptr_t)memory >= first_address;
}

static fv_err plan_host_alloc(fv_backend *backend, size_t bytes, void **out)
{
    if (bytes > MOST_HOST_BYTES)
        return plan_alloc(backend, bytes, out);
    return fv_host_alloc(((plan_state *)backend->state)->wrapper.inner, bytes, out);
}

static void plan_host_free(fv_backend *backend, void *memory)
{
    if (!is_named(memory))
        fv_host_free(((plan_state *)backend->state)->wrapper.inner, memory);
}

static fv_err plan_free_bytes(fv_backend *backend, size_t *out)
{
    FV_TRY(fv_backend_free_bytes(((plan_state *)backend->state)->wrapper.inner, out));
    if (*out > 0) /* 0 is for what is not known */
        *out = *out > backend->memory.bytes ? *out - backend->memory.bytes : 1;
    return FV_OK;
}

static void count(fv_backend *backend, fv_op op, const void *args)
{
    size_t bytes = fv_backend_workspace(backend, op, args);
    if (bytes > backend->memory.workspace)
        backend->memory.workspace = bytes;
}

#define FV_OP(op, fields)                                                    \
    static fv_err plan_##op(fv_backend *backend, const fv_##op##_args *args) \
    {                                                                        \
        count(backend, FV_OP_##op, args);                                    \
        return FV_OK;                                                        \
    }
#include "fovea/ops/ops.def"
#undef FV_OP

static fv_err plan_upload(fv_backend *backend, fv_stream stream, fv_tensor to, const void *from)
{
    (void)backend;
    (void)stream;
    (void)to;
    (void)from;
    return FV_OK;
}

static fv_err plan_download(fv_backend *backend, fv_stream stream, fv_tensor from, void *to)
{
    (void)backend;
    (void)stream;
    if (!is_named(to))
        memset(to, 0, (size_t)fv_tensor_count(from) * fv_dtype_bytes(from.dtype));
    return FV_OK;
}

/* All that is queued is done: there is nothing to wait for. */
static fv_err plan_event_create(fv_backend *backend, fv_event **out)
{
    *out = backend->state;
    return FV_OK;
}

static void plan_event_destroy(fv_backend *backend, fv_event *event)
{
    (void)backend;
    (void)event;
}

static fv_err plan_event_order(fv_backend *backend, fv_event *event, fv_stream stream)
{
    (void)backend;
    (void)event;
    (void)stream;
    return FV_OK;
}

static fv_err plan_event_synchronize(fv_backend *backend, fv_event *event)
{
    (void)backend;
    (void)event;
    return FV_OK;
}

static fv_err plan_synchronize(fv_backend *backend)
{
    (void)backend;
    return FV_OK;
}

/* Graphs where the inner one has some: its runs take what they take there. */
static fv_err plan_graph_create(fv_backend *backend, fv_graph **out)
{
    *out = backend->state;
    return FV_OK;
}

static void plan_graph_destroy(fv_backend *backend, fv_graph *graph)
{
    (void)backend;
    (void)graph;
}

static fv_err plan_graph_run(fv_backend *backend, fv_graph *graph, fv_graph_body body, void *context)
{
    (void)backend;
    (void)graph;
    return body(context);
}

fv_err fv_backend_plan_create(fv_backend *inner, fv_backend **out)
{
    int has_graphs = fv_backend_has_graphs(inner);
    const fv_backend_table table = {
        .name = "plan",
#define FV_OP(op, fields) .op = plan_##op,
#include "fovea/ops/ops.def"
#undef FV_OP
        .alloc = plan_alloc,
        .free = plan_free,
        .host_alloc = plan_host_alloc,
        .host_free = plan_host_free,
        .free_bytes = plan_free_bytes,
        .upload = plan_upload,
        .download = plan_download,
        .event_create = plan_event_create,
        .event_destroy = plan_event_destroy,
        .event_record = plan_event_order,
        .event_wait = plan_event_order,
        .event_synchronize = plan_event_synchronize,
        .synchronize = plan_synchronize,
        .graph_create = has_graphs ? plan_graph_create : NULL,
        .graph_destroy = has_graphs ? plan_graph_destroy : NULL,
        .graph_run = has_graphs ? plan_graph_run : NULL,
    };
    FV_TRY(fv_wrapper_create(inner, &table, sizeof(plan_state), out));
    ((plan_state *)(*out)->state)->next = first_address;
    return FV_OK;
}
