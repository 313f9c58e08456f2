/* The parts of a product: which way it goes (gemm.cu); few rows (gemm_skinny.cu); chunks of k in one kernel
 * (gemm_tree.cu); cuBLASLt (gemm_cublas.cu) and the table of its algorithms (gemm_table.cu). All ways give an
 * element the same bits, but where FOVEA_CUDA_ANY_ORDER is set (gemm_any_order.cu). */
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

/* The table of algorithms of a device, with what is on disk of it; NULL is fine to close. */
fv_err fv_cuda_table_open(int device, fv_cuda_table **out);
void fv_cuda_table_close(fv_cuda_table *table, int device);

/* Whether products need not keep the same bits: FOVEA_CUDA_ANY_ORDER (gemm_any_order.cu). Then args, which is
 * p if k is one sum, by the fastest of in_order and all that cuBLAS offers. */
int fv_cuda_is_any_order(fv_backend *backend);
typedef fv_err (*fv_cuda_in_order)(fv_backend *, const fv_gemm_args *);
fv_err fv_cuda_any_order_multiply(fv_backend *backend, const fv_gemm_args *args, const fv_cuda_product *p,
                                  fv_cuda_in_order in_order);

fv_err fv_cuda_multiply(fv_backend *backend, const fv_cuda_product *product);
fv_err fv_cuda_product_result(cublasStatus_t status, const char *what);

/* The same as a plain loop, for comparison. */
fv_err fv_cuda_chain(cudaStream_t stream, const fv_cuda_product *product);

/* A result (m, n), of F32 or BF16; is_aligned: units of its rows may be stored at once. */
typedef struct fv_cuda_out {
    void *data;
    int64_t row;
    int m, n, is_f32, is_aligned;
    fv_cuda_bias bias;
} fv_cuda_out;

/* out = a (m, k) b (n, k)^T + bias, with k in n_chunks equal ones of whole k16 steps, whose sums are added in
 * the balanced tree. Rows of a and b begin at multiples of 16 bytes. */
typedef struct fv_cuda_dots {
    const bf16 *a, *b;
    int64_t a_row, b_row;
    int k, n_chunks;
    fv_cuda_out out;
    int has_new_b; /* b is made by the kernel ahead, and may not be read before that has ended */
} fv_cuda_dots;

/* Whether it has so few rows that gemm_skinny.cu computes it best; whether gemm_tree.cu can. */
int fv_cuda_skinny_fits(fv_backend *backend, const fv_cuda_dots *dots);
fv_err fv_cuda_skinny(fv_backend *backend, const fv_cuda_dots *dots);
int fv_cuda_tree_fits(fv_backend *backend, const fv_cuda_dots *dots);
fv_err fv_cuda_tree(fv_backend *backend, const fv_cuda_dots *dots);

#endif
