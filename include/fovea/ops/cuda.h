/* The CUDA back end, libfovea_cuda.so. The program never links it: it is loaded on demand, from the program's
 * own folder, so that fovea starts where CUDA is absent. Local. */
#ifndef FOVEA_OPS_CUDA_H
#define FOVEA_OPS_CUDA_H

#include "fovea/ops/backend.h"

#define FV_CUDA_LIBRARY "libfovea_cuda.so"

enum { FV_CUDA_NO_DEVICE = -2 }; /* a back end that only a plan can use: it knows what an H100 would need */

/* A back end on a device: one process, products and attention of BF16. FV_ERR_UNSUPPORTED says what is
 * missing (library, driver, device, or a newer one of them) and how to get it.
 *
 * Failures of kernels are told by a later call, with what was queued last; with FOVEA_CUDA_SYNC=1 in the
 * environment each kernel is waited for and named itself. FOVEA_CUDA_PLANT is a testing aid: "hang:OPERATION"
 * or "fault:OPERATION" queues, once, as the last kernel of that operation, one that does not end, or that
 * fails. */
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

/* A number made of what the program and the library must agree on: the operations, their arguments and the
 * tables. */
static inline uint64_t fv_cuda_contract(void)
{
    static const char fields[] =
#define FV_OP(op, fields) #op #fields
#include "fovea/ops/ops.def"
#undef FV_OP
        ;
    uint64_t n = sizeof(fv_backend_table) << 20 | sizeof(fv_backend) << 8 | sizeof(fv_cuda_host);
    for (const char *at = fields; *at; at++)
        n = (n ^ (uint8_t)*at) * 0x100000001b3u;
#define FV_OP(op, fields) n = (n ^ sizeof(fv_##op##_args)) * 0x100000001b3u;
#include "fovea/ops/ops.def"
#undef FV_OP
    return n;
}
FV_CUDA_EXPORT uint64_t fv_cuda_contract_of_library(void);
typedef uint64_t (*fv_cuda_contract_function)(void);

/* Append one line for the CUDA runtime and one for each device (name, memory, compute capability) to text,
 * NUL-terminated and cut at size. Returns the number of devices; -1 if the runtime refuses, with its reason
 * and the mend in text. */
FV_CUDA_EXPORT int fv_cuda_describe(char *text, size_t size);
typedef int (*fv_cuda_describe_function)(char *text, size_t size);

/* fv_backend_cuda_create, in the library. */
FV_CUDA_EXPORT fv_err fv_cuda_backend_create(const fv_cuda_host *host, int device, fv_backend **out);
typedef fv_err (*fv_cuda_create_function)(const fv_cuda_host *host, int device, fv_backend **out);

#endif
