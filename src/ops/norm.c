/* Checks of the arguments of the norms. */
#include "args_check.h"

/* x is (T, C) or (T, H, C); *rows counts its vectors. */
#define EXPECT_VECTORS(op, field, rows)                                      \
    do {                                                                     \
        if (args->field.n_dims == 3)                                         \
            EXPECT(op, field, STORED, FV_DIM_ANY, FV_DIM_SOME, FV_DIM_SOME); \
        else                                                                 \
            EXPECT(op, field, STORED, FV_DIM_ANY, FV_DIM_SOME);              \
        *(rows) = fv_tensor_count(args->field) / width(args->field);         \
    } while (0)

static int64_t width(fv_tensor x)
{
    return x.dim[x.n_dims - 1];
}

fv_err fv_check_norm_args(const fv_norm_args *args, int *empty)
{
    int64_t rows;
    EXPECT_VECTORS(norm, x, &rows);
    EXPECT_TOGETHER(norm, residual, sum);
    if (args->residual.data) {
        EXPECT_LIKE(norm, residual, args->x);
        EXPECT_LIKE(norm, sum, args->x);
    }
    EXPECT(norm, weight, STORED, width(args->x));
    EXPECT_LIKE(norm, y, args->x);
    EXPECT_IF(norm, rstd, F32, rows);
    *empty = rows == 0;
    return FV_OK;
}

/* dy is of x's shape; a sum over ranks comes as F32, whatever x is. */
static fv_err expect_gradient(fv_tensor dy, fv_tensor x)
{
    return fv_tensor_expect("norm_grad", "dy", dy,
                            (fv_expected){FV_CLASS_STORED, x.n_dims, {x.dim[0], x.dim[1], x.dim[2]}});
}

fv_err fv_check_norm_grad_args(const fv_norm_grad_args *args, int *empty)
{
    int64_t rows;
    EXPECT_VECTORS(norm_grad, x, &rows);
    FV_TRY(expect_gradient(args->dy, args->x));
    EXPECT(norm_grad, weight, STORED, width(args->x));
    EXPECT(norm_grad, rstd, F32, rows);
    EXPECT_LIKE(norm_grad, dx, args->x);
    EXPECT_IF(norm_grad, dweight, F32, width(args->x));
    *empty = rows == 0;
    return FV_OK;
}
