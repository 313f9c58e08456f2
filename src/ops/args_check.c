#include "args_check.h"

#include <stdio.h>

enum { SHAPE_TEXT = 128 };

/* "F32 or BF16"; returns its length. */
static int describe_dtypes(unsigned dtypes, char out[SHAPE_TEXT])
{
    int at = 0;
    if (dtypes == FV_CLASS_ANY)
        return snprintf(out, SHAPE_TEXT, "any dtype");
    for (int i = 0; i < FV_N_DTYPES; i++)
        if (dtypes >> i & 1)
            at += snprintf(out + at, SHAPE_TEXT - (size_t)at, "%s%s", at ? " or " : "",
                           fv_dtype_name((fv_dtype)i));
    return at;
}

/* "F32 or BF16 (3, any)" */
static void describe(fv_expected shape, char out[SHAPE_TEXT])
{
    int at = describe_dtypes(shape.dtypes, out);
    at += snprintf(out + at, SHAPE_TEXT - (size_t)at, " (");
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
    if (!(1u << t.dtype & expected.dtypes) || t.n_dims != expected.n_dims)
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
        describe((fv_expected){1u << t.dtype, t.n_dims, {t.dim[0], t.dim[1], t.dim[2]}}, found);
        return FV_FAIL(FV_ERR_SHAPE, "%s: tensor %s is %s, expected %s", op, name, found, want);
    }
    int64_t row = fv_tensor_row_count(t);
    FV_CHECK(t.dim[0] <= 1 || (t.n_dims == 1 ? t.stride == 1 : t.stride >= row), FV_ERR_SHAPE,
             "%s: tensor %s has rows of %lld elements %lld apart, expected %s", op, name, (long long)row,
             (long long)t.stride, t.n_dims == 1 ? "a vector without gaps" : "rows that do not overlap");
    return FV_OK;
}
