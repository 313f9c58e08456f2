#include "fovea/ops/self_test.h"

#include "fovea/base/rng.h"
#include "fovea/ops/staging.h"

#include <stdlib.h>
#include <string.h>

enum {
    N_COPIED = 16 << 20, /* numbers */
    N = 512,             /* rows, columns and terms of a product */
    REPEATS = 8,
    ROW = 137 /* that is computed alone */
};

static const char mend[] = "do not compute on it; `nvidia-smi -q` may tell what is wrong with it";

/* Arrays on the host, and where they go. */
typedef struct test {
    fv_backend *backend;
    int32_t *sent, *back;    /* (N_COPIED) */
    float *a, *b, *c, *once; /* (N, N) */
    uint16_t *halves;        /* (N, N) */
    void *memory;            /* on the back end, (N_COPIED) numbers */
} test;

static fv_err allocate(test *t)
{
    t->sent = malloc(N_COPIED * sizeof *t->sent);
    t->back = malloc(N_COPIED * sizeof *t->back);
    t->a = malloc(5 * sizeof *t->a * N * N);
    FV_CHECK(t->sent && t->back && t->a, FV_ERR_MEMORY, "no memory for a test of the back end");
    t->b = t->a + N * N;
    t->c = t->b + N * N;
    t->once = t->c + N * N;
    t->halves = (uint16_t *)(t->once + N * N);
    return fv_backend_alloc(t->backend, N_COPIED * sizeof *t->sent, &t->memory);
}

static fv_err test_copies(test *t)
{
    fv_tensor there = fv_tensor_1d(t->memory, FV_I32, N_COPIED);
    for (uint32_t i = 0; i < N_COPIED; i++)
        t->sent[i] = (int32_t)(i * 2654435761u);
    FV_TRY(fv_upload_array(t->backend, there, t->sent));
    FV_TRY(fv_download_now(t->backend, there, t->back));
    int64_t n = 0;
    for (int64_t i = 0; i < N_COPIED; i++)
        n += t->sent[i] != t->back[i];
    FV_CHECK(
        n == 0, FV_ERR_DEVICE,
        "%lld of %d numbers that were copied there and back are other ones: its memory or the way to it is "
        "faulty; %s",
        (long long)n, N_COPIED, mend);
    return FV_OK;
}

/* Matrices behind each other in the memory. */
static fv_tensor matrix(const test *t, int number, fv_dtype dtype, int64_t rows)
{
    return fv_tensor_2d((char *)t->memory + (size_t)number * N * N * sizeof(float), dtype, rows, N);
}

static fv_err send(const test *t, int number, const float *values)
{
    fv_dtype_encode(FV_BF16, values, N * N, t->halves);
    return fv_upload_array(t->backend, matrix(t, number, FV_BF16, N), t->halves);
}

/* c = a b^T for some rows of a. */
static fv_err multiply(const test *t, int first, int64_t rows, float *c)
{
    fv_tensor a = fv_tensor_rows(matrix(t, 0, FV_BF16, N), first, rows), to = matrix(t, 2, FV_F32, rows);
    FV_TRY(
        fv_gemm(t->backend, &(fv_gemm_args){.a = a, .b = matrix(t, 1, FV_BF16, N), .c = to, .trans_b = 1}));
    return fv_download_now(t->backend, to, c);
}

/* Small whole numbers: every sum is exact in any order. */
static fv_err test_product(test *t)
{
    for (int i = 0; i < N * N; i++) {
        t->a[i] = (float)((i / N + 3 * (i % N)) % 7 - 3);
        t->b[i] = (float)((5 * (i / N) + i % N) % 9 - 4);
    }
    FV_TRY(send(t, 0, t->a));
    FV_TRY(send(t, 1, t->b));
    FV_TRY(multiply(t, 0, N, t->c));
    for (int i = 0; i < N * N; i++) {
        float sum = 0;
        for (int k = 0; k < N; k++)
            sum += t->a[i / N * N + k] * t->b[i % N * N + k];
        FV_CHECK(t->c[i] == sum, FV_ERR_DEVICE,
                 "a product of whole numbers is wrong: row %d, column %d is %g, and should be %g; %s", i / N,
                 i % N, (double)t->c[i], (double)sum, mend);
    }
    return FV_OK;
}

static fv_err check_bits(const float *found, const float *wanted, size_t n, const char *what)
{
    FV_CHECK(memcmp(found, wanted, n * sizeof *found) == 0, FV_ERR_DEVICE,
             "a product has other bits %s, so a rollout and its update would differ; %s", what, mend);
    return FV_OK;
}

static fv_err test_bits(test *t)
{
    for (uint32_t i = 0; i < N * N; i++) {
        t->a[i] = fv_rng_normal((fv_rng_key){.seed = 1}, i);
        t->b[i] = fv_rng_normal((fv_rng_key){.seed = 2}, i);
    }
    FV_TRY(send(t, 0, t->a));
    FV_TRY(send(t, 1, t->b));
    FV_TRY(multiply(t, 0, N, t->once));
    for (int i = 0; i < REPEATS; i++) {
        FV_TRY(multiply(t, 0, N, t->c));
        FV_TRY(check_bits(t->c, t->once, N * N, "when it is computed again"));
    }
    FV_TRY(multiply(t, ROW, 1, t->c));
    return check_bits(t->c, t->once + ROW * N, N, "for a row alone than among others");
}

static fv_err run(test *t)
{
    FV_TRY(allocate(t));
    FV_TRY(test_copies(t));
    FV_TRY(test_product(t));
    return test_bits(t);
}

fv_err fv_backend_self_test(fv_backend *backend)
{
    test t = {.backend = backend};
    fv_err err = run(&t);
    fv_backend_release(backend, t.memory);
    free(t.a);
    free(t.back);
    free(t.sent);
    return err;
}
