/* The front doors: time the call and dispatch. */
#include "fovea/backend.h"

#include <time.h>

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

#define FV_OP(op, fields)                                           \
    fv_err fv_##op(fv_backend *backend, const fv_##op##_args *args) \
    {                                                               \
        int64_t start = now_ns();                                   \
        fv_err err = backend->table->op(backend, args);             \
        backend->timer[FV_OP_##op].n_calls++;                       \
        backend->timer[FV_OP_##op].ns += now_ns() - start;          \
        return err;                                                 \
    }
#include "fovea/ops.def"
#undef FV_OP
