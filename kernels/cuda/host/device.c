/* The devices of this process: what they are, and whether this library can use them. */
#include "host/host.h"

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LEAST_CAPABILITY = 80 }; /* BF16 products: the code is for sm_80 and later */

uint64_t fv_cuda_contract_of_library(void)
{
    return fv_cuda_contract();
}

static void append(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void append(char *text, size_t size, const char *format, ...)
{
    size_t used = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + used, size - used, format, args);
    va_end(args);
}

/* Why there is no device, and what to do. */
static void append_reason(cudaError_t code, char *text, size_t size)
{
    int driver = 0;
    const int built = CUDART_VERSION;
    (void)cudaDriverGetVersion(&driver);
    if (code == cudaErrorInsufficientDriver && driver == 0)
        append(text, size, "there is no CUDA driver: install NVIDIA's for the GPU (libcuda.so.1)");
    else if (code == cudaErrorInsufficientDriver)
        append(
            text, size,
            "the driver is for CUDA %d.%d, and the library was built with %d.%d: install a newer driver, or "
            "build fovea with a toolkit of at most %d.%d",
            driver / 1000, driver % 1000 / 10, built / 1000, built % 1000 / 10, driver / 1000,
            driver % 1000 / 10);
    else if (code == cudaErrorNoDevice)
        append(text, size,
               "the driver shows no device: ask the scheduler for one (--gres=gpu:1), and see "
               "CUDA_VISIBLE_DEVICES");
    else
        append(text, size, "the devices do not answer: %s (nvidia-smi tells more)", cudaGetErrorString(code));
}

static void append_device(int device, char *text, size_t size)
{
    struct cudaDeviceProp it;
    size_t free = 0, total = 0;
    cudaError_t code = cudaGetDeviceProperties(&it, device);
    if (code == cudaSuccess)
        code = cudaSetDevice(device);
    if (code == cudaSuccess)
        code = cudaMemGetInfo(&free, &total);
    if (code != cudaSuccess) {
        append(text, size, "device %d: it does not answer: %s\n", device, cudaGetErrorString(code));
        return;
    }
    append(text, size, "device %d: %s, %.1f GiB free of %.1f, compute capability %d.%d, %d multiprocessors\n",
           device, it.name, (double)free / (1 << 30), (double)total / (1 << 30), it.major, it.minor,
           it.multiProcessorCount);
}

int fv_cuda_describe(char *text, size_t size)
{
    int version = 0, count = 0;
    size_t products = cublasLtGetVersion();
    text[0] = '\0';
    cudaError_t code = cudaRuntimeGetVersion(&version);
    if (code == cudaSuccess)
        code = cudaGetDeviceCount(&count);
    if (code != cudaSuccess) {
        append_reason(code, text, size);
        return -1;
    }
    append(text, size, "CUDA runtime %d.%d, cuBLAS %zu.%zu.%zu\n", version / 1000, version % 1000 / 10,
           products / 10000, products % 10000 / 100, products % 100);
    for (int device = 0; device < count; device++)
        append_device(device, text, size);
    return count;
}

fv_err fv_cuda_check_device(int device)
{
    int count = 0;
    char reason[512] = "";
    struct cudaDeviceProp it;
    cudaError_t code = cudaGetDeviceCount(&count);
    if (code != cudaSuccess)
        append_reason(code, reason, sizeof reason);
    FV_CHECK(code == cudaSuccess, FV_ERR_UNSUPPORTED, "the back end cuda: %s", reason);
    FV_CHECK(device < count, FV_ERR_UNSUPPORTED,
             "the back end cuda: there is no device %d, the driver shows %d", device, count);
    code = cudaGetDeviceProperties(&it, device);
    FV_CHECK(code == cudaSuccess, FV_ERR_DEVICE, "device %d does not answer: %s (nvidia-smi tells more)",
             device, cudaGetErrorString(code));
    FV_CHECK(10 * it.major + it.minor >= LEAST_CAPABILITY, FV_ERR_UNSUPPORTED,
             "device %d, %s, has compute capability %d.%d, and the back end cuda needs 8.0 (A100) or more: "
             "compute on another device, or on the cpu",
             device, it.name, it.major, it.minor);
    return FV_OK;
}
