/* The CUDA back end, libfovea_cuda.so. The program never links it: it is loaded on demand, from the program's
 * own folder, so that fovea starts where CUDA is absent. Local. */
#ifndef FOVEA_OPS_CUDA_H
#define FOVEA_OPS_CUDA_H

#include "fovea/ops/backend.h"

#define FV_CUDA_LIBRARY "libfovea_cuda.so"

/* A back end on a device: one process, products and attention of BF16. FV_ERR_UNSUPPORTED says what is
 * missing and how to get it. */
fv_err fv_backend_cuda_create(int device, fv_backend **out);

/* The path of the library, and a function that it exports; it stays loaded. FV_ERR_UNSUPPORTED as above. */
fv_err fv_cuda_find(char *path, size_t size);
fv_err fv_cuda_symbol(const char *name, void **out);

/* What the library calls of the program. */
typedef struct fv_cuda_host {
    void (*error_set)(const char *function, const char *format, ...);
    fv_err (*error_pass)(fv_err code, const char *function);
} fv_cuda_host;

/* What it exports; nothing else of it is seen. */
#define FV_CUDA_EXPORT __attribute__((visibility("default")))

/* Append one line for the CUDA runtime and one for each device (name, memory, compute capability) to text,
 * NUL-terminated and cut at size. Returns the number of devices; -1 if the runtime refuses, with its reason
 * in text. */
FV_CUDA_EXPORT int fv_cuda_describe(char *text, size_t size);
typedef int (*fv_cuda_describe_function)(char *text, size_t size);

/* fv_backend_cuda_create, in the library. */
FV_CUDA_EXPORT fv_err fv_cuda_backend_create(const fv_cuda_host *host, int device, fv_backend **out);
typedef fv_err (*fv_cuda_create_function)(const fv_cuda_host *host, int device, fv_backend **out);

#endif
