/* Pinned host memory, aligned to FV_HOST_ALIGN. */
#ifndef FOVEA_KERNELS_CUDA_PINNED_H
#define FOVEA_KERNELS_CUDA_PINNED_H

#include <cuda_runtime_api.h>
#include <stddef.h>

cudaError_t fv_cuda_pin(size_t bytes, void **out);
void fv_cuda_unpin(void *memory);

#endif
