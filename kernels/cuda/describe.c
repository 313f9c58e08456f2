#include "fovea/ops/cuda.h"

#include <cuda_runtime_api.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void append(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void append(char *text, size_t size, const char *format, ...)
{
    size_t used = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + used, size - used, format, args);
    va_end(args);
}

static void append_device(int device, char *text, size_t size)
{
    struct cudaDeviceProp it;
    cudaError_t code = cudaGetDeviceProperties(&it, device);
    if (code != cudaSuccess) {
        append(text, size, "device %d: %s\n", device, cudaGetErrorString(code));
        return;
    }
    append(text, size, "device %d: %s, %.1f GiB, compute capability %d.%d, %d multiprocessors\n", device,
           it.name, (double)it.totalGlobalMem / (1 << 30), it.major, it.minor, it.multiProcessorCount);
}

int fv_cuda_describe(char *text, size_t size)
{
    int version = 0, count = 0;
    text[0] = '\0';
    cudaError_t code = cudaRuntimeGetVersion(&version);
    if (code == cudaSuccess)
        code = cudaGetDeviceCount(&count);
    if (code != cudaSuccess) {
        append(text, size, "%s", cudaGetErrorString(code));
        return -1;
    }
    append(text, size, "CUDA runtime %d.%d\n", version / 1000, version % 1000 / 10);
    for (int device = 0; device < count; device++)
        append_device(device, text, size);
    return count;
}
