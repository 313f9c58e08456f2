/* Collectives over a group whose other ranks hold what this one holds. Groups of ranks that differ are in
 * tests/mpi/collective.c. */
#include "suite.h"

static fv_err echo_gather(fv_comm *comm, const void *in, size_t bytes, void *out)
{
    for (int rank = 0; rank < comm->size; rank++)
        memmove((char *)out + (size_t)rank * bytes, in, bytes);
    return FV_OK;
}

static fv_err echo_to_all(fv_comm *comm, const void *in, size_t bytes, void *out)
{
    return echo_gather(comm, (const char *)in + (size_t)comm->rank * bytes, bytes, out);
}

static fv_err echo_broadcast(fv_comm *comm, void *data, size_t bytes, int root)
{
    (void)comm, (void)data, (void)bytes, (void)root;
    return FV_OK;
}

static const fv_comm_table echo = {
    .name = "echo", .all_gather = echo_gather, .all_to_all = echo_to_all, .broadcast = echo_broadcast};

/* Staging comes from the host memory of the suite. */
static fv_comm *echo_comm(int rank, int size)
{
    fv_comm *comm = host_take(sizeof *comm);
    *comm = (fv_comm){.table = &echo, .rank = rank, .size = size, .staging = host_take(16 << 20)};
    return comm;
}

static const struct {
    int64_t n;
    int rank, size;
} shapes[] = {{0, 0, 2}, {1, 0, 1}, {1, 1, 2}, {7, 2, 3}, {100, 4, 5}, {1003, 7, 8}, {4096, 1, 4}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

void reference_all_reduce(const fv_all_reduce_args *args)
{
    for (int64_t i = 0; i < args->x.dim[0]; i++)
        *f64_at(args->x, i, 0) *= args->comm->size;
}

void cases_all_reduce(void)
{
    for (int i = 0; i < N_SHAPES; i++) {
        fv_all_reduce_args args = {echo_comm(shapes[i].rank, shapes[i].size), draw_1d(shapes[i].n)};
        CONFORM(all_reduce, args, .near = 1e-6);
        fv_all_reduce_args wide = {args.comm, zeros_1d(FV_F64, shapes[i].n)};
        for (int64_t j = 0; j < shapes[i].n; j++)
            *f64_at(wide.x, j, 0) = 1.0 / (double)(j + 1);
        CONFORM(all_reduce, wide, .near = 1e-14);
    }
}

void reference_reduce_scatter(const fv_reduce_scatter_args *args)
{
    int64_t n = args->out.dim[0];
    for (int64_t i = 0; i < n; i++)
        *f64_at(args->out, i, 0) = args->comm->size * *f64_at(args->in, args->comm->rank * n + i, 0);
}

void cases_reduce_scatter(void)
{
    for (int i = 0; i < N_SHAPES; i++) {
        fv_reduce_scatter_args args = {echo_comm(shapes[i].rank, shapes[i].size),
                                       draw_1d(shapes[i].n * shapes[i].size), draw_1d(shapes[i].n)};
        CONFORM(reduce_scatter, args, .near = 1e-6);
    }
}

void reference_all_gather(const fv_all_gather_args *args)
{
    size_t bytes = (size_t)args->in.dim[0] * fv_dtype_bytes(args->in.dtype);
    for (int rank = 0; rank < args->comm->size; rank++)
        memcpy((char *)args->out.data + (size_t)rank * bytes, args->in.data, bytes);
}

void cases_all_gather(void)
{
    for (int i = 0; i < N_SHAPES; i++) {
        int64_t n = shapes[i].n, all = n * shapes[i].size;
        fv_comm *comm = echo_comm(shapes[i].rank, shapes[i].size);
        fv_all_gather_args args = {comm, draw_1d(n), draw_1d(all)};
        fv_all_gather_args ints = {comm, zeros_1d(FV_I32, n), zeros_1d(FV_I32, all)};
        for (int64_t j = 0; j < n; j++)
            *i32_at(ints.in, j, 0) = (int32_t)j - 5;
        CONFORM(all_gather, args);
        CONFORM(all_gather, ints);
    }
}

/* The others have found the same. */
void reference_all_best(const fv_all_best_args *args)
{
    (void)args;
}

void cases_all_best(void)
{
    for (int i = 0; i < N_SHAPES; i++) {
        fv_all_best_args args = {echo_comm(shapes[i].rank, shapes[i].size), draw_1d(shapes[i].n),
                                 draw_1d(shapes[i].n), zeros_1d(FV_I32, shapes[i].n)};
        CONFORM(all_best, args);
    }
}

void reference_broadcast(const fv_broadcast_args *args)
{
    (void)args;
}

void cases_broadcast(void)
{
    for (int i = 0; i < N_SHAPES; i++) {
        fv_broadcast_args args = {echo_comm(shapes[i].rank, shapes[i].size), draw_1d(shapes[i].n), 0};
        CONFORM(broadcast, args);
    }
}
