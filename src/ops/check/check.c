#include "check.h"

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
        return inner->table->op(inner, args);                                    \
    }                                                                            \
    static fv_err check_##op(fv_backend *backend, const fv_##op##_args *args)    \
    {                                                                            \
        check_state *s = backend->state;                                         \
        return fv_check_run(&s->memory, s->inner, FV_OP_##op, args, inner_##op); \
    }
#include "fovea/ops/ops.def"
#undef FV_OP

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

static fv_err check_upload(fv_backend *backend, fv_tensor to, const void *from)
{
    check_state *s = backend->state;
    fv_check_block block;
    if (fv_tensor_count(to) == 0)
        return FV_OK;
    FV_TRY(fv_check_memory_find(&s->memory, "upload", "to", to, &block));
    fv_check_memory_show(&block);
    fv_err err = s->inner->table->upload(s->inner, to, from);
    fv_check_memory_hide(&s->memory, &block);
    return err;
}

static fv_err check_download(fv_backend *backend, fv_tensor from, void *to)
{
    check_state *s = backend->state;
    fv_check_block block;
    if (fv_tensor_count(from) == 0)
        return FV_OK;
    FV_TRY(fv_check_memory_find(&s->memory, "download", "from", from, &block));
    fv_check_memory_show(&block);
    fv_err err = s->inner->table->download(s->inner, from, to);
    fv_check_memory_hide(&s->memory, &block);
    return err;
}

static void check_open(fv_backend *backend)
{
    check_state *s = backend->state;
    fv_check_memory_open(&s->memory);
    s->inner->table->open(s->inner);
}

static void check_close(fv_backend *backend)
{
    check_state *s = backend->state;
    s->inner->table->close(s->inner);
    fv_check_memory_close(&s->memory);
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
        .alloc = check_alloc,
        .free = check_free,
        .upload = check_upload,
        .download = check_download,
        .open = check_open,
        .close = check_close,
        .destroy = check_destroy,
    };
    *backend = (fv_backend){.table = &s->table, .state = s, .n_threads = inner->n_threads};
    *out = backend;
    return FV_OK;
}
