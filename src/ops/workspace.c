#include "fovea/ops/workspace.h"

fv_err fv_workspace_fit(fv_workspace *work, fv_backend *backend, fv_take take, void *context)
{
    fv_arena dry = fv_arena_dry(work->name);
    FV_TRY(take(context, &dry));
    if (dry.peak > work->bytes) {
        FV_TRY(fv_backend_synchronize(backend));
        fv_workspace_fini(work);
        FV_TRY(fv_backend_alloc(backend, dry.peak, &work->memory));
        work->backend = backend;
        work->bytes = dry.peak;
    }
    work->arena = fv_arena_over(work->name, work->memory, work->bytes);
    return take(context, &work->arena);
}

void fv_workspace_fini(fv_workspace *work)
{
    if (work->memory)
        fv_backend_release(work->backend, work->memory);
    *work = (fv_workspace){.name = work->name};
}
