/* Checks of the arguments of the collectives. */
#include "args_check.h"

/* t is there, contiguous, of one of these dtypes, and has a first dimension. */
static fv_err expect_whole(const char *op, const char *name, fv_tensor t, unsigned dtypes)
{
    FV_TRY(
        fv_tensor_expect(op, name, t, (fv_expected){dtypes, t.n_dims, {FV_DIM_ANY, FV_DIM_ANY, FV_DIM_ANY}}));
    FV_CHECK(fv_tensor_is_contiguous(t), FV_ERR_SHAPE,
             "%s: tensor %s has rows %lld elements apart, expected rows without gaps", op, name,
             (long long)t.stride);
    return FV_OK;
}

static fv_err expect_comm(const char *op, const fv_comm *comm)
{
    FV_CHECK(comm, FV_ERR_ARGUMENT, "%s: there is no process group", op);
    return FV_OK;
}

/* whole has the rows of `size` parts. */
static fv_err expect_parts(const char *op, const char *name, const fv_comm *comm, fv_tensor part,
                           fv_tensor whole)
{
    fv_expected expected = {
        1u << part.dtype, part.n_dims, {part.dim[0] * comm->size, part.dim[1], part.dim[2]}};
    return fv_tensor_expect(op, name, whole, expected);
}

fv_err fv_check_all_reduce_args(const fv_all_reduce_args *args, int *empty)
{
    FV_TRY(expect_comm("all_reduce", args->comm));
    FV_TRY(expect_whole("all_reduce", "x", args->x, FV_CLASS_F32 | FV_CLASS_F64));
    *empty = args->comm->size == 1 || fv_tensor_count(args->x) == 0;
    return FV_OK;
}

fv_err fv_check_reduce_scatter_args(const fv_reduce_scatter_args *args, int *empty)
{
    FV_TRY(expect_comm("reduce_scatter", args->comm));
    FV_TRY(expect_whole("reduce_scatter", "out", args->out, FV_CLASS_F32));
    FV_TRY(expect_whole("reduce_scatter", "in", args->in, FV_CLASS_F32));
    FV_TRY(expect_parts("reduce_scatter", "in", args->comm, args->out, args->in));
    *empty = fv_tensor_count(args->out) == 0;
    return FV_OK;
}

fv_err fv_check_all_gather_args(const fv_all_gather_args *args, int *empty)
{
    FV_TRY(expect_comm("all_gather", args->comm));
    FV_TRY(expect_whole("all_gather", "in", args->in, FV_CLASS_ANY));
    FV_TRY(expect_whole("all_gather", "out", args->out, 1u << args->in.dtype));
    FV_TRY(expect_parts("all_gather", "out", args->comm, args->in, args->out));
    *empty = fv_tensor_count(args->in) == 0;
    return FV_OK;
}

fv_err fv_check_broadcast_args(const fv_broadcast_args *args, int *empty)
{
    FV_TRY(expect_comm("broadcast", args->comm));
    FV_TRY(expect_whole("broadcast", "x", args->x, FV_CLASS_ANY));
    FV_CHECK(args->root >= 0 && args->root < args->comm->size, FV_ERR_ARGUMENT,
             "broadcast: the root is rank %d of %d", args->root, args->comm->size);
    *empty = args->comm->size == 1 || fv_tensor_count(args->x) == 0;
    return FV_OK;
}

fv_err fv_check_all_best_args(const fv_all_best_args *args, int *empty)
{
    FV_TRY(expect_comm("all_best", args->comm));
    EXPECT(all_best, value, F32, FV_DIM_ANY);
    EXPECT(all_best, z, F32, args->value.dim[0]);
    EXPECT(all_best, ids, I32, args->value.dim[0]);
    *empty = args->comm->size == 1 || args->value.dim[0] == 0;
    return FV_OK;
}
