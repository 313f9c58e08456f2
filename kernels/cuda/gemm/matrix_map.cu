#include "launch.cuh"

#include <cudaTypedefs.h>

fv_err fv_cuda_matrix_map(CUtensorMap *map, const bf16 *data, int64_t rows, int64_t columns, int64_t stride,
                          int box_rows)
{
    static PFN_cuTensorMapEncodeTiled_v12000 encode;
    if (!encode) {
        cudaDriverEntryPointQueryResult found;
        FV_CUDA(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", (void **)&encode, 12000,
                                                 cudaEnableDefault, &found));
    }
    cuuint64_t dims[2] = {(cuuint64_t)columns, (cuuint64_t)rows},
               apart[1] = {(cuuint64_t)stride * sizeof(bf16)};
    cuuint32_t box[2] = {64, (cuuint32_t)box_rows}, steps[2] = {1, 1};
    CUresult result = encode(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, (void *)data, dims, apart, box, steps,
                             CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    FV_CHECK(result == CUDA_SUCCESS, FV_ERR_DEVICE, "gemm: the driver refuses the map of a matrix: error %d",
             (int)result);
    return FV_OK;
}
