/* Every operation: its arguments are checked, the call is timed and given to the back end. */
#include "args_check.h"
#include "ops/device/failure.h"
#include "record.h"

#include "fovea/base/phase.h"

#include <time.h>

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

#define FV_OP(op, fields)                                                 \
    fv_err fv_##op(fv_backend *backend, const fv_##op##_args *args)       \
    {                                                                     \
        int empty = 0;                                                    \
        FV_TRY(fv_check_##op##_args(args, &empty));                       \
        if (empty)                                                        \
            return FV_OK;                                                 \
        if (backend->recording)                                           \
            FV_TRY(fv_record_call(backend->recording, FV_OP_##op, args)); \
        int64_t start = now_ns();                                         \
        fv_phase_operation(#op);                                          \
        fv_err err = backend->table->op(backend, args);                   \
        backend->timer[FV_OP_##op].n_calls++;                             \
        backend->timer[FV_OP_##op].ns += now_ns() - start;                \
        return fv_failure_at(err, #op);                                   \
    }
#include "fovea/ops/ops.def"
#undef FV_OP
