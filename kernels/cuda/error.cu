/* Failures, by name. A kernel that fails is told by whichever call asks next, so what was queued last is
 * kept; with FOVEA_CUDA_SYNC=1 every kernel is waited for, and named itself. */
#include "cuda.cuh"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of this process, one thread at a time. */
static struct {
    int is_read, is_exact; /* FOVEA_CUDA_SYNC */
    const char *plant;     /* FOVEA_CUDA_PLANT, until it is planted; NULL: nothing is to be */
    const char *kernel;    /* queued last, or the operation that begins; static */
    cudaStream_t stream;   /* of the operation that is being queued */
} now;

static void read_environment(void)
{
    const char *sync = getenv("FOVEA_CUDA_SYNC");
    now.is_read = 1;
    now.is_exact = sync && *sync && strcmp(sync, "0") != 0;
    now.plant = getenv("FOVEA_CUDA_PLANT");
}

/* A failure of earlier work; the others are of the call that tells them. */
static int is_late(cudaError_t code)
{
    switch (code) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorECCUncorrectable:
        return 1;
    default:
        return 0;
    }
}

/* what: a call as it is written, of which the name is told. */
fv_err fv_cuda_result(cudaError_t code, const char *what)
{
    if (code == cudaSuccess)
        return FV_OK;
    (void)cudaGetLastError(); /* it is told here, not again by the next call */
    int n = (int)strcspn(what, "(");
    if (code == cudaErrorMemoryAllocation)
        return FV_FAIL(FV_ERR_MEMORY, "CUDA: %.*s: %s", n, what, cudaGetErrorString(code));
    if (!is_late(code) || now.is_exact)
        return FV_FAIL(FV_ERR_DEVICE, "CUDA: %.*s: %s", n, what, cudaGetErrorString(code));
    return FV_FAIL(FV_ERR_DEVICE,
                   "CUDA: %.*s: %s, in %s or in what was queued before it; FOVEA_CUDA_SYNC=1 tells in which",
                   n, what, cudaGetErrorString(code), now.kernel ? now.kernel : "what was queued");
}

fv_err fv_cuda_memory_result(cudaError_t code, size_t bytes, const char *use)
{
    size_t free = 0, total = 0;
    int device = 0;
    if (code != cudaErrorMemoryAllocation)
        return fv_cuda_result(code, use);
    (void)cudaGetLastError();
    (void)cudaGetDevice(&device);
    (void)cudaMemGetInfo(&free, &total);
    return FV_FAIL(
        FV_ERR_MEMORY,
        "out of device memory: %.2f GiB were asked for %s, and device %d has %.2f of %.2f GiB free",
        (double)bytes / (1 << 30), use, device, (double)free / (1 << 30), (double)total / (1 << 30));
}

fv_err fv_cuda_launched(const char *kernel)
{
    cudaStreamCaptureStatus recording = cudaStreamCaptureStatusNone;
    cudaError_t code = cudaGetLastError();
    now.kernel = kernel;
    if (code == cudaSuccess && now.is_exact)
        code = cudaStreamIsCapturing(now.stream, &recording);
    if (code == cudaSuccess && now.is_exact && recording == cudaStreamCaptureStatusNone)
        code = cudaStreamSynchronize(now.stream);
    return fv_cuda_result(code, kernel);
}

/* Planted faults. */

__device__ volatile int never;

__global__ void hang_kernel(void)
{
    while (!never)
        __nanosleep(100000);
}

__global__ void fault_kernel(void)
{
    *(volatile int *)16 = 1;
}

static void plant(const char *operation)
{
    const char *name = strchr(now.plant, ':');
    if (!name || strcmp(name + 1, operation) != 0)
        return;
    if (strncmp(now.plant, "hang:", 5) == 0)
        hang_kernel<<<1, 1, 0, now.stream>>>();
    else
        fault_kernel<<<1, 1, 0, now.stream>>>();
    now.plant = nullptr;
}

int fv_cuda_is_exact(void)
{
    if (!now.is_read)
        read_environment();
    return now.is_exact;
}

void fv_cuda_begin(fv_backend *backend, const char *operation)
{
    (void)fv_cuda_is_exact();
    now.stream = fv_cuda_compute(backend);
    now.kernel = operation;
}

/* What cuBLAS launches has no call of fv_cuda_launched of its own. */
fv_err fv_cuda_end(fv_err err, const char *operation)
{
    if (err != FV_OK)
        return err;
    if (now.plant)
        plant(operation);
    return fv_cuda_launched(operation);
}
