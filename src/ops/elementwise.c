/* Checks of the arguments of operations that work element by element. */
#include "args_check.h"

fv_err fv_check_swiglu_args(const fv_swiglu_args *args, int *empty)
{
    EXPECT(swiglu, gate, STORED, FV_DIM_ANY, FV_DIM_ANY);
    EXPECT_LIKE(swiglu, up, args->gate);
    EXPECT_LIKE(swiglu, y, args->gate);
    *empty = fv_tensor_count(args->y) == 0;
    return FV_OK;
}

fv_err fv_check_swiglu_grad_args(const fv_swiglu_grad_args *args, int *empty)
{
    EXPECT(swiglu_grad, gate, STORED, FV_DIM_ANY, FV_DIM_ANY);
    EXPECT_LIKE(swiglu_grad, up, args->gate);
    EXPECT_LIKE(swiglu_grad, dy, args->gate);
    EXPECT_LIKE(swiglu_grad, dgate, args->gate);
    EXPECT_LIKE(swiglu_grad, dup, args->gate);
    *empty = fv_tensor_count(args->dy) == 0;
    return FV_OK;
}

fv_err fv_check_gelu_args(const fv_gelu_args *args, int *empty)
{
    EXPECT(gelu, x, STORED, FV_DIM_ANY, FV_DIM_ANY);
    EXPECT_LIKE(gelu, y, args->x);
    *empty = fv_tensor_count(args->y) == 0;
    return FV_OK;
}

fv_err fv_check_gelu_grad_args(const fv_gelu_grad_args *args, int *empty)
{
    EXPECT(gelu_grad, x, STORED, FV_DIM_ANY, FV_DIM_ANY);
    EXPECT_LIKE(gelu_grad, dy, args->x);
    EXPECT_LIKE(gelu_grad, dx, args->x);
    *empty = fv_tensor_count(args->dx) == 0;
    return FV_OK;
}

fv_err fv_check_pair_split_args(const fv_pair_split_args *args, int *empty)
{
    EXPECT(pair_split, master, F32, FV_DIM_ANY);
    EXPECT(pair_split, weight, BF16, args->master.dim[0]);
    EXPECT_IF(pair_split, low, U16, args->master.dim[0]);
    *empty = args->master.dim[0] == 0;
    return FV_OK;
}

fv_err fv_check_pair_join_args(const fv_pair_join_args *args, int *empty)
{
    EXPECT(pair_join, weight, BF16, FV_DIM_ANY);
    EXPECT(pair_join, low, U16, args->weight.dim[0]);
    EXPECT(pair_join, master, F32, args->weight.dim[0]);
    *empty = args->weight.dim[0] == 0;
    return FV_OK;
}

fv_err fv_check_adamw_args(const fv_adamw_args *args, int *empty)
{
    EXPECT(adamw, grad, F32, FV_DIM_ANY);
    int64_t n = args->grad.dim[0];
    EXPECT(adamw, scale, F32, 1);
    EXPECT_IF(adamw, param, F32, n);
    EXPECT_IF(adamw, weight, BF16, n);
    EXPECT_IF(adamw, low, U16, n);
    FV_CHECK(args->param.data ? !args->low.data : args->weight.data && args->low.data, FV_ERR_SHAPE,
             "adamw: expected param, or weight with low and no param");
    EXPECT(adamw, m, STORED, n);
    EXPECT_LIKE(adamw, v, args->m);
    FV_CHECK(args->step >= 1, FV_ERR_ARGUMENT, "adamw: the step is %d, expected 1 or more", args->step);
    *empty = n == 0;
    return FV_OK;
}

fv_err fv_check_add_bias_args(const fv_add_bias_args *args, int *empty)
{
    EXPECT(add_bias, in, F32, FV_DIM_ANY, FV_DIM_ANY);
    EXPECT(add_bias, bias, STORED, args->in.dim[1]);
    EXPECT_AS(add_bias, out, bias, args->in.dim[0], args->in.dim[1]);
    *empty = fv_tensor_count(args->out) == 0;
    return FV_OK;
}

fv_err fv_check_add_args(const fv_add_args *args, int *empty)
{
    EXPECT(add, a, STORED, FV_DIM_ANY, FV_DIM_ANY);
    EXPECT_LIKE(add, b, args->a);
    EXPECT_LIKE(add, out, args->a);
    *empty = fv_tensor_count(args->out) == 0;
    return FV_OK;
}

fv_err fv_check_copy_args(const fv_copy_args *args, int *empty)
{
    EXPECT(copy, in, ANY, FV_DIM_ANY, FV_DIM_ANY);
    EXPECT_LIKE(copy, out, args->in);
    *empty = fv_tensor_count(args->out) == 0;
    return FV_OK;
}

fv_err fv_check_cast_args(const fv_cast_args *args, int *empty)
{
    FV_TRY(fv_tensor_expect(
        "cast", "in", args->in,
        (fv_expected){FV_CLASS_FLOAT, args->in.n_dims, {FV_DIM_ANY, FV_DIM_ANY, FV_DIM_ANY}}));
    FV_TRY(fv_tensor_expect(
        "cast", "out", args->out,
        (fv_expected){FV_CLASS_FLOAT, args->in.n_dims, {args->in.dim[0], args->in.dim[1], args->in.dim[2]}}));
    *empty = fv_tensor_count(args->out) == 0;
    return FV_OK;
}

fv_err fv_check_fill_args(const fv_fill_args *args, int *empty)
{
    FV_TRY(fv_tensor_expect(
        "fill", "x", args->x,
        (fv_expected){FV_CLASS_STORED, args->x.n_dims, {FV_DIM_ANY, FV_DIM_ANY, FV_DIM_ANY}}));
    *empty = fv_tensor_count(args->x) == 0;
    return FV_OK;
}
