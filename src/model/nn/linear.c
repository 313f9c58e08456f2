#include "block.h"

fv_err fv_linear(fv_backend *backend, fv_tensor x, fv_tensor w, fv_tensor bias, fv_tensor y)
{
    return fv_gemm(backend, &(fv_gemm_args){.a = x, .b = w, .bias = bias, .c = y, .trans_b = 1});
}

/* Every rank has a subtree of the sum; the bias comes after the whole. */
fv_err fv_shared_linear(fv_backend *backend, fv_comm *tensor, const fv_shared_linear_args *args)
{
    int is_whole = tensor->size == 1;
    fv_tensor part = args->part.data ? args->part : args->y;
    FV_TRY(fv_gemm(backend, &(fv_gemm_args){.a = args->x,
                                            .b = args->w,
                                            .bias = is_whole ? args->bias : (fv_tensor){0},
                                            .c = part,
                                            .trans_b = 1,
                                            .chunks = args->sum}));
    if (is_whole)
        return FV_OK;
    FV_TRY(fv_all_reduce(backend, &(fv_all_reduce_args){tensor, part}));
    return args->bias.data
               ? fv_add_bias(backend, &(fv_add_bias_args){.in = part, .bias = args->bias, .out = args->y})
               : fv_round(backend, part, args->y);
}

fv_err fv_take_rounded(fv_arena *arena, fv_tensor t, fv_dtype dtype, fv_tensor *out)
{
    *out = t;
    return t.dtype == dtype ? FV_OK : fv_tensor_take(arena, dtype, t.n_dims, t.dim, out);
}

fv_err fv_round(fv_backend *backend, fv_tensor t, fv_tensor out)
{
    return t.dtype == out.dtype ? FV_OK : fv_cast(backend, &(fv_cast_args){.in = t, .out = out});
}

fv_err fv_linear_grad(fv_backend *backend, const fv_linear_grad_args *args)
{
    if (args->dx.data)
        FV_TRY(fv_gemm(
            backend,
            &(fv_gemm_args){.a = args->dy, .b = args->w, .c = args->dx, .accumulate = args->accumulate}));
    FV_TRY(fv_gemm(
        backend, &(fv_gemm_args){.a = args->dy, .b = args->x, .c = args->dw, .trans_a = 1, .accumulate = 1}));
    if (args->dbias.data)
        FV_TRY(fv_colsum(backend, &(fv_colsum_args){.x = args->dy, .out = args->dbias, .accumulate = 1}));
    return FV_OK;
}
