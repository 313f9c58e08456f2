/* The workspace: memory for the operation that is being queued, in one range of addresses.
 *
 * The range is as wide as the memory of the device, and has memory behind it as far as any operation has
 * asked so far. So it grows in place: what is queued goes on with the addresses that it has, nothing waits
 * for it, and what recorded graphs name stays right. (Plain memory would move: it can be freed only when all
 * that is queued has run, and every graph must be recorded anew.) */
#include "cuda.cuh"

#include <cudaTypedefs.h>

/* Functions of the driver, and the version of CUDA that has them so. */
#define DRIVER_LIST(X)                      \
    X(cuDeviceGetAttribute, 2000)           \
    X(cuMemGetAllocationGranularity, 10020) \
    X(cuMemAddressReserve, 10020)           \
    X(cuMemAddressFree, 10020)              \
    X(cuMemCreate, 10020)                   \
    X(cuMemRelease, 10020)                  \
    X(cuMemMap, 10020)                      \
    X(cuMemSetAccess, 10020)                \
    X(cuMemUnmap, 10020)

static struct {
#define X(name, version) PFN_##name##_v##version name;
    DRIVER_LIST(X)
#undef X
} driver;

static fv_err find(const char *name, unsigned version, void **out)
{
    cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
    FV_CUDA(cudaGetDriverEntryPointByVersion(name, out, version, cudaEnableDefault, &found));
    FV_CHECK(found == cudaDriverEntryPointSuccess, FV_ERR_UNSUPPORTED,
             "the CUDA driver has no %s: install a newer one", name);
    return FV_OK;
}

static fv_err find_driver(void)
{
#define X(name, version) FV_TRY(find(#name, version, (void **)&driver.name));
    DRIVER_LIST(X)
#undef X
    return FV_OK;
}

/* Codes of the driver are those of the runtime. */
static cudaError_t code_of(CUresult result)
{
    return (cudaError_t)result;
}

static CUmemAllocationProp memory_of(int device)
{
    CUmemAllocationProp memory = {};
    memory.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    memory.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    memory.location.id = device;
    return memory;
}

fv_err fv_cuda_workspace_open(fv_cuda_state *s, size_t device_bytes)
{
    fv_cuda_range *w = &s->workspace;
    CUmemAllocationProp memory = memory_of(s->device);
    int can = 0;
    FV_TRY(find_driver());
    FV_TRY(fv_cuda_result(code_of(driver.cuDeviceGetAttribute(
                              &can, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, s->device)),
                          "cuDeviceGetAttribute"));
    FV_CHECK(can, FV_ERR_UNSUPPORTED,
             "device %d has no virtual memory management, which the back end cuda needs: compute on another "
             "device, or on the cpu",
             s->device);
    FV_TRY(fv_cuda_result(code_of(driver.cuMemGetAllocationGranularity(&w->page, &memory,
                                                                       CU_MEM_ALLOC_GRANULARITY_RECOMMENDED)),
                          "cuMemGetAllocationGranularity"));
    w->wide = (device_bytes / w->page + 1) * w->page;
    return fv_cuda_result(code_of(driver.cuMemAddressReserve(&w->first, w->wide, 0, 0, 0)),
                          "cuMemAddressReserve");
}

void fv_cuda_workspace_close(fv_cuda_state *s)
{
    fv_cuda_range *w = &s->workspace;
    if (w->backed) {
        (void)cudaDeviceSynchronize(); /* what is queued may use it */
        (void)driver.cuMemUnmap(w->first, w->backed);
    }
    if (w->first)
        (void)driver.cuMemAddressFree(w->first, w->wide);
}

/* Memory behind the addresses that have none, up to `bytes` at least. */
static fv_err grow(fv_cuda_state *s, size_t bytes)
{
    fv_cuda_range *w = &s->workspace;
    const CUmemAllocationProp memory = memory_of(s->device);
    const CUmemAccessDesc access = {memory.location, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    CUmemGenericAllocationHandle it;
    CUdeviceptr end = w->first + w->backed;
    size_t more = (bytes - w->backed + w->page - 1) / w->page * w->page;
    FV_TRY(fv_cuda_memory_result(code_of(driver.cuMemCreate(&it, more, &memory, 0)), more,
                                 "as the workspace of an operation"));
    CUresult result = driver.cuMemMap(end, more, 0, it, 0);
    (void)driver.cuMemRelease(it); /* what is mapped stays */
    FV_TRY(fv_cuda_result(code_of(result), "cuMemMap"));
    result = driver.cuMemSetAccess(end, more, &access, 1);
    if (result == CUDA_SUCCESS)
        w->backed += more;
    else
        (void)driver.cuMemUnmap(end, more);
    return fv_cuda_result(code_of(result), "cuMemSetAccess");
}

fv_err fv_cuda_workspace(fv_backend *backend, size_t bytes, void **out)
{
    fv_cuda_state *s = fv_cuda_state_of(backend);
    if (bytes > s->workspace.backed) {
        FV_CHECK(
            !s->is_recording, FV_ERR_INTERNAL,
            "an operation of a graph needs a workspace of %zu bytes, and %zu are there: what its first run "
            "did is not what it does now",
            bytes, s->workspace.backed);
        FV_TRY(grow(s, bytes));
    }
    *out = (void *)s->workspace.first;
    return FV_OK;
}
