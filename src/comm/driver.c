#include "fovea/comm/driver.h"

#include <dlfcn.h>
#include <stdio.h>

enum { UUID_BYTES = 16 };

/* No header is needed: these take and return plain integers. */
typedef int (*init_function)(unsigned flags);
typedef int (*get_function)(int *out);
typedef int (*uuid_function)(unsigned char uuid[UUID_BYTES], int device);

static int get(void *library, const char *name, int *out)
{
    enum { NOT_FOUND = 500 /* CUDA_ERROR_NOT_FOUND */ };
    get_function function = (get_function)dlsym(library, name);
    return function ? function(out) : NOT_FOUND;
}

void fv_driver_ask(fv_driver *out)
{
    *out = (fv_driver){.library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL)};
    init_function init = out->library ? (init_function)dlsym(out->library, "cuInit") : NULL;
    if (!init)
        return;
    out->is_here = 1;
    out->code = init(0);
    if (out->code == 0)
        out->code = get(out->library, "cuDriverGetVersion", &out->version);
    if (out->code == 0)
        out->code = get(out->library, "cuDeviceGetCount", &out->n_devices);
}

/* The second form tells parts of a device (MIG) apart; devices are numbered from 0 as handles are. */
int fv_driver_uuid(const fv_driver *driver, int device, char out[33])
{
    unsigned char uuid[UUID_BYTES];
    uuid_function of = driver->is_here ? (uuid_function)dlsym(driver->library, "cuDeviceGetUuid_v2") : NULL;
    if (driver->is_here && !of)
        of = (uuid_function)dlsym(driver->library, "cuDeviceGetUuid");
    if (!of || of(uuid, device) != 0)
        return 0;
    for (int i = 0; i < UUID_BYTES; i++)
        snprintf(out + 2 * i, 3, "%02x", uuid[i]);
    return 1;
}
