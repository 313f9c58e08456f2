#include "fovea/ops/backend.h"

#include "ops/device/failure.h"

#include "fovea/base/log.h"
#include "fovea/base/phase.h"

#include <stdlib.h>
#include <string.h>

const char *fv_op_name(fv_op op)
{
    static const char *const names[] = {
#define FV_OP(name, fields) #name,
#include "fovea/ops/ops.def"
#undef FV_OP
    };
    return names[op];
}

size_t fv_backend_workspace(fv_backend *backend, fv_op op, const void *args)
{
    return backend->table->workspace(backend, op, args);
}

size_t fv_attention_plan_bytes(fv_backend *backend, const fv_attention_plan_args *args)
{
    return backend->table->attention_plan_bytes ? backend->table->attention_plan_bytes(backend, args) : 0;
}

void fv_backend_destroy(fv_backend *backend)
{
    if (!backend)
        return;
    fv_staging_destroy(backend->staging);
    free(backend->blocks);
    backend->table->destroy(backend);
}

/* Memory is counted where it is asked for, alike on every back end. */
typedef struct fv_block {
    void *data;
    size_t bytes;
} fv_block;

static fv_err note(fv_backend *backend, void *data, size_t bytes)
{
    fv_backend_memory *m = &backend->memory;
    if (backend->n_blocks == backend->max_blocks) {
        int n = 2 * backend->max_blocks + 16;
        fv_block *blocks = realloc(backend->blocks, (size_t)n * sizeof *blocks);
        FV_CHECK(blocks, FV_ERR_MEMORY, "cannot allocate a list of %d blocks", n);
        backend->blocks = blocks;
        backend->max_blocks = n;
    }
    backend->blocks[backend->n_blocks++] = (fv_block){data, bytes};
    m->n_allocs++;
    m->bytes += bytes;
    m->peak = m->bytes > m->peak ? m->bytes : m->peak;
    return FV_OK;
}

static void forget(fv_backend *backend, const void *data)
{
    for (fv_block *b = backend->blocks; b < backend->blocks + backend->n_blocks; b++)
        if (b->data == data) {
            backend->memory.bytes -= b->bytes;
            *b = backend->blocks[--backend->n_blocks];
            return;
        }
}

/* The body of a graph calls operations alone. */
static fv_err not_in_graph(const fv_backend *backend, const char *what)
{
    FV_CHECK(!backend->recording, FV_ERR_INTERNAL,
             "%s in the body of a graph: it may call operations, and nothing else of a back end", what);
    return FV_OK;
}

fv_err fv_backend_alloc(fv_backend *backend, size_t bytes, void **out)
{
    FV_TRY(not_in_graph(backend, "memory"));
    FV_TRY(backend->table->alloc(backend, bytes, out));
    fv_err err = note(backend, *out, bytes);
    if (err != FV_OK)
        backend->table->free(backend, *out);
    return err;
}

void fv_backend_free(fv_backend *backend, void *memory)
{
    if (!memory)
        return;
    forget(backend, memory);
    backend->table->free(backend, memory);
}

void fv_backend_settle(fv_backend *backend)
{
    fv_error_kept kept;
    fv_error_keep(&kept);
    if (fv_backend_synchronize(backend) == FV_OK)
        return;
    if (!backend->has_failed)
        FV_LOG_RANK(WARN, "at an end: %s", fv_error_text());
    backend->has_failed = 1;
    fv_error_restore(&kept);
}

void fv_backend_release(fv_backend *backend, void *memory)
{
    if (memory)
        fv_backend_settle(backend);
    fv_backend_free(backend, memory);
}

fv_err fv_backend_free_bytes(fv_backend *backend, size_t *out)
{
    *out = 0;
    return backend->table->free_bytes ? backend->table->free_bytes(backend, out) : FV_OK;
}

fv_err fv_host_alloc(fv_backend *backend, size_t bytes, void **out)
{
    return backend->table->host_alloc(backend, bytes, out);
}

