#include "door.h"

#include "fovea/base/phase.h"

#include <stdio.h>
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
        int empty = 0;                                              \
        FV_TRY(fv_door_##op(args, &empty));                         \
        if (empty)                                                  \
            return FV_OK;                                           \
        int64_t start = now_ns();                                   \
        fv_phase_move();                                            \
        fv_err err = backend->table->op(backend, args);             \
        backend->timer[FV_OP_##op].n_calls++;                       \
        backend->timer[FV_OP_##op].ns += now_ns() - start;          \
        return err;                                                 \
    }
#include "fovea/ops/ops.def"
#undef FV_OP

enum { SHAPE_TEXT = 128 };

/* "F32 (3, any)" */
static void describe(fv_expected shape, char out[SHAPE_TEXT])
{
    int at = snprintf(out, SHAPE_TEXT, "%s (", fv_dtype_name(shape.dtype));
    for (int i = 0; i < shape.n_dims && i < FV_MAX_DIMS; i++) {
        const char *comma = i ? ", " : "";
        if (shape.dim[i] == FV_DIM_ANY || shape.dim[i] == FV_DIM_SOME)
            at += snprintf(out + at, SHAPE_TEXT - (size_t)at, "%s%s", comma,
                           shape.dim[i] == FV_DIM_ANY ? "any" : "1 or more");
        else
            at += snprintf(out + at, SHAPE_TEXT - (size_t)at, "%s%lld", comma, (long long)shape.dim[i]);
    }
    snprintf(out + at, SHAPE_TEXT - (size_t)at, ")");
}

static int dim_fits(int64_t found, int64_t expected)
{
    if (expected == FV_DIM_ANY)
        return found >= 0;
    return expected == FV_DIM_SOME ? found >= 1 : found == expected;
}

static int shape_fits(fv_tensor t, fv_expected expected)
{
    if (t.dtype != expected.dtype || t.n_dims != expected.n_dims)
        return 0;
    for (int i = 0; i < t.n_dims; i++)
        if (!dim_fits(t.dim[i], expected.dim[i]))
            return 0;
    return 1;
}

fv_err fv_tensor_expect(const char *op, const char *name, fv_tensor t, fv_expected expected)
{
    char want[SHAPE_TEXT], found[SHAPE_TEXT];
    int known = t.n_dims >= 1 && t.n_dims <= FV_MAX_DIMS,
        absent = !t.data && !(known && fv_tensor_count(t) == 0);
    if (absent || !known || !shape_fits(t, expected)) {
        describe(expected, want);
        FV_CHECK(!absent, FV_ERR_SHAPE, "%s: tensor %s is absent, expected %s", op, name, want);
        FV_CHECK(known, FV_ERR_SHAPE, "%s: tensor %s has %d dimensions, expected %s", op, name, t.n_dims,
                 want);
        describe((fv_expected){t.dtype, t.n_dims, {t.dim[0], t.dim[1], t.dim[2]}}, found);
        return FV_FAIL(FV_ERR_SHAPE, "%s: tensor %s is %s, expected %s", op, name, found, want);
    }
    int64_t row = fv_tensor_row_count(t);
    FV_CHECK(t.dim[0] <= 1 || (t.n_dims == 1 ? t.stride == 1 : t.stride >= row), FV_ERR_SHAPE,
             "%s: tensor %s has rows of %lld elements %lld apart, expected %s", op, name, (long long)row,
             (long long)t.stride, t.n_dims == 1 ? "a vector without gaps" : "rows that do not overlap");
    return FV_OK;
}
