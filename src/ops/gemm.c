/* Checks of the arguments of products and sums over rows. */
#include "args_check.h"

fv_err fv_check_gemm_args(const fv_gemm_args *args, int *empty)
{
    EXPECT(gemm, c, STORED, FV_DIM_ANY, FV_DIM_ANY);
    int64_t m = args->c.dim[0], n = args->c.dim[1], k = args->a.dim[args->trans_a ? 0 : 1];
    if (args->trans_a)
        EXPECT(gemm, a, STORED, FV_DIM_ANY, m);
    else
        EXPECT(gemm, a, STORED, m, FV_DIM_ANY);
    if (args->trans_b)
        EXPECT_AS(gemm, b, a, n, k);
    else
        EXPECT_AS(gemm, b, a, k, n);
    EXPECT_IF(gemm, bias, STORED, n);
    *empty = m == 0 || n == 0;
    return FV_OK;
}

fv_err fv_check_colsum_args(const fv_colsum_args *args, int *empty)
{
    EXPECT(colsum, x, STORED, FV_DIM_ANY, FV_DIM_ANY);
    EXPECT(colsum, out, F32, args->x.dim[1]);
    *empty = args->x.dim[1] == 0;
    return FV_OK;
}

fv_err fv_check_sumsq_args(const fv_sumsq_args *args, int *empty)
{
    EXPECT(sumsq, x, F32, FV_DIM_ANY);
    EXPECT(sumsq, segments, I64, FV_DIM_ANY, 2);
    EXPECT(sumsq, out, F64, 1);
    FV_CHECK(args->segments.dim[0] <= FV_SUMSQ_SEGMENTS, FV_ERR_ARGUMENT,
             "sumsq: %lld segments, expected at most %d", (long long)args->segments.dim[0],
             FV_SUMSQ_SEGMENTS);
    *empty = 0;
    return FV_OK;
}

fv_err fv_check_clip_args(const fv_clip_args *args, int *empty)
{
    EXPECT(clip, sum, F64, 1);
    EXPECT(clip, scale, F32, 1);
    *empty = 0;
    return FV_OK;
}
