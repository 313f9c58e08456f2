#include "ops/wrapper.h"

#include <stdio.h>
#include <stdlib.h>

static fv_backend *inner_of(const fv_backend *backend)
{
    return ((const fv_wrapper *)backend->state)->inner;
}

static size_t pass_workspace(fv_backend *backend, fv_op op, const void *args)
{
    return fv_backend_workspace(inner_of(backend), op, args);
}

static size_t pass_attention_plan_bytes(fv_backend *backend, const fv_attention_plan_args *args)
{
    return fv_attention_plan_bytes(inner_of(backend), args);
}

static fv_err pass_host_alloc(fv_backend *backend, size_t bytes, void **out)
{
    return fv_host_alloc(inner_of(backend), bytes, out);
}

static void pass_host_free(fv_backend *backend, void *memory)
{
    fv_host_free(inner_of(backend), memory);
}

static fv_err pass_free_bytes(fv_backend *backend, size_t *out)
{
    return fv_backend_free_bytes(inner_of(backend), out);
}

static fv_err pass_event_create(fv_backend *backend, fv_event **out)
{
    return fv_event_create(inner_of(backend), out);
}

static void pass_event_destroy(fv_backend *backend, fv_event *event)
{
    fv_event_destroy(inner_of(backend), event);
}

static fv_err pass_event_record(fv_backend *backend, fv_event *event, fv_stream stream)
{
    return fv_event_record(inner_of(backend), event, stream);
}

static fv_err pass_event_wait(fv_backend *backend, fv_event *event, fv_stream stream)
{
    return fv_event_wait(inner_of(backend), event, stream);
}

static fv_err pass_event_synchronize(fv_backend *backend, fv_event *event)
{
    return fv_event_synchronize(inner_of(backend), event);
}

static fv_err pass_synchronize(fv_backend *backend)
{
    return fv_backend_synchronize(inner_of(backend));
}

void fv_wrapper_destroy(fv_backend *backend)
{
    fv_backend_destroy(inner_of(backend));
    free(backend->state);
    free(backend);
}

#define PASS(entry)    \
    if (!table->entry) \
    table->entry = pass_##entry

/* An operation that inner leaves out is composed before the wrapper sees it. */
static void fill(fv_backend_table *table, const fv_backend *inner)
{
#define FV_OP(op, fields)  \
    if (!inner->table->op) \
        table->op = NULL;
#include "fovea/ops/ops.def"
#undef FV_OP
    PASS(workspace);
    PASS(attention_plan_bytes);
    PASS(host_alloc);
    PASS(host_free);
    PASS(free_bytes);
    PASS(event_create);
    PASS(event_destroy);
    PASS(event_record);
    PASS(event_wait);
    PASS(event_synchronize);
    PASS(synchronize);
    if (!table->destroy)
        table->destroy = fv_wrapper_destroy;
}

fv_err fv_wrapper_create(fv_backend *inner, const fv_backend_table *table, size_t state_bytes,
                         fv_backend **out)
{
    fv_backend *backend = calloc(1, sizeof *backend);
    fv_wrapper *w = calloc(1, state_bytes);
    *out = NULL;
    if (!backend || !w) {
        free(backend);
        free(w);
        fv_backend_destroy(inner);
        return FV_FAIL(FV_ERR_MEMORY, "cannot allocate the %s back end", table->name);
    }
    snprintf(w->name, sizeof w->name, "%s(%s)", table->name, inner->table->name);
    w->inner = inner;
    w->table = *table;
    w->table.name = w->name;
    fill(&w->table, inner);
    *backend = (fv_backend){.table = &w->table, .state = w, .n_threads = inner->n_threads};
    *out = backend;
    return FV_OK;
}
