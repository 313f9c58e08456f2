#include "block.h"

fv_err fv_linear(fv_backend *backend, fv_tensor x, fv_tensor w, fv_tensor bias, fv_tensor y)
{
    return fv_gemm(backend, &(fv_gemm_args){.a = x, .b = w, .bias = bias, .c = y, .trans_b = 1});
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
