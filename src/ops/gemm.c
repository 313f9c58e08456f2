/* Front doors of products and sums over rows. */
#include "door.h"

fv_err fv_door_gemm(const fv_gemm_args *args, int *empty)
{
    EXPECT(gemm, c, F32, FV_DIM_ANY, FV_DIM_ANY);
    int64_t m = args->c.dim[0], n = args->c.dim[1], k = args->a.dim[args->trans_a ? 0 : 1];
    if (args->trans_a)
        EXPECT(gemm, a, F32, FV_DIM_ANY, m);
    else
        EXPECT(gemm, a, F32, m, FV_DIM_ANY);
    if (args->trans_b)
        EXPECT(gemm, b, F32, n, k);
    else
        EXPECT(gemm, b, F32, k, n);
    EXPECT_IF(gemm, bias, F32, n);
    *empty = m == 0 || n == 0;
    return FV_OK;
}

fv_err fv_door_colsum(const fv_colsum_args *args, int *empty)
{
    EXPECT(colsum, x, F32, FV_DIM_ANY, FV_DIM_ANY);
    EXPECT(colsum, out, F32, args->x.dim[1]);
    *empty = args->x.dim[1] == 0;
    return FV_OK;
}

fv_err fv_door_sumsq(const fv_sumsq_args *args, int *empty)
{
    EXPECT(sumsq, x, F32, FV_DIM_ANY);
    EXPECT(sumsq, out, F64, 1);
    *empty = 0;
    return FV_OK;
}
