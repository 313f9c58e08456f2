/* Copies through the ring of pinned buffers: what goes up comes back, whatever its size and layout, and what
 * lies between is left alone. */
#include "test.h"

#include "fovea/ops/staging.h"

#include <stdlib.h>
#include <string.h>

static fv_backend *backend;
static fv_backend_table counting;
static int n_uploads, n_pinned;
static fv_err (*real_upload)(fv_backend *, fv_stream, fv_tensor, const void *);
static fv_err (*real_host_alloc)(fv_backend *, size_t, void **);

static fv_err count_upload(fv_backend *b, fv_stream stream, fv_tensor to, const void *from)
{
    n_uploads++;
    return real_upload(b, stream, to, from);
}

static fv_err count_host_alloc(fv_backend *b, size_t bytes, void **out)
{
    n_pinned++;
    return real_host_alloc(b, bytes, out);
}

static int setup(void **state)
{
    (void)state;
    if (fv_backend_cpu_create(NULL, 2, &backend) != FV_OK ||
        fv_backend_check_create(backend, &backend) != FV_OK)
        return -1;
    counting = *backend->table;
    real_upload = counting.upload;
    real_host_alloc = counting.host_alloc;
    counting.upload = count_upload;
    counting.host_alloc = count_host_alloc;
    backend->table = &counting;
    n_uploads = n_pinned = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fv_backend_destroy(backend);
    return 0;
}

static int32_t *numbers(int64_t n, int32_t first)
{
    int32_t *out = malloc((size_t)n * sizeof *out + 1);
    assert_non_null(out);
    for (int64_t i = 0; i < n; i++)
        out[i] = first + (int32_t)i;
    return out;
}

static void *take(size_t bytes)
{
    void *memory;
    assert_ok(fv_backend_alloc(backend, bytes, &memory));
    return memory;
}

/* Up and down, with the tensor's rows side by side in host memory. */
static void check_round_trip(fv_tensor t)
{
    int64_t n = fv_tensor_count(t);
    int32_t *up = numbers(n, 5), *down = numbers(n, 0);
    assert_ok(fv_upload_array(backend, t, up));
    assert_ok(fv_download_now(backend, t, down));
    assert_memory_equal(up, down, (size_t)n * sizeof *up);
    free(up);
    free(down);
}

static void test_sizes(void **state)
{
    (void)state;
    const int64_t whole = FV_STAGING_BYTES / 4, sizes[] = {0, 1, whole - 1, whole, whole + 1, 9 * whole + 7};
    int32_t *memory = take((size_t)(9 * whole + 7) * 4);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        check_round_trip(fv_tensor_1d(memory, FV_I32, sizes[i]));
    assert_int_equal(n_pinned, FV_STAGING_BUFFERS); /* whatever goes through them */
    fv_backend_free(backend, memory);
}

/* Columns of a matrix: some rows at a time, and the columns beside them stay. */
static void test_rows_apart(void **state)
{
    (void)state;
    enum { ROWS = 700, COLS = 1000, WIDTH = 1003 };
    int32_t *memory = take((size_t)ROWS * WIDTH * 4), *all = numbers((int64_t)ROWS * WIDTH, 0);
    fv_tensor whole = fv_tensor_2d(memory, FV_I32, ROWS, WIDTH);
    memset(all, 7, (size_t)ROWS * WIDTH * 4);
    assert_ok(fv_upload_array(backend, whole, all));
    check_round_trip(fv_tensor_cols(whole, 1, COLS));
    assert_ok(fv_download_now(backend, whole, all));
    for (int64_t i = 0; i < ROWS; i++)
        for (int64_t j = 0; j < WIDTH; j++)
            if (j < 1 || j > COLS)
                assert_int_equal(all[i * WIDTH + j], 0x07070707);
    fv_backend_free(backend, memory);
    free(all);
    fv_tensor wide = {backend, FV_I32, 2, {2, FV_STAGING_BYTES, 1}, FV_STAGING_BYTES + 1};
    assert_fails(fv_upload_array(backend, wide, &wide), FV_ERR_UNSUPPORTED, "rows that lie apart");
}

/* Tensors of one arena go in one copy; what does not lie beside them, or does not fit, in one of its own. */
static void test_parts(void **state)
{
    (void)state;
    enum { N = 5 };
    const int64_t sizes[N] = {3, 65, 0, 1, 300};
    fv_tensor t[N];
    fv_upload_part parts[N + 1];
    size_t bytes = 4 * FV_STAGING_BYTES;
    fv_arena arena = fv_arena_over("parts", take(bytes), bytes);
    for (int i = 0; i < N; i++) {
        assert_ok(fv_tensor_take(&arena, FV_I32, 1, &sizes[i], &t[i]));
        parts[i] = (fv_upload_part){t[i], numbers(sizes[i], 100 * i)};
    }
    assert_ok(fv_upload_parts(backend, parts, N));
    assert_int_equal(n_uploads, 1);
    for (int i = 0; i < N; i++) {
        int32_t *found = numbers(sizes[i], 0);
        assert_ok(fv_download_now(backend, t[i], found));
        assert_memory_equal(found, parts[i].from, (size_t)sizes[i] * 4);
        free(found);
    }
    fv_tensor far = fv_tensor_1d((char *)arena.base + 2 * FV_STAGING_BYTES, FV_I32, 65);
    parts[N] = (fv_upload_part){far, parts[1].from};
    n_uploads = 0;
    assert_ok(fv_upload_parts(backend, parts, N + 1));
    assert_int_equal(n_uploads, 2);
    for (int i = 0; i < N; i++)
        free((void *)parts[i].from);
    fv_backend_free(backend, arena.base);
}

static void test_own_ring(void **state)
{
    (void)state;
    enum { N = 64, ROUNDS = 3 * FV_STAGING_BUFFERS };
    fv_staging *staging;
    void *buffer, *first[FV_STAGING_BUFFERS];
    int32_t *memory = take(ROUNDS * N * 4), found[N];
    assert_ok(fv_staging_create(backend, N * 4, &staging));
    for (int i = 0; i < ROUNDS; i++) {
        assert_ok(fv_staging_next(staging, &buffer));
        if (i < FV_STAGING_BUFFERS)
            first[i] = buffer;
        assert_ptr_equal(buffer, first[i % FV_STAGING_BUFFERS]);
        for (int j = 0; j < N; j++)
            ((int32_t *)buffer)[j] = N * i + j;
        assert_ok(fv_staging_upload(staging, fv_tensor_1d(memory + N * i, FV_I32, N)));
    }
    assert_fails(fv_staging_upload(staging, fv_tensor_1d(memory, FV_I32, N + 1)), FV_ERR_INTERNAL,
                 "from a buffer of 256");
    for (int i = 0; i < ROUNDS; i++) {
        assert_ok(fv_download_now(backend, fv_tensor_1d(memory + N * i, FV_I32, N), found));
        assert_int_equal(found[N - 1], N * i + N - 1);
    }
    fv_staging_destroy(staging);
    fv_backend_free(backend, memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rows_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_parts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_own_ring, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
