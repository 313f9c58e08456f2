/* What the front doors share: statements about the shapes of arguments. Local.
 *
 * A door looks at shapes only; what tensors hold is the device's. */
#ifndef FOVEA_SRC_OPS_DOOR_H
#define FOVEA_SRC_OPS_DOOR_H

#include "fovea/ops/backend.h"

/* In place of a size: at least 0, at least 1. */
enum { FV_DIM_ANY = -1, FV_DIM_SOME = -2 };

typedef struct fv_expected {
    fv_dtype dtype;
    int n_dims;
    int64_t dim[FV_MAX_DIMS];
} fv_expected;

/* t is there, has this dtype and these dimensions, rows that do not overlap, and no gaps if it is a vector.
 * FV_ERR_SHAPE names operation, tensor, what was found and what was expected. */
fv_err fv_tensor_expect(const char *op, const char *name, fv_tensor t, fv_expected expected);

#define FV_DIMS(...)                                           \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), \
    {                                                          \
        __VA_ARGS__                                            \
    }

/* EXPECT(gemm, a, F32, m, k): field a of *args. EXPECT_IF: unless it is absent. EXPECT_LIKE: as a tensor. */
#define EXPECT(op, field, type, ...) \
    FV_TRY(fv_tensor_expect(#op, #field, args->field, (fv_expected){FV_##type, FV_DIMS(__VA_ARGS__)}))
#define EXPECT_IF(op, field, type, ...)           \
    do {                                          \
        if (args->field.data)                     \
            EXPECT(op, field, type, __VA_ARGS__); \
    } while (0)
#define EXPECT_LIKE(op, field, like) \
    FV_TRY(fv_tensor_expect(         \
        #op, #field, args->field,    \
        (fv_expected){(like).dtype, (like).n_dims, {(like).dim[0], (like).dim[1], (like).dim[2]}}))

/* Two optional tensors are both there or both absent. */
#define EXPECT_TOGETHER(op, one, other)                          \
    FV_CHECK(!args->one.data == !args->other.data, FV_ERR_SHAPE, \
             #op ": tensor %s is absent and %s is there, "       \
                 "expected both or neither",                     \
             args->one.data ? #other : #one, args->one.data ? #one : #other)

/* The doors: *empty if there is nothing to compute. */
#define FV_OP(op, fields) fv_err fv_door_##op(const fv_##op##_args *args, int *empty);
#include "fovea/ops/ops.def"
#undef FV_OP

#endif
