#include "fovea/base/dtype.h"

#include <string.h>

static const struct {
    const char *name;
    size_t bytes;
} dtypes[] = {
#define X(name, bytes) {#name, bytes},
    FV_DTYPE_LIST(X)
#undef X
};

static const struct {
    fv_dtype dtype;
    const char *name, *brief;
} floats[] = {{FV_F32, "float32", "fp32"}, {FV_F16, "float16", "fp16"}, {FV_BF16, "bfloat16", "bf16"}};

enum { N_FLOATS = sizeof floats / sizeof floats[0] };

size_t fv_dtype_bytes(fv_dtype dtype)
{
    return dtypes[dtype].bytes;
}

const char *fv_dtype_name(fv_dtype dtype)
{
    return dtypes[dtype].name;
}

int fv_dtype_parse(const char *name, fv_dtype *out)
{
    for (int i = 0; i < FV_N_DTYPES; i++) {
        if (strcmp(dtypes[i].name, name) == 0) {
            *out = (fv_dtype)i;
            return 1;
        }
    }
    return 0;
}

int fv_dtype_is_float(fv_dtype dtype)
{
    return dtype == FV_F32 || dtype == FV_F16 || dtype == FV_BF16;
}

fv_err fv_dtype_parse_float(const char *name, fv_dtype *out)
{
    for (int i = 0; i < N_FLOATS; i++) {
        if (strcmp(floats[i].name, name) == 0 || strcmp(floats[i].brief, name) == 0) {
            *out = floats[i].dtype;
            return FV_OK;
        }
    }
    return FV_FAIL(FV_ERR_ARGUMENT, "weights cannot be stored as \"%.32s\", only as fp32, fp16 or bf16",
                   name);
}

const char *fv_dtype_float_name(fv_dtype dtype)
{
    for (int i = 0; i < N_FLOATS; i++)
        if (floats[i].dtype == dtype)
            return floats[i].name;
    return "";
}

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* fp16 has 5 exponent bits with bias 15: its bits, read as fp32, are the number times 2^-112, subnormal or
 * not; infinity and NaN get all exponent bits. */
static inline float decode_f16(uint16_t half)
{
    uint32_t size = half & 0x7fffu, sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t bits = bits_of(float_of(size << 13) * 0x1p112f);
    return float_of(bits | (size >= 0x7c00u ? 0x7f800000u : 0) | sign);
}

static inline uint16_t encode_bf16(float value)
{
    uint32_t bits = bits_of(value);
    uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    uint32_t nan = bits >> 16 | (bits & 0x7f0000u ? 0 : 0x40u); /* cutting may not make it infinite */
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

static inline uint16_t encode_f16(float value)
{
    uint32_t bits = bits_of(value), size = bits & 0x7fffffffu, sign = bits >> 16 & 0x8000u;
    uint32_t normal = (size + 0xfffu + (size >> 13 & 1u) - (112u << 23)) >> 13;
    uint32_t subnormal = bits_of(float_of(size) + 0.5f) - 0x3f000000u;
    uint32_t nan = 0x7c00u | (size >> 13 & 0x3ffu) | (size & 0x7fe000u ? 0 : 0x200u);
    uint32_t large = size > 0x7f800000u ? nan : 0x7c00u;
    uint32_t half = size < 0x38800000u ? subnormal : size < 0x47800000u ? normal : large;
    return (uint16_t)(half | sign);
}

static void decode_halves(const uint8_t *from, int64_t n, float *to)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t half;
        memcpy(&half, from + 2 * i, sizeof half);
        to[i] = decode_f16(half);
    }
}

static void decode_brains(const uint8_t *from, int64_t n, float *to)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t half;
        memcpy(&half, from + 2 * i, sizeof half);
        to[i] = float_of((uint32_t)half << 16);
    }
}

void fv_dtype_decode(fv_dtype dtype, const void *from, int64_t n, float *to)
{
    if (dtype == FV_F32)
        memcpy(to, from, (size_t)n * sizeof *to);
    else if (dtype == FV_F16)
        decode_halves(from, n, to);
    else
        decode_brains(from, n, to);
}

int64_t fv_dtype_encode(fv_dtype dtype, const float *from, int64_t n, void *to)
{
    int64_t n_overflows = 0;
    if (dtype == FV_F32) {
        memcpy(to, from, (size_t)n * sizeof *from);
        return 0;
    }
    uint16_t infinity = dtype == FV_F16 ? 0x7c00u : 0x7f80u;
    for (int64_t i = 0; i < n; i++) {
        uint16_t half = dtype == FV_F16 ? encode_f16(from[i]) : encode_bf16(from[i]);
        n_overflows += (half & 0x7fffu) == infinity && (bits_of(from[i]) & 0x7fffffffu) != 0x7f800000u;
        memcpy((uint8_t *)to + 2 * i, &half, sizeof half);
    }
    return n_overflows;
}
