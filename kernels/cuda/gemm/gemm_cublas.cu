/* Products by cuBLASLt, with neither split nor reordered sums. Descriptors live on the stack: they cost
 * nothing to make. */
#include "gemm_table.cuh"

fv_err fv_cuda_product_result(cublasStatus_t status, const char *what)
{
    if (status == CUBLAS_STATUS_SUCCESS)
        return FV_OK;
    return FV_FAIL(status == CUBLAS_STATUS_ALLOC_FAILED ? FV_ERR_MEMORY : FV_ERR_DEVICE, "cuBLAS: %s: %s",
                   what, cublasLtGetStatusString(status));
}

typedef struct description {
    cublasLtMatmulDescOpaque_t op;
    cublasLtMatrixLayoutOpaque_t layout[3]; /* b, a, c */
} description;

static cublasStatus_t describe_bias(const fv_cuda_product *p, cublasLtMatmulDesc_t op)
{
    cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    cudaDataType_t type = CUDA_R_16BF;
    cublasStatus_t status =
        cublasLtMatmulDescSetAttribute(op, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
    if (status == CUBLAS_STATUS_SUCCESS)
        status =
            cublasLtMatmulDescSetAttribute(op, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p->bias, sizeof p->bias);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmulDescSetAttribute(op, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &type, sizeof type);
    return status;
}

/* cuBLAS counts columns first: it is asked for the transposed result. */
static cublasStatus_t describe(const fv_cuda_product *p, description *d)
{
    cublasOperation_t first = p->trans_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                      second = p->trans_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    uint64_t b_rows = p->trans_b ? p->k : p->n, b_cols = p->trans_b ? p->n : p->k;
    uint64_t a_rows = p->trans_a ? p->m : p->k, a_cols = p->trans_a ? p->k : p->m;
    cublasStatus_t status[] = {
        cublasLtMatmulDescInit(&d->op, CUBLAS_COMPUTE_32F, CUDA_R_32F),
        cublasLtMatmulDescSetAttribute(&d->op, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first),
        cublasLtMatmulDescSetAttribute(&d->op, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second),
        p->bias ? describe_bias(p, &d->op) : CUBLAS_STATUS_SUCCESS,
        cublasLtMatrixLayoutInit(&d->layout[0], CUDA_R_16BF, b_rows, b_cols, p->b_row),
        cublasLtMatrixLayoutInit(&d->layout[1], CUDA_R_16BF, a_rows, a_cols, p->a_row),
        cublasLtMatrixLayoutInit(&d->layout[2], p->c_is_f32 ? CUDA_R_32F : CUDA_R_16BF, p->n, p->m,
                                 p->c_row)};
    for (size_t i = 0; i < sizeof status / sizeof *status; i++)
        if (status[i] != CUBLAS_STATUS_SUCCESS)
            return status[i];
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t wish_for(cublasLtMatmulPreferenceOpaque_t *wish, int in_order)
{
    static const cublasLtMatmulPreferenceAttributes_t alignment[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    uint32_t reductions = in_order ? CUBLASLT_REDUCTION_SCHEME_NONE : CUBLASLT_REDUCTION_SCHEME_MASK;
    uint32_t aligned = 16;
    size_t workspace = in_order ? 0 : FV_CUDA_SPLIT_BYTES;
    cublasStatus_t status = cublasLtMatmulPreferenceInit(wish);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                                      &reductions, sizeof reductions);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                      &workspace, sizeof workspace);
    for (int i = 0; i < 4 && status == CUBLAS_STATUS_SUCCESS; i++)
        status = cublasLtMatmulPreferenceSetAttribute(wish, alignment[i], &aligned, sizeof aligned);
    return status;
}

fv_err fv_cuda_product_candidates(fv_cuda_state *s, const fv_cuda_product *p, int in_order,
                                  cublasLtMatmulHeuristicResult_t *out, int most, int *n)
{
    description d;
    cublasLtMatmulPreferenceOpaque_t wish;
    cublasLtMatmulHeuristicResult_t found[32];
    int n_found = 0;
    FV_TRY(fv_cuda_product_result(describe(p, &d), "the description of a product"));
    FV_TRY(fv_cuda_product_result(wish_for(&wish, in_order), "cublasLtMatmulPreferenceSetAttribute"));
    FV_TRY(fv_cuda_product_result(cublasLtMatmulAlgoGetHeuristic(s->products, &d.op, &d.layout[0],
                                                                 &d.layout[1], &d.layout[2], &d.layout[2],
                                                                 &wish, 32, found, &n_found),
                                  "cublasLtMatmulAlgoGetHeuristic"));
    *n = 0;
    for (int i = 0; i < n_found && *n < most; i++) {
        int splits = 1;
        cublasLtMatmulAlgoConfigGetAttribute(&found[i].algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &splits,
                                             sizeof splits, nullptr);
        if (found[i].state == CUBLAS_STATUS_SUCCESS && (splits <= 1 || !in_order))
            out[(*n)++] = found[i];
    }
    return *n ? FV_OK : fv_cuda_product_result(CUBLAS_STATUS_NOT_SUPPORTED, "a product without split sums");
}

cublasStatus_t fv_cuda_product_run(fv_cuda_state *s, const fv_cuda_product *p,
                                   const cublasLtMatmulAlgo_t *algorithm)
{
    description d;
    float one = 1.0f, beta = p->accumulate ? 1.0f : 0.0f;
    cublasStatus_t status = describe(p, &d);
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    return cublasLtMatmul(s->products, &d.op, &one, p->b, &d.layout[0], p->a, &d.layout[1], &beta, p->c,
                          &d.layout[2], p->c, &d.layout[2], algorithm, s->table->split_room,
                          s->table->split_room ? FV_CUDA_SPLIT_BYTES : 0, s->stream[FV_STREAM_COMPUTE]);
}

fv_err fv_cuda_multiply(fv_backend *backend, const fv_cuda_product *p)
{
    fv_cuda_state *s = fv_cuda_state_of(backend);
    cublasLtMatmulAlgo_t algorithm;
    FV_TRY(fv_cuda_table_find(s, p, 0, &algorithm));
    cublasStatus_t status = fv_cuda_product_run(s, p, &algorithm);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE) {
        FV_TRY(fv_cuda_table_find(s, p, 1, &algorithm)); /* not every shape takes that of its class */
        status = fv_cuda_product_run(s, p, &algorithm);
    }
    return fv_cuda_product_result(status, "cublasLtMatmul");
}
