/* The back end that was asked for. Local. */
#ifndef FOVEA_OPS_BACKEND_CHOICE_H
#define FOVEA_OPS_BACKEND_CHOICE_H

#include "fovea/ops/backend.h"

typedef enum fv_backend_kind { FV_BACKEND_AUTO, FV_BACKEND_CPU, FV_BACKEND_CUDA } fv_backend_kind;
extern const char *const fv_backend_kind_names[]; /* "auto", "cpu", "cuda"; ends with NULL */

typedef struct fv_backend_args {
    fv_backend_kind kind;
    const char *isa; /* this and the next: of fv_backend_cpu_create */
    int n_threads;
    int device;          /* of fv_backend_cuda_create; below 0: none is seen */
    const char *against; /* auto: why cuda is not to be taken; NULL: it may be */
} fv_backend_args;

/* FV_BACKEND_AUTO takes cuda where the library and the device are and nothing is against it, else cpu, and
 * tells the log which and why. A device that is there and fails is an error all the same. *taken: cpu or
 * cuda. */
fv_err fv_backend_create(const fv_backend_args *args, fv_backend_kind *taken, fv_backend **out);

#endif
