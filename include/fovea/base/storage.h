/* How numbers are stored in files, and their conversion from and to fp32. Local.
 *
 * Names are those of the safetensors format. Only F32, F16 and BF16 hold weights ("float"). */
#ifndef FOVEA_BASE_STORAGE_H
#define FOVEA_BASE_STORAGE_H

#include "fovea/base/error.h"

#include <stddef.h>
#include <stdint.h>

/* X(name, bytes of an element) */
#define FV_STORAGE_LIST(X) \
    X(F32, 4)              \
    X(F16, 2)              \
    X(BF16, 2)             \
    X(F64, 8)              \
    X(I64, 8)              \
    X(U64, 8)              \
    X(I32, 4)              \
    X(U32, 4)              \
    X(I16, 2)              \
    X(U16, 2)              \
    X(I8, 1)               \
    X(U8, 1)               \
    X(BOOL, 1)             \
    X(F8_E4M3, 1)          \
    X(F8_E5M2, 1)

typedef enum fv_storage {
#define X(name, bytes) FV_STORE_##name,
    FV_STORAGE_LIST(X)
#undef X
} fv_storage;

size_t fv_storage_bytes(fv_storage storage);
const char *fv_storage_name(fv_storage storage);         /* "BF16" */
int fv_storage_parse(const char *name, fv_storage *out); /* 1, or 0 if there is none of that name */
int fv_storage_is_float(fv_storage storage);

/* The name in a config.json and on the command line: float32 or fp32, float16 or fp16, bfloat16 or bf16.
 * FV_ERR_ARGUMENT lists them. */
fv_err fv_storage_parse_float(const char *name, fv_storage *out);
const char *fv_storage_float_name(fv_storage storage); /* "bfloat16" */

/* n numbers at from (any alignment) to fp32: exact, subnormals, infinities and NaN included. storage is a
 * float one. */
void fv_storage_decode(fv_storage storage, const void *from, int64_t n, float *to);

/* n fp32 numbers to storage (a float one), rounded to nearest, ties to even; NaN stays NaN. Returns how many
 * finite numbers were too large and became infinite. to has any alignment. */
int64_t fv_storage_encode(fv_storage storage, const float *from, int64_t n, void *to);

#endif
