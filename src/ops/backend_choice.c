#include "fovea/ops/backend_choice.h"

#include "fovea/ops/cuda.h"

const char *const fv_backend_kind_names[] = {"cpu", "cuda", NULL};

fv_err fv_backend_create(const fv_backend_args *args, fv_backend **out)
{
    return args->kind == FV_BACKEND_CUDA ? fv_backend_cuda_create(args->device, out)
                                         : fv_backend_cpu_create(args->isa, args->n_threads, out);
}
