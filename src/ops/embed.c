/* Front doors of rows by index. */
#include "door.h"

fv_err fv_door_gather(const fv_gather_args *args, int *empty)
{
    EXPECT(gather, table, F32, FV_DIM_ANY, FV_DIM_ANY);
    EXPECT(gather, out, F32, FV_DIM_ANY, args->table.dim[1]);
    EXPECT(gather, index, I32, args->out.dim[0]);
    *empty = fv_tensor_count(args->out) == 0;
    return FV_OK;
}

fv_err fv_door_scatter(const fv_scatter_args *args, int *empty)
{
    EXPECT(scatter, table, F32, FV_DIM_ANY, FV_DIM_ANY);
    EXPECT(scatter, in, F32, FV_DIM_ANY, args->table.dim[1]);
    EXPECT(scatter, index, I32, args->in.dim[0]);
    *empty = fv_tensor_count(args->in) == 0;
    return FV_OK;
}

fv_err fv_door_scatter_add(const fv_scatter_add_args *args, int *empty)
{
    EXPECT(scatter_add, table, F32, FV_DIM_ANY, FV_DIM_ANY);
    EXPECT(scatter_add, in, F32, FV_DIM_ANY, args->table.dim[1]);
    EXPECT(scatter_add, index, I32, args->in.dim[0]);
    *empty = fv_tensor_count(args->in) == 0;
    return FV_OK;
}
