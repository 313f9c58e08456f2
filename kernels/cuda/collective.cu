/* Collectives over one rank: nothing is to be done, or a copy. */
#include "cuda.cuh"

static fv_err check_alone(const fv_comm *comm, const char *op)
{
    FV_CHECK(comm->size == 1, FV_ERR_UNSUPPORTED, "%s: the CUDA back end works on one rank, not %d", op,
             comm->size);
    return FV_OK;
}

static fv_err copy_all(fv_backend *backend, fv_tensor in, fv_tensor out)
{
    if (in.data != out.data)
        FV_CUDA(cudaMemcpyAsync(out.data, in.data, fv_tensor_span_bytes(in), cudaMemcpyDeviceToDevice,
                                fv_cuda_compute(backend)));
    return FV_OK;
}

extern "C" fv_err fv_cuda_all_reduce(fv_backend *backend, const fv_all_reduce_args *args)
{
    (void)backend;
    return check_alone(args->comm, "all_reduce");
}

extern "C" fv_err fv_cuda_reduce_scatter(fv_backend *backend, const fv_reduce_scatter_args *args)
{
    FV_TRY(check_alone(args->comm, "reduce_scatter"));
    return copy_all(backend, args->in, args->out);
}

extern "C" fv_err fv_cuda_all_gather(fv_backend *backend, const fv_all_gather_args *args)
{
    FV_TRY(check_alone(args->comm, "all_gather"));
    return copy_all(backend, args->in, args->out);
}

extern "C" fv_err fv_cuda_broadcast(fv_backend *backend, const fv_broadcast_args *args)
{
    (void)backend;
    return check_alone(args->comm, "broadcast");
}

extern "C" fv_err fv_cuda_all_best(fv_backend *backend, const fv_all_best_args *args)
{
    (void)backend;
    return check_alone(args->comm, "all_best");
}
