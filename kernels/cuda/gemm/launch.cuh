/* Launches with clusters, and before the kernel ahead has ended; maps of matrices for the copy engine. */
#ifndef FOVEA_KERNELS_CUDA_LAUNCH_CUH
#define FOVEA_KERNELS_CUDA_LAUNCH_CUH

#include "cuda.cuh"

#include <cuda.h>

/* is_chained: the kernel may start before the one ahead of it has ended, and waits for it itself. */
typedef struct fv_cuda_launch {
    int grid, threads, bytes, cluster, is_chained;
    cudaStream_t stream;
} fv_cuda_launch;

template <typename... P, typename... A>
static fv_err fv_cuda_start(const fv_cuda_launch &how, void (*kernel)(P...), const A &...args)
{
    cudaLaunchAttribute attribute[2] = {};
    cudaLaunchConfig_t config = {};
    config.gridDim = how.grid;
    config.blockDim = how.threads;
    config.dynamicSmemBytes = how.bytes;
    config.stream = how.stream;
    config.attrs = attribute;
    if (how.cluster > 1) {
        cudaLaunchAttribute *a = &attribute[config.numAttrs++];
        a->id = cudaLaunchAttributeClusterDimension;
        a->val.clusterDim.x = how.cluster;
        a->val.clusterDim.y = a->val.clusterDim.z = 1;
    }
    if (how.is_chained) {
        cudaLaunchAttribute *a = &attribute[config.numAttrs++];
        a->id = cudaLaunchAttributeProgrammaticStreamSerialization;
        a->val.programmaticStreamSerializationAllowed = 1;
    }
    FV_CUDA(cudaLaunchKernelEx(&config, kernel, args...));
    return fv_cuda_launched("gemm");
}

/* Of a matrix (rows, columns) in tiles of box_rows rows and 64 columns, which are swizzled in units of 16
 * bytes, with zeros outside. */
fv_err fv_cuda_matrix_map(CUtensorMap *map, const bf16 *data, int64_t rows, int64_t columns, int64_t stride,
                          int box_rows);

#endif
