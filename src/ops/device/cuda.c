#include "fovea/ops/cuda.h"

#include "fovea/base/file.h"

#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

/* The library beside the program, or a folder above it, as in a build tree. */
fv_err fv_cuda_find(char *path, size_t size)
{
    char program[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    FV_CHECK(length > 0, FV_ERR_IO, "cannot read the link /proc/self/exe");
    program[length] = '\0';
    char *folder = dirname(program);
    for (int up = 0; up < 2; up++, folder = dirname(folder)) {
        FV_TRY(fv_file_path(path, size, folder, FV_CUDA_LIBRARY));
        if (fv_file_exists(path))
            return FV_OK;
    }
    return FV_FAIL(
        FV_ERR_UNSUPPORTED,
        "the back end cuda needs %s, which is not beside the program: with the CUDA toolkit, cmake --preset "
        "cuda && cmake --build --preset cuda make both in build/cuda",
        FV_CUDA_LIBRARY);
}

static fv_err check_version(void *library, const char *path)
{
    fv_cuda_contract_function contract =
        (fv_cuda_contract_function)dlsym(library, "fv_cuda_contract_of_library");
    uint64_t wanted = fv_cuda_contract(), found = contract ? contract() : 0;
    FV_CHECK(found == wanted, FV_ERR_UNSUPPORTED,
             "%s is of another version of fovea (%08x, this program wants %08x): build both again (cmake "
             "--build the folder that has them)",
             path, (unsigned)found, (unsigned)wanted);
    return FV_OK;
}

/* It stays loaded to the end of the process, as the driver does. */
fv_err fv_cuda_symbol(const char *name, void **out)
{
    char path[PATH_MAX];
    FV_TRY(fv_cuda_find(path, sizeof path));
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    FV_CHECK(
        library, FV_ERR_UNSUPPORTED,
        "%s does not load: %s; the libraries of the CUDA toolkit that it was built with must be found here "
        "(module cuda, or LD_LIBRARY_PATH)",
        path, dlerror());
    FV_TRY(check_version(library, path));
    *out = dlsym(library, name);
    FV_CHECK(*out, FV_ERR_UNSUPPORTED, "%s is of another version of fovea: it has no %s", path, name);
    return FV_OK;
}

fv_err fv_backend_cuda_create(int device, fv_backend **out)
{
    const fv_cuda_host host = {fv_error_set, fv_error_pass};
    void *create = NULL;
    *out = NULL;
    FV_TRY(fv_cuda_symbol("fv_cuda_backend_create", &create));
    FV_CHECK(
        device >= 0 || device == FV_CUDA_NO_DEVICE, FV_ERR_UNSUPPORTED,
        "the back end cuda finds no device here: \"fovea doctor\" tells what driver and devices there are");
    return ((fv_cuda_create_function)create)(&host, device, out);
}
