/* Of the program, as the library sees it. */
#ifndef FOVEA_KERNELS_CUDA_HOST_H
#define FOVEA_KERNELS_CUDA_HOST_H

#include "fovea/ops/cuda.h"

/* Before anything that can fail. */
void fv_cuda_host_set(const fv_cuda_host *with);

#endif
