/* Products by cuBLASLt, with neither split nor reordered sums: then every one of its algorithms gives an
 * element as one chain of k16 steps, the same bits for any number of rows and any slice of columns (measured
 * on H100 and H200). So the algorithm of a shape is whichever cuBLAS thinks best; it is asked for once. */
#include "gemm.cuh"

fv_err fv_cuda_product_result(cublasStatus_t status, const char *what)
{
    return status == CUBLAS_STATUS_SUCCESS
               ? FV_OK
               : FV_FAIL(FV_ERR_DEVICE, "cuBLAS: %s: %s", what, cublasLtGetStatusString(status));
}

static cublasStatus_t plan_find(fv_cuda_state *s, fv_cuda_plan *plan, cublasLtMatmulDesc_t op,
                                const cublasLtMatrixLayout_t layout[3])
{
    cublasLtMatmulPreference_t wish = nullptr;
    cublasStatus_t status = cublasLtMatmulPreferenceCreate(&wish);
    uint32_t no_reduction = CUBLASLT_REDUCTION_SCHEME_NONE;
    size_t no_workspace = 0;
    cublasLtMatmulHeuristicResult_t found[16];
    int n = 0;
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                                      &no_reduction, sizeof no_reduction);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                      &no_workspace, sizeof no_workspace);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmulAlgoGetHeuristic(s->products, op, layout[0], layout[1], layout[2], layout[2],
                                                wish, 16, found, &n);
    cublasLtMatmulPreferenceDestroy(wish);
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    for (int i = 0; i < n; i++) {
        int splits = 1;
        cublasLtMatmulAlgoConfigGetAttribute(&found[i].algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &splits,
                                             sizeof splits, nullptr);
        if (found[i].state == CUBLAS_STATUS_SUCCESS && splits <= 1) {
            plan->algorithm = found[i].algo;
            return CUBLAS_STATUS_SUCCESS;
        }
    }
    return CUBLAS_STATUS_NOT_SUPPORTED;
}

static fv_err plan_of(fv_cuda_state *s, const fv_cuda_plan_key *key, cublasLtMatmulDesc_t op,
                      const cublasLtMatrixLayout_t layout[3], fv_cuda_plan **out)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < sizeof *key; i++)
        h = (h ^ ((const uint8_t *)key)[i]) * 0x100000001b3u;
    for (int probe = 0; probe < FV_CUDA_PLANS; probe++) {
        fv_cuda_plan *plan = &s->plans[(h + probe) % FV_CUDA_PLANS];
        if (plan->is_there && memcmp(&plan->key, key, sizeof *key) == 0) {
            *out = plan;
            return FV_OK;
        }
        if (!plan->is_there) {
            FV_TRY(fv_cuda_product_result(plan_find(s, plan, op, layout), "cublasLtMatmulAlgoGetHeuristic"));
            plan->key = *key;
            plan->is_there = 1;
            *out = plan;
            return FV_OK;
        }
    }
    return FV_FAIL(FV_ERR_INTERNAL, "gemm: more than %d shapes of products", FV_CUDA_PLANS);
}

/* cuBLAS counts columns first: it is asked for the transposed result. */
static fv_err describe(const fv_cuda_product *p, cublasLtMatmulDesc_t *op, cublasLtMatrixLayout_t layout[3])
{
    cublasOperation_t first = p->trans_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                      second = p->trans_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    cudaDataType_t result = p->c_is_f32 ? CUDA_R_32F : CUDA_R_16BF;
    FV_TRY(fv_cuda_product_result(cublasLtMatmulDescCreate(op, CUBLAS_COMPUTE_32F, CUDA_R_32F),
                                  "cublasLtMatmulDescCreate"));
    cublasLtMatmulDescSetAttribute(*op, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first);
    cublasLtMatmulDescSetAttribute(*op, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second);
    if (p->bias) {
        cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
        cudaDataType_t type = CUDA_R_16BF;
        cublasLtMatmulDescSetAttribute(*op, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
        cublasLtMatmulDescSetAttribute(*op, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p->bias, sizeof p->bias);
        cublasLtMatmulDescSetAttribute(*op, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &type, sizeof type);
    }
    uint64_t b_rows = p->trans_b ? p->k : p->n, b_cols = p->trans_b ? p->n : p->k;
    uint64_t a_rows = p->trans_a ? p->m : p->k, a_cols = p->trans_a ? p->k : p->m;
    FV_TRY(
        fv_cuda_product_result(cublasLtMatrixLayoutCreate(&layout[0], CUDA_R_16BF, b_rows, b_cols, p->b_row),
                               "cublasLtMatrixLayoutCreate"));
    FV_TRY(
        fv_cuda_product_result(cublasLtMatrixLayoutCreate(&layout[1], CUDA_R_16BF, a_rows, a_cols, p->a_row),
                               "cublasLtMatrixLayoutCreate"));
    return fv_cuda_product_result(cublasLtMatrixLayoutCreate(&layout[2], result, p->n, p->m, p->c_row),
                                  "cublasLtMatrixLayoutCreate");
}

static fv_err run(fv_backend *backend, const fv_cuda_product *p, cublasLtMatmulDesc_t op,
                  const cublasLtMatrixLayout_t layout[3])
{
    fv_cuda_state *s = fv_cuda_state_of(backend);
    fv_cuda_plan_key key;
    memset(&key, 0, sizeof key);
    key.m = p->m, key.n = p->n, key.k = p->k, key.a_row = p->a_row, key.b_row = p->b_row,
    key.c_row = p->c_row;
    key.form =
        p->trans_a | p->trans_b << 1 | p->c_is_f32 << 2 | (p->bias != nullptr) << 3 | p->accumulate << 4;
    fv_cuda_plan *plan = nullptr;
    FV_TRY(plan_of(s, &key, op, layout, &plan));
    float one = 1.0f, beta = p->accumulate ? 1.0f : 0.0f;
    return fv_cuda_product_result(cublasLtMatmul(s->products, op, &one, p->b, layout[0], p->a, layout[1],
                                                 &beta, p->c, layout[2], p->c, layout[2], &plan->algorithm,
                                                 nullptr, 0, s->stream[FV_STREAM_COMPUTE]),
                                  "cublasLtMatmul");
}

fv_err fv_cuda_multiply(fv_backend *backend, const fv_cuda_product *p)
{
    cublasLtMatmulDesc_t op = nullptr;
    cublasLtMatrixLayout_t layout[3] = {};
    fv_err err = describe(p, &op, layout);
    if (err == FV_OK)
        err = run(backend, p, op, layout);
    for (int i = 0; i < 3; i++)
        if (layout[i])
            cublasLtMatrixLayoutDestroy(layout[i]);
    if (op)
        cublasLtMatmulDescDestroy(op);
    return err;
}
