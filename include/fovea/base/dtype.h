/* The types of numbers, in memory and in files, and their conversion from and to fp32. Local.
 *
 * One list for tensors, safetensors and HDF5; the names are those of the safetensors format. Only F32, F16
 * and BF16 hold weights ("float"). */
#ifndef FOVEA_BASE_DTYPE_H
#define FOVEA_BASE_DTYPE_H

#include "fovea/base/error.h"

#include <stddef.h>
#include <stdint.h>

/* X(name, bytes of an element) */
#define FV_DTYPE_LIST(X) \
    X(F32, 4)            \
    X(F16, 2)            \
    X(BF16, 2)           \
    X(F64, 8)            \
    X(I64, 8)            \
    X(U64, 8)            \
    X(I32, 4)            \
    X(U32, 4)            \
    X(I16, 2)            \
    X(U16, 2)            \
    X(I8, 1)             \
    X(U8, 1)             \
    X(BOOL, 1)           \
    X(F8_E4M3, 1)        \
    X(F8_E5M2, 1)

typedef enum fv_dtype {
#define X(name, bytes) FV_##name,
    FV_DTYPE_LIST(X)
#undef X
        FV_N_DTYPES
} fv_dtype;

size_t fv_dtype_bytes(fv_dtype dtype);
const char *fv_dtype_name(fv_dtype dtype);           /* "BF16" */
int fv_dtype_parse(const char *name, fv_dtype *out); /* 1, or 0 if there is none of that name */
int fv_dtype_is_float(fv_dtype dtype);

/* The name in a config.json and on the command line: float32 or fp32, float16 or fp16, bfloat16 or bf16.
 * FV_ERR_ARGUMENT lists them. */
fv_err fv_dtype_parse_float(const char *name, fv_dtype *out);
const char *fv_dtype_float_name(fv_dtype dtype); /* "bfloat16" */

/* n numbers at from (any alignment) to fp32: exact, subnormals, infinities and NaN included. dtype is a
 * float one. */
void fv_dtype_decode(fv_dtype dtype, const void *from, int64_t n, float *to);

/* n fp32 numbers to dtype (a float one), rounded to nearest, ties to even; NaN stays NaN. Returns how many
 * finite numbers were too large and became infinite. to has any alignment. */
int64_t fv_dtype_encode(fv_dtype dtype, const float *from, int64_t n, void *to);

#endif
