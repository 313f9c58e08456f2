/* Checks of the arguments of rows by index. */
#include "args_check.h"

fv_err fv_check_gather_args(const fv_gather_args *args, int *empty)
{
    EXPECT(gather, table, STORED, FV_DIM_ANY, FV_DIM_ANY);
    EXPECT_AS(gather, out, table, FV_DIM_ANY, args->table.dim[1]);
    EXPECT(gather, index, I32, args->out.dim[0]);
    *empty = fv_tensor_count(args->out) == 0;
    return FV_OK;
}

fv_err fv_check_scatter_args(const fv_scatter_args *args, int *empty)
{
    EXPECT(scatter, table, ROWS, FV_DIM_ANY, FV_DIM_ANY);
    EXPECT_AS(scatter, in, table, FV_DIM_ANY, args->table.dim[1]);
    EXPECT(scatter, index, I32, args->in.dim[0]);
    *empty = fv_tensor_count(args->in) == 0;
    return FV_OK;
}

fv_err fv_check_scatter_add_args(const fv_scatter_add_args *args, int *empty)
{
    EXPECT(scatter_add, table, F32, FV_DIM_ANY, FV_DIM_ANY);
    EXPECT(scatter_add, in, STORED, FV_DIM_ANY, args->table.dim[1]);
    EXPECT(scatter_add, index, I32, args->in.dim[0]);
    *empty = fv_tensor_count(args->in) == 0;
    return FV_OK;
}
