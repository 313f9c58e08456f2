/* Checks of an operation's arguments: statements about their shapes and dtypes. Local.
 *
 * What tensors hold is the device's, and is not looked at. */
#ifndef FOVEA_SRC_OPS_ARGS_CHECK_H
#define FOVEA_SRC_OPS_ARGS_CHECK_H

#include "fovea/ops/backend.h"

/* In place of a size: at least 0, at least 1. */
enum { FV_DIM_ANY = -1, FV_DIM_SOME = -2 };

/* The dtypes that a tensor may have, one bit each. */
enum {
    FV_CLASS_F32 = 1 << FV_F32,
    FV_CLASS_F64 = 1 << FV_F64,
    FV_CLASS_I32 = 1 << FV_I32,
    FV_CLASS_I64 = 1 << FV_I64,
    FV_CLASS_U8 = 1 << FV_U8,
    FV_CLASS_U16 = 1 << FV_U16,
    FV_CLASS_BF16 = 1 << FV_BF16,
    FV_CLASS_STORED = 1 << FV_F32 | 1 << FV_BF16,  /* weights, activations, keys and values */
    FV_CLASS_ROWS = FV_CLASS_STORED | 1 << FV_I32, /* what is only moved */
    FV_CLASS_FLOAT = 1 << FV_F32 | 1 << FV_BF16 | 1 << FV_F16,
    FV_CLASS_ANY = (1 << FV_N_DTYPES) - 1
};

typedef struct fv_expected {
    unsigned dtypes;
    int n_dims;
    int64_t dim[FV_MAX_DIMS];
} fv_expected;

/* t is there, has one of these dtypes and these dimensions, rows that do not overlap, and no gaps if it is a
 * vector. FV_ERR_SHAPE names operation, tensor, what was found and what was expected. */
fv_err fv_tensor_expect(const char *op, const char *name, fv_tensor t, fv_expected expected);

#define FV_DIMS(...)                                           \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), \
    {                                                          \
        __VA_ARGS__                                            \
    }

/* EXPECT(gemm, a, STORED, m, k): field a of *args, of a class. EXPECT_IF: unless it is absent. EXPECT_AS: of
 * the dtype of another field. EXPECT_LIKE: of a tensor's dtype and shape. */
#define EXPECT_OF(op, field, dtypes, ...) \
    FV_TRY(fv_tensor_expect(#op, #field, args->field, (fv_expected){dtypes, FV_DIMS(__VA_ARGS__)}))
#define EXPECT(op, field, class, ...) EXPECT_OF(op, field, FV_CLASS_##class, __VA_ARGS__)
#define EXPECT_IF(op, field, class, ...)           \
    do {                                           \
        if (args->field.data)                      \
            EXPECT(op, field, class, __VA_ARGS__); \
    } while (0)
#define EXPECT_AS(op, field, other, ...) EXPECT_OF(op, field, 1u << args->other.dtype, __VA_ARGS__)
#define EXPECT_LIKE(op, field, like) \
    FV_TRY(fv_tensor_expect(         \
        #op, #field, args->field,    \
        (fv_expected){1u << (like).dtype, (like).n_dims, {(like).dim[0], (like).dim[1], (like).dim[2]}}))

/* Two optional tensors are both there or both absent. */
#define EXPECT_TOGETHER(op, one, other)                          \
    FV_CHECK(!args->one.data == !args->other.data, FV_ERR_SHAPE, \
             #op ": tensor %s is absent and %s is there, "       \
                 "expected both or neither",                     \
             args->one.data ? #other : #one, args->one.data ? #one : #other)

/* *empty if there is nothing to compute. */
#define FV_OP(op, fields) fv_err fv_check_##op##_args(const fv_##op##_args *args, int *empty);
#include "fovea/ops/ops.def"
#undef FV_OP

#endif
