#include "check.h"

#include "ops/record.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct check_state {
    fv_backend *inner;
    fv_check_memory memory;
    fv_backend_table table;
    char name[64];
} check_state;

#define FV_OP(op, fields)                                                        \
    static fv_err inner_##op(fv_backend *inner, const void *args)                \
    {                                                                            \
        FV_TRY(inner->table->op(inner, args));                                   \
        return fv_backend_synchronize(inner);                                    \
    }                                                                            \
    static fv_err check_##op(fv_backend *backend, const fv_##op##_args *args)    \
    {                                                                            \
        check_state *s = backend->state;                                         \
        return fv_check_run(&s->memory, s->inner, FV_OP_##op, args, inner_##op); \
    }
#include "fovea/ops/ops.def"
#undef FV_OP

static size_t check_workspace(fv_backend *backend, fv_op op, const void *args)
{
    check_state *s = backend->state;
    return fv_backend_workspace(s->inner, op, args);
}

static fv_err check_alloc(fv_backend *backend, size_t bytes, void **out)
{
    check_state *s = backend->state;
    return fv_check_memory_alloc(&s->memory, bytes, out);
}

static void check_free(fv_backend *backend, void *data)
{
    check_state *s = backend->state;
    fv_check_memory_free(&s->memory, data);
}

static fv_err check_host_alloc(fv_backend *backend, size_t bytes, void **out)
{
    check_state *s = backend->state;
    return fv_host_alloc(s->inner, bytes, out);
}

static void check_host_free(fv_backend *backend, void *memory)
{
    check_state *s = backend->state;
    fv_host_free(s->inner, memory);
}

static fv_err check_upload(fv_backend *backend, fv_stream stream, fv_tensor to, const void *from)
{
    check_state *s = backend->state;
    fv_check_block block;
    FV_TRY(fv_check_memory_find(&s->memory, "upload", "to", to, &block));
    fv_check_memory_show(&block);
    fv_err err = fv_upload(s->inner, stream, to, from);
    if (err == FV_OK)
        err = fv_backend_synchronize(s->inner);
    fv_check_memory_hide(&block);
    return err;
}

static fv_err check_download(fv_backend *backend, fv_stream stream, fv_tensor from, void *to)
{
    check_state *s = backend->state;
    fv_check_block block;
    FV_TRY(fv_check_memory_find(&s->memory, "download", "from", from, &block));
    fv_check_memory_show(&block);
    fv_err err = fv_download(s->inner, stream, from, to);
    if (err == FV_OK)
        err = fv_backend_synchronize(s->inner);
    fv_check_memory_hide(&block);
    return err;
}

static fv_err check_event_create(fv_backend *backend, fv_event **out)
{
    check_state *s = backend->state;
    return fv_event_create(s->inner, out);
}

static void check_event_destroy(fv_backend *backend, fv_event *event)
{
    check_state *s = backend->state;
    fv_event_destroy(s->inner, event);
}

static fv_err check_event_record(fv_backend *backend, fv_event *event, fv_stream stream)
{
    check_state *s = backend->state;
    return fv_event_record(s->inner, event, stream);
}

static fv_err check_event_wait(fv_backend *backend, fv_event *event, fv_stream stream)
{
    check_state *s = backend->state;
    return fv_event_wait(s->inner, event, stream);
}

static fv_err check_event_synchronize(fv_backend *backend, fv_event *event)
{
    check_state *s = backend->state;
    return fv_event_synchronize(s->inner, event);
}

static fv_err check_synchronize(fv_backend *backend)
{
    check_state *s = backend->state;
    return fv_backend_synchronize(s->inner);
}

static void check_destroy(fv_backend *backend)
{
    check_state *s = backend->state;
    fv_check_memory_fini(&s->memory);
    fv_backend_destroy(s->inner);
    free(s);
    free(backend);
}

fv_err fv_backend_check_create(fv_backend *inner, fv_backend **out)
{
    fv_backend *backend = calloc(1, sizeof *backend);
    check_state *s = calloc(1, sizeof *s);
    *out = NULL;
    if (!backend || !s) {
        free(backend);
        free(s);
        fv_backend_destroy(inner);
        return FV_FAIL(FV_ERR_MEMORY, "cannot allocate the check back end");
    }
    snprintf(s->name, sizeof s->name, "check(%s)", inner->table->name);
    s->inner = inner;
    s->table = (fv_backend_table){
        .name = s->name,
#define FV_OP(op, fields) .op = check_##op,
#include "fovea/ops/ops.def"
#undef FV_OP
        .workspace = check_workspace,
        .alloc = check_alloc,
        .free = check_free,
        .host_alloc = check_host_alloc,
        .host_free = check_host_free,
        .upload = check_upload,
        .download = check_download,
        .event_create = check_event_create,
        .event_destroy = check_event_destroy,
        .event_record = check_event_record,
        .event_wait = check_event_wait,
        .event_synchronize = check_event_synchronize,
        .synchronize = check_synchronize,
        .graph_create = fv_record_create,
        .graph_destroy = fv_record_destroy,
        .graph_run = fv_record_run,
        .destroy = check_destroy,
    };
    *backend = (fv_backend){.table = &s->table, .state = s, .n_threads = inner->n_threads};
    *out = backend;
    return FV_OK;
}
