/* Every operation: its arguments are checked, the call is timed and given to the back end. What that has left
 * out is composed. */
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

/* Optional operations. */

/* Who makes no plans wants none. */
static fv_err compose_attention_plan(fv_backend *backend, const fv_attention_plan_args *args)
{
    (void)backend;
    (void)args;
    return FV_OK;
}

static fv_err put(fv_backend *backend, const fv_rope_store_args *args, fv_tensor in, fv_tensor table)
{
    return fv_scatter(
        backend,
        &(fv_scatter_args){.in = fv_tensor_flat(in), .index = args->slots, .table = fv_tensor_flat(table)});
}

static fv_err compose_rope_store(fv_backend *backend, const fv_rope_store_args *args)
{
    FV_TRY(
        fv_rope(backend, &(fv_rope_args){.cos = args->cos, .sin = args->sin, .x = args->q, .out = args->q}));
    FV_TRY(
        fv_rope(backend, &(fv_rope_args){.cos = args->cos, .sin = args->sin, .x = args->k, .out = args->k}));
    FV_TRY(put(backend, args, args->k, args->keys));
    return put(backend, args, args->v, args->values);
}

#define DISPATCH(op, if_left_out)                                           \
    fv_err fv_##op(fv_backend *backend, const fv_##op##_args *args)         \
    {                                                                       \
        int empty = 0;                                                      \
        int64_t start;                                                      \
        FV_TRY(fv_check_##op##_args(args, &empty));                         \
        if (empty)                                                          \
            return FV_OK;                                                   \
        if_left_out;                                                        \
        if (backend->recording)                                             \
            FV_TRY(fv_record_call(backend->recording, FV_OP_##op, args));   \
        FV_TRY(begin(backend, #op, &start));                                \
        fv_err err = fv_failure_at(backend->table->op(backend, args), #op); \
        return err == FV_OK ? end(backend, FV_OP_##op, start) : err;        \
    }
#define FV_OP(op, fields) DISPATCH(op, )
#define FV_OP_OPTIONAL(op, fields) \
    DISPATCH(                      \
        op, if (!backend->table->op) { return compose_##op(backend, args); })
#include "fovea/ops/ops.def"
#undef FV_OP
