/* Pinned host memory. */
#ifndef FOVEA_KERNELS_CUDA_PINNED_H
#define FOVEA_KERNELS_CUDA_PINNED_H

#include <cuda_runtime_api.h>
#include <stddef.h>

/* bytes (0 is fine), aligned to FV_HOST_ALIGN, of any content, until fv_cuda_unpin.
 * cudaErrorMemoryAllocation: the host has none; on every failure *out is NULL. */
cudaError_t fv_cuda_pin(size_t bytes, void **out);
void fv_cuda_unpin(void *memory); /* NULL is fine */

#endif
