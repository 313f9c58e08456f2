#include "fovea/ops/backend_choice.h"

#include "fovea/base/log.h"
#include "fovea/ops/cuda.h"

const char *const fv_backend_kind_names[] = {"auto", "cpu", "cuda", NULL};

static fv_err create(const fv_backend_args *args, fv_backend_kind kind, fv_backend **out)
{
    return kind == FV_BACKEND_CUDA ? fv_backend_cuda_create(args->device, out)
                                   : fv_backend_cpu_create(args->isa, args->n_threads, out);
}

static fv_err create_cpu(const fv_backend_args *args, const char *why, fv_backend **out)
{
    FV_LOG_ROOT(INFO, "computing on the cpu: %s", why);
    return create(args, FV_BACKEND_CPU, out);
}

/* What is not there is no failure; what is there and does not work is one. */
static fv_err choose(const fv_backend_args *args, fv_backend_kind *taken, fv_backend **out)
{
    *taken = FV_BACKEND_CPU;
    if (args->against)
        return create_cpu(args, args->against, out);
    fv_err err = create(args, FV_BACKEND_CUDA, out);
    if (err == FV_ERR_UNSUPPORTED)
        return create_cpu(args, fv_error_text(), out);
    if (err != FV_OK)
        return fv_error_prefix(err, "a GPU is here but does not work (backend=cpu does without it)");
    *taken = FV_BACKEND_CUDA;
    FV_LOG_ROOT(INFO, "computing on cuda: device %d and its library are here", args->device);
    return FV_OK;
}

fv_err fv_backend_create(const fv_backend_args *args, fv_backend_kind *taken, fv_backend **out)
{
    *out = NULL;
    if (args->kind == FV_BACKEND_AUTO)
        return choose(args, taken, out);
    *taken = args->kind;
    return create(args, args->kind, out);
}
