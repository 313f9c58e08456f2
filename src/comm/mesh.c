#include "fovea/comm/mesh.h"

fv_err fv_mesh_init(fv_mesh *mesh, fv_comm *world, int tensor)
{
    *mesh = (fv_mesh){.world = world};
    FV_CHECK(
        tensor >= 1 && world->size % tensor == 0, FV_ERR_ARGUMENT,
        "%d ranks cannot be cut into tensor groups of %d (%d %% %d = %d): start a multiple of them, or set "
        "layout.tensor (--tensor)",
        world->size, tensor, world->size, tensor, tensor >= 1 ? world->size % tensor : world->size);
    FV_TRY(fv_comm_split(world, world->rank / tensor, world->rank, &mesh->tensor));
    return fv_comm_split(world, world->rank % tensor, world->rank, &mesh->data);
}

void fv_mesh_fini(fv_mesh *mesh)
{
    fv_comm_destroy(mesh->tensor);
    fv_comm_destroy(mesh->data);
    *mesh = (fv_mesh){0};
}
