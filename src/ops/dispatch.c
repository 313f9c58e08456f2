/* Every operation: its arguments are checked, the call is timed and given to the back end. */
#include "args_check.h"
#include "ops/device/failure.h"
#include "record.h"

#include "fovea/base/phase.h"
#include "fovea/ops/profile.h"

#include <time.h>

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static fv_err begin(fv_backend *backend, const char *op, int64_t *start)
{
    fv_phase_operation(op);
    *start = now_ns();
    return backend->profile ? fv_profile_begin(backend) : FV_OK;
}

static fv_err end(fv_backend *backend, fv_op op, int64_t start)
{
    backend->timer[op].n_calls++;
    if (backend->profile)
        return fv_profile_end(backend, op);
    backend->timer[op].ns += now_ns() - start;
    return FV_OK;
}

#define FV_OP(op, fields)                                                   \
    fv_err fv_##op(fv_backend *backend, const fv_##op##_args *args)         \
    {                                                                       \
        int empty = 0;                                                      \
        int64_t start;                                                      \
        FV_TRY(fv_check_##op##_args(args, &empty));                         \
        if (empty)                                                          \
            return FV_OK;                                                   \
        if (backend->recording)                                             \
            FV_TRY(fv_record_call(backend->recording, FV_OP_##op, args));   \
        FV_TRY(begin(backend, #op, &start));                                \
        fv_err err = fv_failure_at(backend->table->op(backend, args), #op); \
        return err == FV_OK ? end(backend, FV_OP_##op, start) : err;        \
    }
#include "fovea/ops/ops.def"
#undef FV_OP
