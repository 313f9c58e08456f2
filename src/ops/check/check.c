#include "check.h"

#include "ops/record.h"
#include "ops/wrapper.h"

typedef struct check_state {
    fv_wrapper wrapper;
    fv_check_memory memory;
} check_state;

#define FV_OP(op, fields)                                                                \
    static fv_err inner_##op(fv_backend *inner, const void *args)                        \
    {                                                                                    \
        FV_TRY(inner->table->op(inner, args));                                           \
        return fv_backend_synchronize(inner);                                            \
    }                                                                                    \
    static fv_err check_##op(fv_backend *backend, const fv_##op##_args *args)            \
    {                                                                                    \
        check_state *s = backend->state;                                                 \
        return fv_check_run(&s->memory, s->wrapper.inner, FV_OP_##op, args, inner_##op); \
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

static fv_err check_upload(fv_backend *backend, fv_stream stream, fv_tensor to, const void *from)
{
    check_state *s = backend->state;
    fv_check_block block;
    FV_TRY(fv_check_memory_find(&s->memory, "upload", "to", to, &block));
    fv_check_memory_show(&block);
    fv_err err = fv_upload(s->wrapper.inner, stream, to, from);
    if (err == FV_OK)
        err = fv_backend_synchronize(s->wrapper.inner);
    fv_check_memory_hide(&block);
    return err;
}

static fv_err check_download(fv_backend *backend, fv_stream stream, fv_tensor from, void *to)
{
    check_state *s = backend->state;
    fv_check_block block;
    FV_TRY(fv_check_memory_find(&s->memory, "download", "from", from, &block));
    fv_check_memory_show(&block);
    fv_err err = fv_download(s->wrapper.inner, stream, from, to);
    if (err == FV_OK)
        err = fv_backend_synchronize(s->wrapper.inner);
    fv_check_memory_hide(&block);
    return err;
}

static void check_destroy(fv_backend *backend)
{
    check_state *s = backend->state;
    fv_check_memory_fini(&s->memory);
    fv_wrapper_destroy(backend);
}

fv_err fv_backend_check_create(fv_backend *inner, fv_backend **out)
{
    const fv_backend_table table = {
        .name = "check",
#define FV_OP(op, fields) .op = check_##op,
#include "fovea/ops/ops.def"
#undef FV_OP
        .alloc = check_alloc,
        .free = check_free,
        .upload = check_upload,
        .download = check_download,
        .graph_create = fv_record_create,
        .graph_destroy = fv_record_destroy,
        .graph_run = fv_record_run,
        .destroy = check_destroy,
    };
    return fv_wrapper_create(inner, &table, sizeof(check_state), out);
}
