#include "fovea/ops/backend.h"

const char *fv_op_name(fv_op op)
{
    static const char *const names[] = {
#define FV_OP(name, fields) #name,
#include "fovea/ops/ops.def"
#undef FV_OP
    };
    return names[op];
}

void fv_backend_destroy(fv_backend *backend)
{
    if (backend)
        backend->table->destroy(backend);
}

fv_err fv_backend_alloc(fv_backend *backend, size_t bytes, void **out)
{
    return backend->table->alloc(backend, bytes, out);
}

void fv_backend_free(fv_backend *backend, void *memory)
{
    if (memory)
        backend->table->free(backend, memory);
}

fv_err fv_upload(fv_backend *backend, fv_tensor to, const void *from)
{
    return backend->table->upload(backend, to, from);
}

fv_err fv_download(fv_backend *backend, fv_tensor from, void *to)
{
    return backend->table->download(backend, from, to);
}
