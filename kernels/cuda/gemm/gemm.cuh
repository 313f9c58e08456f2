/* The parts of a product: cuBLASLt and its plans (gemm.cu), the chunk tree in one kernel (gemm_tree.cu). */
#ifndef FOVEA_KERNELS_CUDA_GEMM_CUH
#define FOVEA_KERNELS_CUDA_GEMM_CUH

#include "cuda.cuh"

#include <string.h>

/* A bias of either dtype, or none. */
typedef struct fv_cuda_bias {
    const void *data;
    int is_f32;
} fv_cuda_bias;

static inline fv_cuda_bias fv_cuda_bias_of(fv_tensor t)
{
    fv_cuda_bias bias = {t.data, t.dtype == FV_F32};
    return bias;
}

static __device__ __forceinline__ float fv_cuda_bias_at(fv_cuda_bias bias, int64_t column)
{
    if (!bias.data)
        return 0.0f;
    return bias.is_f32 ? ((const float *)bias.data)[column] : widen(((const bf16 *)bias.data)[column]);
}

/* c (m, n) = [c +] op(a) op(b) [+ bias], rows that many elements apart; all fit for cuBLAS. */
typedef struct fv_cuda_product {
    int64_t m, n, k;
    const bf16 *a, *b;
    void *c;
    const bf16 *bias;
    int64_t a_row, b_row, c_row;
    int trans_a, trans_b, c_is_f32, accumulate;
} fv_cuda_product;

fv_err fv_cuda_multiply(fv_backend *backend, const fv_cuda_product *product);
fv_err fv_cuda_product_result(cublasStatus_t status, const char *what);

/* 1 if gemm_tree.cu can compute it on this device. */
int fv_cuda_tree_fits(fv_backend *backend, const fv_gemm_args *args);
fv_err fv_cuda_tree(fv_backend *backend, const fv_gemm_args *args);

#endif
