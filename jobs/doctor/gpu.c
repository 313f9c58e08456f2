/* What of CUDA is here: driver, library, devices and their self-test. */
#include "jobs/doctor/doctor.h"

#include "fovea/base/clock.h"
#include "fovea/comm/driver.h"
#include "fovea/ops/cuda.h"
#include "fovea/ops/self_test.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static fv_err print_driver(fv_doctor *d)
{
    fv_driver driver;
    char kernel[256], mend[256];
    fv_driver_ask(&driver);
    if (!driver.is_here) {
        fv_doctor_print("driver", "none");
        return fv_doctor_note(d, 0, "CUDA driver",
                              "only for GPUs: the driver's libcuda.so.1 (nvidia-driver)");
    }
    fv_doctor_read_proc("/proc/driver/nvidia/version", "NVRM version", kernel, sizeof kernel);
    if (kernel[0])
        fv_doctor_print("kernel module", "%s", kernel);
    if (driver.code == 0) {
        fv_doctor_print("driver", "for CUDA %d.%d, %d devices", driver.version / 1000,
                        driver.version % 1000 / 10, driver.n_devices);
        return FV_OK;
    }
    fv_doctor_print("driver", "here, but finds no device (code %d)", driver.code);
    snprintf(
        mend, sizeof mend,
        "only for GPUs: the driver finds none (code %d); ask the scheduler for one (--gres=gpu:1), and see "
        "CUDA_VISIBLE_DEVICES and nvidia-smi",
        driver.code);
    return fv_doctor_note(d, 0, "device", mend);
}

static fv_err examine(int device)
{
    fv_backend *backend = NULL;
    fv_err err = fv_backend_cuda_create(device, &backend);
    if (err == FV_OK)
        err = fv_backend_self_test(backend);
    fv_backend_destroy(backend);
    return err;
}

/* A device that the library cannot use, or that is full, is not needed; one that fails would be used. */
static fv_err test_device(fv_doctor *d, int device)
{
    char what[32];
    double from = fv_clock_now();
    fv_err err = examine(device);
    snprintf(what, sizeof what, "device %d", device);
    if (err == FV_OK)
        fv_doctor_print("", "%s: copies, a product and its bits are right (%.1f s)", what,
                        fv_clock_now() - from);
    else
        fv_doctor_print("", "%s: %s", what, err == FV_ERR_DEVICE ? "FAILED" : "cannot be used");
    return err == FV_OK ? FV_OK : fv_doctor_note(d, err == FV_ERR_DEVICE, what, fv_error_text());
}

/* The CUDA back end of fovea, and through it the devices. */
static fv_err print_devices(fv_doctor *d)
{
    char path[PATH_MAX], text[4096];
    void *describe = NULL;
    if (fv_cuda_find(path, sizeof path) != FV_OK) {
        fv_doctor_print("back end", "%s is not built", FV_CUDA_LIBRARY);
        return fv_doctor_note(d, 0, FV_CUDA_LIBRARY,
                              "only for GPUs: the CUDA toolkit (nvcc), then build fovea again");
    }
    if (fv_cuda_symbol("fv_cuda_describe", &describe) != FV_OK) {
        fv_doctor_print("back end", "cannot be used");
        return fv_doctor_note(d, 0, FV_CUDA_LIBRARY, fv_error_text());
    }
    int n = ((fv_cuda_describe_function)describe)(text, sizeof text);
    if (n < 0) {
        fv_doctor_print("back end", "%s", text);
        return FV_OK;
    }
    for (char *rest = text, *line; (line = strsep(&rest, "\n")) && *line;)
        fv_doctor_print(line == text ? "back end" : "", "%s", line);
    for (int device = 0; device < n; device++)
        FV_TRY(test_device(d, device));
    return FV_OK;
}

/* The first of names (NULL-terminated) that can be loaded. */
static void *load_first(const char *const *names)
{
    void *library = NULL;
    for (; *names && !library; names++)
        library = dlopen(*names, RTLD_NOW | RTLD_LOCAL);
    return library;
}

static fv_err print_cublas(fv_doctor *d)
{
    void *library = load_first((const char *const[]){"libcublasLt.so.13", "libcublasLt.so.12", NULL});
    size_t (*get)(void) = library ? (size_t(*)(void))dlsym(library, "cublasLtGetVersion") : NULL;
    if (!get) {
        fv_doctor_print("cuBLAS", "none");
        return fv_doctor_note(d, 0, "cuBLAS",
                              "only for GPUs: the CUDA toolkit's libcublasLt (module cuda, LD_LIBRARY_PATH)");
    }
    fv_doctor_print("cuBLAS", "%zu.%zu.%zu", get() / 10000, get() % 10000 / 100, get() % 100);
    return FV_OK;
}

static fv_err print_nccl(fv_doctor *d)
{
    void *library = load_first((const char *const[]){"libnccl.so.2", NULL});
    int (*version)(int *out) = library ? (int (*)(int *))dlsym(library, "ncclGetVersion") : NULL;
    int number = 0;
    if (!version || version(&number) != 0) {
        fv_doctor_print("NCCL", "none");
        return fv_doctor_note(d, 0, "NCCL", "only for several GPUs: libnccl2 (module nccl)");
    }
    fv_doctor_print("NCCL", "%d.%d.%d", number / 10000, number / 100 % 100, number % 100);
    return FV_OK;
}

fv_err fv_doctor_gpu(fv_doctor *d)
{
    puts("\nGPU");
    FV_TRY(print_driver(d));
    FV_TRY(print_devices(d));
    FV_TRY(print_cublas(d));
    return print_nccl(d);
}
