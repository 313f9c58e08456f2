/* Checks of the arguments of products and sums over rows. */
#include "args_check.h"

static int is_power(int n)
{
    return n >= 1 && n <= FV_MAX_CHUNKS && (n & (n - 1)) == 0;
}

static fv_err expect_chunks(const fv_gemm_args *args, int64_t k)
{
    fv_chunks c = args->chunks;
    if (c.n == 0)
        return FV_OK;
    FV_CHECK(is_power(c.n) && is_power(c.of) && c.first >= 0 && c.first % c.n == 0 && c.first + c.n <= c.of,
             FV_ERR_ARGUMENT, "gemm: chunks %d to %d of %d, expected 1, 2, 4 or 8 of 1, 2, 4 or 8", c.first,
             c.first + c.n - 1, c.of);
    FV_CHECK(fv_chunks_end(c, c.n - 1) == k, FV_ERR_SHAPE,
             "gemm: k is %lld, expected %lld: chunks %d to %d of %d of %lld", (long long)k,
             (long long)fv_chunks_end(c, c.n - 1), c.first, c.first + c.n - 1, c.of, (long long)c.whole);
    FV_CHECK(!args->accumulate, FV_ERR_ARGUMENT, "gemm: a sum in chunks is not accumulated");
    return FV_OK;
}

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
    FV_TRY(expect_chunks(args, k));
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
