/* Of the program, as the library sees it; and what the library's C files give each other. */
#ifndef FOVEA_KERNELS_CUDA_HOST_H
#define FOVEA_KERNELS_CUDA_HOST_H

#include "fovea/ops/cuda.h"

/* Before anything that can fail. */
void fv_cuda_host_set(const fv_cuda_host *with);

/* FV_ERR_UNSUPPORTED: why this library cannot use the device, and what to do. */
fv_err fv_cuda_check_device(int device);

#endif
