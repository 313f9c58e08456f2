/* Host memory of the suite: one stack. */
#include "suite.h"

#include "fovea/base/arena.h"
#include "fovea/base/rng.h"

#include <stdlib.h>

enum { HOST_BYTES = 128 << 20 };

static fv_arena arena;

static fv_arena *host(void)
{
    if (!arena.base) {
        void *memory = aligned_alloc(FV_ARENA_ALIGN, HOST_BYTES);
        assert_non_null(memory);
        arena = fv_arena_over("host memory of the suite", memory, HOST_BYTES);
    }
    return &arena;
}

void *host_take(size_t bytes)
{
    void *memory = NULL;
    assert_ok(fv_arena_take(host(), bytes, &memory));
    return memset(memory, 0, bytes);
}

size_t host_mark(void)
{
    return fv_arena_mark(host());
}

void host_release(size_t mark)
{
    fv_arena_release(host(), mark);
}

void host_free(void)
{
    free(arena.base);
}

static fv_tensor with_memory(fv_tensor t)
{
    t.data = host_take((size_t)fv_tensor_count(t) * fv_dtype_bytes(t.dtype));
    return t;
}

fv_tensor zeros_1d(fv_dtype dtype, int64_t n)
{
    return with_memory(fv_tensor_1d(NULL, dtype, n));
}

fv_tensor zeros_2d(fv_dtype dtype, int64_t rows, int64_t cols)
{
    return with_memory(fv_tensor_2d(NULL, dtype, rows, cols));
}

fv_tensor zeros_3d(fv_dtype dtype, int64_t n0, int64_t n1, int64_t n2)
{
    return with_memory(fv_tensor_3d(NULL, dtype, n0, n1, n2));
}

fv_tensor zeros_like(fv_tensor t)
{
    return with_memory(t);
}

fv_tensor copy_of(fv_tensor t)
{
    fv_tensor copy = with_memory(t);
    memcpy(copy.data, t.data, (size_t)fv_tensor_count(t) * fv_dtype_bytes(t.dtype));
    return copy;
}

fv_tensor ints_1d(int64_t n, const int32_t *values)
{
    fv_tensor t = zeros_1d(FV_I32, n);
    memcpy(t.data, values, (size_t)n * sizeof *values);
    return t;
}

static fv_tensor drawn(fv_tensor t)
{
    static uint32_t stream;
    fv_rng_key key = {.seed = 7, .step = ++stream};
    for (int64_t i = 0; i < fv_tensor_count(t); i++)
        ((float *)t.data)[i] = fv_rng_normal(key, (uint32_t)i);
    return t;
}

fv_tensor draw_1d(int64_t n)
{
    return drawn(zeros_1d(FV_F32, n));
}

fv_tensor draw_2d(int64_t rows, int64_t cols)
{
    return drawn(zeros_2d(FV_F32, rows, cols));
}

fv_tensor draw_3d(int64_t n0, int64_t n1, int64_t n2)
{
    return drawn(zeros_3d(FV_F32, n0, n1, n2));
}

double dot(fv_tensor a, fv_tensor b)
{
    const double *x = a.data, *y = b.data;
    double sum = 0.0;
    for (int64_t i = 0; i < fv_tensor_count(a); i++)
        sum += x[i] * y[i];
    return sum;
}