void fv_host_free(fv_backend *backend, void *memory)
{
    if (memory)
        backend->table->host_free(backend, memory);
}

fv_err fv_upload(fv_backend *backend, fv_stream stream, fv_tensor to, const void *from)
{
    FV_TRY(not_in_graph(backend, "an upload"));
    return fv_tensor_count(to)
               ? fv_failure_at(backend->table->upload(backend, stream, to, from), "a copy to the device")
               : FV_OK;
}

fv_err fv_download(fv_backend *backend, fv_stream stream, fv_tensor from, void *to)
{
    FV_TRY(not_in_graph(backend, "a download"));
    return fv_tensor_count(from)
               ? fv_failure_at(backend->table->download(backend, stream, from, to), "a copy from the device")
               : FV_OK;
}

fv_err fv_event_create(fv_backend *backend, fv_event **out)
{
    return backend->table->event_create(backend, out);
}

void fv_event_destroy(fv_backend *backend, fv_event *event)
{
    if (event)
        backend->table->event_destroy(backend, event);
}

fv_err fv_event_record(fv_backend *backend, fv_event *event, fv_stream stream)
{
    FV_TRY(not_in_graph(backend, "an event"));
    return backend->table->event_record(backend, event, stream);
}

fv_err fv_event_wait(fv_backend *backend, fv_event *event, fv_stream stream)
{
    FV_TRY(not_in_graph(backend, "an event"));
    return backend->table->event_wait(backend, event, stream);
}

fv_err fv_event_synchronize(fv_backend *backend, fv_event *event)
{
    FV_TRY(not_in_graph(backend, "a synchronisation"));
    fv_wait_begin();
    return fv_wait_end(backend->table->event_synchronize(backend, event));
}

fv_err fv_backend_synchronize(fv_backend *backend)
{
    FV_TRY(not_in_graph(backend, "a synchronisation"));
    fv_wait_begin();
    return fv_wait_end(backend->table->synchronize(backend));
}

int fv_backend_has_graphs(const fv_backend *backend)
{
    return backend->table->graph_run != NULL;
}

fv_err fv_graph_create(fv_backend *backend, fv_graph **out)
{
    *out = NULL;
    return fv_backend_has_graphs(backend) ? backend->table->graph_create(backend, out) : FV_OK;
}

void fv_graph_destroy(fv_backend *backend, fv_graph *graph)
{
    if (graph)
        backend->table->graph_destroy(backend, graph);
}

fv_err fv_graph_run(fv_backend *backend, fv_graph *graph, fv_graph_body body, void *context)
{
    fv_phase_operation("a recorded graph");
    if (!graph || backend->profile)
        return body(context);
    return fv_failure_at(backend->table->graph_run(backend, graph, body, context), "a recorded graph");
}

/* Wrap from the end of the list, so that its first is the outermost. */
static fv_err wrap(const char *list, size_t n, fv_backend **backend)
{
    size_t first = n;
    while (first > 0 && list[first - 1] != ',')
        first--;
    size_t length = n - first;
    const char *name = list + first;
    if (length == strlen("check") && strncmp(name, "check", length) == 0)
        FV_TRY(fv_backend_check_create(*backend, backend));
    else if (length == strlen("deferred") && strncmp(name, "deferred", length) == 0)
        FV_TRY(fv_backend_deferred_create(*backend, backend));
    else {
        fv_backend_destroy(*backend);
        *backend = NULL;
        return FV_FAIL(FV_ERR_ARGUMENT, "FOVEA_BACKEND_WRAP is \"%s\", expected check, deferred or both",
                       list);
    }
    return first > 0 ? wrap(list, first - 1, backend) : FV_OK;
}

fv_err fv_backend_wrap(fv_backend **backend)
{
    const char *list = getenv("FOVEA_BACKEND_WRAP");
    return list && *list ? wrap(list, strlen(list), backend) : FV_OK;
}
