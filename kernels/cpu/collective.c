/* Collectives: tensor memory is host memory, so the process group does it all. */
#include "cpu.h"

fv_err FV_CPU(all_reduce)(fv_backend *backend, const fv_all_reduce_args *args)
{
    (void)backend;
    size_t n = (size_t)fv_tensor_count(args->x);
    return args->x.dtype == FV_F64 ? fv_comm_all_reduce_f64(args->comm, args->x.data, n)
                                   : fv_comm_all_reduce_f32(args->comm, args->x.data, n);
}

fv_err FV_CPU(reduce_scatter)(fv_backend *backend, const fv_reduce_scatter_args *args)
{
    (void)backend;
    return fv_comm_reduce_scatter_f32(args->comm, fv_f32(args->in), (size_t)fv_tensor_count(args->out),
                                      fv_f32(args->out));
}

fv_err FV_CPU(all_gather)(fv_backend *backend, const fv_all_gather_args *args)
{
    (void)backend;
    return fv_comm_all_gather(args->comm, args->in.data, fv_tensor_span_bytes(args->in), args->out.data);
}

fv_err FV_CPU(broadcast)(fv_backend *backend, const fv_broadcast_args *args)
{
    (void)backend;
    return fv_comm_broadcast(args->comm, args->x.data, fv_tensor_span_bytes(args->x), args->root);
}
