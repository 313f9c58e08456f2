#include "fovea/workspace.h"

fv_workspace fv_workspace_dry(const char *name)
{
    return (fv_workspace){.arena = fv_arena_dry(name)};
}

fv_err fv_workspace_allocate(fv_workspace *work, fv_backend *backend)
{
    size_t bytes = work->arena.peak;
    FV_TRY(fv_backend_alloc(backend, bytes, &work->memory));
    work->backend = backend;
    work->arena = fv_arena_over(work->arena.name, work->memory, bytes);
    return FV_OK;
}

void fv_workspace_fini(fv_workspace *work)
{
    if (work->memory)
        fv_backend_free(work->backend, work->memory);
    *work = (fv_workspace){0};
}
