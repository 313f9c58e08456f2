/* In the place of the library for GPUs: one device, which no back end comes up on. DEVICE_FAULT tells why:
 * "full", "old" or "broken". */
#include "fovea/ops/cuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t fv_cuda_contract_of_library(void)
{
    return fv_cuda_contract();
}

int fv_cuda_describe(char *text, size_t size)
{
    snprintf(text, size, "CUDA runtime of a test\ndevice 0: none\n");
    return 1;
}

fv_err fv_cuda_backend_create(const fv_cuda_host *host, int device, fv_backend **out)
{
    static const struct {
        const char *name;
        fv_err err;
    } faults[] = {{"full", FV_ERR_MEMORY}, {"old", FV_ERR_UNSUPPORTED}, {"broken", FV_ERR_DEVICE}};
    const char *name = getenv("DEVICE_FAULT");
    size_t i = 0;
    while (name && i < 2 && strcmp(name, faults[i].name) != 0)
        i++;
    *out = NULL;
    host->error_set(__func__, "device %d is %s", device, faults[i].name);
    return faults[i].err;
}
