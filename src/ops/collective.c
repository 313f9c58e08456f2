#include "fovea/ops/collective.h"

fv_err fv_all_reduce(fv_backend *backend, fv_comm *comm, fv_tensor t)
{
    FV_CHECK(t.dtype == FV_F32 && fv_tensor_is_contiguous(t), FV_ERR_SHAPE,
             "all-reduce: the tensor is not contiguous F32");
    if (comm->size == 1)
        return FV_OK;
    backend->table->open(backend);
    fv_err err = fv_comm_all_reduce_f32(comm, t.data, (size_t)fv_tensor_count(t));
    backend->table->close(backend);
    return err;
}

fv_err fv_all_gather(fv_backend *backend, fv_comm *comm, fv_tensor in, fv_tensor out)
{
    FV_CHECK(fv_tensor_is_contiguous(in) && fv_tensor_is_contiguous(out) && in.dtype == out.dtype &&
                 fv_tensor_count(out) == comm->size * fv_tensor_count(in),
             FV_ERR_SHAPE, "all-gather: %lld elements from each of %d ranks into %lld",
             (long long)fv_tensor_count(in), comm->size, (long long)fv_tensor_count(out));
    backend->table->open(backend);
    fv_err err = fv_comm_all_gather(comm, in.data, fv_tensor_span_bytes(in), out.data);
    backend->table->close(backend);
    return err;
}

fv_err fv_broadcast(fv_backend *backend, fv_comm *comm, fv_tensor t, int root)
{
    FV_CHECK(fv_tensor_is_contiguous(t), FV_ERR_SHAPE, "broadcast: the tensor is not contiguous");
    if (comm->size == 1)
        return FV_OK;
    backend->table->open(backend);
    fv_err err = fv_comm_broadcast(comm, t.data, fv_tensor_span_bytes(t), root);
    backend->table->close(backend);
    return err;
}
