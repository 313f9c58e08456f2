/* The table of cuBLAS's algorithms: gemm_table.cu fills it, gemm_table_file.cu keeps it on disk. */
#ifndef FOVEA_KERNELS_CUDA_GEMM_TABLE_CUH
#define FOVEA_KERNELS_CUDA_GEMM_TABLE_CUH

#include "gemm.cuh"

enum { FV_CUDA_CLASSES = 4096, FV_CUDA_SPLIT_BYTES = 64 << 20 /* of split_room, for cuBLAS */ };

/* Products that take one algorithm. n 0: none. Written to disk as it is. */
typedef struct fv_cuda_class {
    int64_t m, n, k, form;
} fv_cuda_class;
typedef struct fv_cuda_algorithm {
    fv_cuda_class of;
    cublasLtMatmulAlgo_t it;
} fv_cuda_algorithm;

typedef struct fv_cuda_any_order fv_cuda_any_order; /* gemm_any_order.cu */

/* A hash table; a class that finds no room takes that of another. */
struct fv_cuda_table {
    int n_new;                    /* since it was read */
    cudaEvent_t start, end;       /* of a run that is measured */
    char *scratch;                /* owned, of measurements, on the device */
    fv_cuda_any_order *any_order; /* owned; NULL, but where FOVEA_CUDA_ANY_ORDER is set */
    void *split_room;             /* owned, for cuBLAS; NULL with it */
    fv_cuda_algorithm algorithm[FV_CUDA_CLASSES];
};

fv_err fv_cuda_any_order_open(fv_cuda_table *t);
void fv_cuda_any_order_close(fv_cuda_table *t);

/* is_alone: of one shape, that of p. */
fv_cuda_class fv_cuda_class_of(const fv_cuda_product *p, int is_alone);
uint64_t fv_cuda_hash(const void *data, size_t size); /* FNV-1a */
void fv_cuda_table_put(fv_cuda_table *t, const fv_cuda_algorithm *a);

/* The algorithm of a product's class, or, where that cannot do it, its own (is_alone). One that is not in the
 * table is chosen now, by running the product: FV_ERR_INTERNAL while a graph is recorded. */
fv_err fv_cuda_table_find(fv_cuda_state *s, const fv_cuda_product *p, int is_alone,
                          cublasLtMatmulAlgo_t *out);

/* What cuBLAS offers, best first, if in_order without split sums: at least one of at most `most`. */
fv_err fv_cuda_product_candidates(fv_cuda_state *s, const fv_cuda_product *p, int in_order,
                                  cublasLtMatmulHeuristicResult_t *out, int most, int *n);
/* Queue it by an algorithm; FV_OK's code if that can. */
cublasStatus_t fv_cuda_product_run(fv_cuda_state *s, const fv_cuda_product *p,
                                   const cublasLtMatmulAlgo_t *algorithm);

/* Fill t with what was measured on this device, with this driver and this cuBLAS; write what is new. A file
 * that is not there, broken or of others is no failure, nor one that cannot be written. */
void fv_cuda_table_read(fv_cuda_table *t, int device);
void fv_cuda_table_write(fv_cuda_table *t, int device);

#endif
