#include "comm/pmix.h"

#include "fovea/comm/comm.h"

#ifdef FOVEA_PMIX
#    include <dlfcn.h>
#    include <pmix.h>
#    include <stdlib.h>
#    include <string.h>

/* The library that MPI has loaded, and no other: a second one would be a second client. */
typedef struct pmix_library {
    void *handle;
    __typeof__(&PMIx_Init) init;
    __typeof__(&PMIx_Fence) fence;
    __typeof__(&PMIx_Finalize) finalize;
} pmix_library;

static int find_library(pmix_library *out)
{
    *out = (pmix_library){.handle = dlopen("libpmix.so.2", RTLD_NOW | RTLD_NOLOAD)};
    if (!out->handle)
        return 0;
    out->init = (__typeof__(&PMIx_Init))dlsym(out->handle, "PMIx_Init");
    out->fence = (__typeof__(&PMIx_Fence))dlsym(out->handle, "PMIx_Fence");
    out->finalize = (__typeof__(&PMIx_Finalize))dlsym(out->handle, "PMIx_Finalize");
    return out->init && out->fence && out->finalize;
}

static int is_started_by_slurm(void)
{
    const char *space = getenv("PMIX_NAMESPACE");
    return space && strncmp(space, "slurm.pmix.", strlen("slurm.pmix.")) == 0;
}

/* MPI has begun with PMIx already: init and finalize count only. */
static pmix_status_t fence_with_data(const pmix_library *library)
{
    pmix_info_t with_data = {.key = PMIX_COLLECT_DATA, .value = {.type = PMIX_BOOL, .data.flag = true}};
    pmix_proc_t self;
    pmix_status_t status = library->init(&self, NULL, 0);
    if (status != PMIX_SUCCESS)
        return status;
    status = library->fence(NULL, 0, &with_data, 1);
    library->finalize(NULL, 0);
    return status;
}

fv_err fv_pmix_fence(void)
{
    pmix_library library;
    if (!is_started_by_slurm() || !find_library(&library))
        return FV_OK;
    pmix_status_t status = fence_with_data(&library);
    dlclose(library.handle);
    FV_CHECK(status == PMIX_SUCCESS, FV_ERR_COMM,
             "PMIx_Fence failed with status %d: a rank or its node is lost", (int)status);
    return FV_OK;
}

int fv_comm_waits(void)
{
    return 1;
}

#else

int fv_comm_waits(void)
{
    return 0;
}

fv_err fv_pmix_fence(void)
{
    return FV_OK;
}

#endif
