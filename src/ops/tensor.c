#include "fovea/ops/tensor.h"

fv_tensor fv_tensor_3d(void *data, fv_dtype dtype, int64_t n0, int64_t n1, int64_t n2)
{
    return (fv_tensor){data, dtype, 3, {n0, n1, n2}, n1 * n2};
}

fv_tensor fv_tensor_2d(void *data, fv_dtype dtype, int64_t rows, int64_t cols)
{
    return (fv_tensor){data, dtype, 2, {rows, cols, 1}, cols};
}

fv_tensor fv_tensor_1d(void *data, fv_dtype dtype, int64_t n)
{
    return (fv_tensor){data, dtype, 1, {n, 1, 1}, 1};
}

fv_err fv_tensor_take(fv_arena *arena, fv_dtype dtype, int n_dims, const int64_t *dim, fv_tensor *out)
{
    FV_CHECK(n_dims >= 1 && n_dims <= FV_MAX_DIMS, FV_ERR_SHAPE, "a tensor has 1 to %d dimensions, not %d",
             FV_MAX_DIMS, n_dims);
    fv_tensor t = {NULL, dtype, n_dims, {1, 1, 1}, 1};
    size_t bytes = fv_dtype_bytes(dtype);
    for (int i = 0; i < n_dims; i++) {
        FV_CHECK(dim[i] >= 0, FV_ERR_SHAPE, "a dimension of %lld", (long long)dim[i]);
        FV_CHECK(!__builtin_mul_overflow(bytes, (size_t)dim[i], &bytes), FV_ERR_MEMORY,
                 "the size of a tensor in arena %s overflows", arena->name);
        t.dim[i] = dim[i];
    }
    t.stride = t.dim[1] * t.dim[2];
    FV_TRY(fv_arena_take(arena, bytes, &t.data));
    *out = t;
    return FV_OK;
}

static void *element(fv_tensor t, int64_t index)
{
    return t.data ? (char *)t.data + (size_t)index * fv_dtype_bytes(t.dtype) : NULL;
}

fv_tensor fv_tensor_rows(fv_tensor t, int64_t first, int64_t n)
{
    t.data = element(t, first * t.stride);
    t.dim[0] = n;
    return t;
}

fv_tensor fv_tensor_cols(fv_tensor t, int64_t first, int64_t n)
{
    t.data = element(t, first);
    t.dim[1] = n;
    return t;
}

fv_tensor fv_tensor_heads(fv_tensor t, int64_t n_heads)
{
    t.n_dims = 3;
    t.dim[2] = t.dim[1] / n_heads;
    t.dim[1] = n_heads;
    return t;
}

fv_tensor fv_tensor_flat(fv_tensor t)
{
    t.n_dims = 2;
    t.dim[1] *= t.dim[2];
    t.dim[2] = 1;
    return t;
}

int64_t fv_tensor_row_count(fv_tensor t)
{
    return t.dim[1] * t.dim[2];
}

int64_t fv_tensor_count(fv_tensor t)
{
    return t.dim[0] * fv_tensor_row_count(t);
}

int fv_tensor_is_contiguous(fv_tensor t)
{
    return t.dim[0] <= 1 || t.stride == fv_tensor_row_count(t);
}

size_t fv_tensor_span_bytes(fv_tensor t)
{
    if (fv_tensor_count(t) == 0)
        return 0;
    return (size_t)((t.dim[0] - 1) * t.stride + fv_tensor_row_count(t)) * fv_dtype_bytes(t.dtype);
}
