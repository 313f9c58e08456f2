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

typedef struct candidate {
    float value, z;
    int32_t id;
} candidate;

/* n rows from `first` on: all ranks' candidates are laid in room, a rank after the other. */
static fv_err choose_best(const fv_all_best_args *args, int64_t first, int64_t n, candidate *room)
{
    float *value = fv_f32(args->value) + first, *z = fv_f32(args->z) + first;
    int32_t *ids = (int32_t *)args->ids.data + first, size = args->comm->size;
    candidate *own = room + args->comm->rank * n;
    for (int64_t t = 0; t < n; t++)
        own[t] = (candidate){value[t], z[t], ids[t]};
    FV_TRY(fv_comm_all_gather(args->comm, own, (size_t)n * sizeof *own, room));
    for (int64_t t = 0; t < n; t++) {
        candidate best = room[t];
        for (int rank = 1; rank < size; rank++) {
            candidate c = room[rank * n + t];
            if (c.value > best.value || (c.value == best.value && c.id < best.id))
                best = c;
        }
        value[t] = best.value, z[t] = best.z, ids[t] = best.id;
    }
    return FV_OK;
}

fv_err FV_CPU(all_best)(fv_backend *backend, const fv_all_best_args *args)
{
    int64_t rows = args->value.dim[0];
    int64_t most = FV_CPU_SCRATCH_BYTES / (int64_t)sizeof(candidate) / args->comm->size;
    for (int64_t first = 0; first < rows; first += most)
        FV_TRY(
            choose_best(args, first, rows - first < most ? rows - first : most, fv_cpu_scratch(backend, 0)));
    return FV_OK;
}

fv_err FV_CPU(broadcast)(fv_backend *backend, const fv_broadcast_args *args)
{
    (void)backend;
    return fv_comm_broadcast(args->comm, args->x.data, fv_tensor_span_bytes(args->x), args->root);
}
