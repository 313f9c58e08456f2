/* Optional operations: a back end's own one is called, and what it leaves out is composed of others, through
 * every wrapper. */
#include "test.h"

#include "fovea/ops/staging.h"

enum { T = 3, H = 2, K = 1, D = 4, ROWS = 5 };

static fv_backend_table with_own;
static int n_own;

static fv_err own_rope_store(fv_backend *backend, const fv_rope_store_args *args)
{
    (void)backend;
    (void)args;
    n_own++;
    return FV_OK;
}

static fv_tensor take(fv_backend *backend, fv_dtype dtype, int n_dims, const int64_t *dim, const void *from)
{
    fv_tensor t = {.dtype = dtype, .n_dims = n_dims, .dim = {1, 1, 1}};
    memcpy(t.dim, dim, (size_t)n_dims * sizeof *dim);
    t.stride = n_dims == 1 ? 1 : fv_tensor_row_count(t);
    assert_ok(fv_backend_alloc(backend, fv_tensor_span_bytes(t), &t.data));
    assert_ok(fv_upload_array(backend, t, from));
    return t;
}

static fv_tensor take_f32(fv_backend *backend, int n_dims, int64_t d0, int64_t d1, int64_t d2, float first)
{
    float x[64];
    const int64_t dim[] = {d0, d1, d2};
    for (int i = 0; i < 64; i++)
        x[i] = first + (float)i;
    return take(backend, FV_F32, n_dims, dim, x);
}

static void call(fv_backend *backend, float keys[ROWS * D], float values[ROWS * D])
{
    const int32_t slots[] = {4, 9, 0};
    fv_rope_store_args args = {.cos = take_f32(backend, 2, T, D / 2, 1, 1),
                               .sin = take_f32(backend, 2, T, D / 2, 1, 2),
                               .q = take_f32(backend, 3, T, H, D, 3),
                               .k = take_f32(backend, 3, T, K, D, 4),
                               .v = take_f32(backend, 3, T, K, D, 100),
                               .slots = take(backend, FV_I32, 1, (int64_t[]){T}, slots),
                               .keys = take_f32(backend, 3, ROWS, K, D, 0),
                               .values = take_f32(backend, 3, ROWS, K, D, 0)};
    assert_ok(fv_rope_store(backend, &args));
    assert_ok(fv_download_now(backend, args.keys, keys));
    assert_ok(fv_download_now(backend, args.values, values));
    const fv_tensor all[] = {args.cos, args.sin, args.q, args.k, args.v, args.slots, args.keys, args.values};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        fv_backend_free(backend, all[i].data);
}

static fv_backend *open_cpu(void)
{
    fv_backend *backend;
    assert_ok(fv_backend_cpu_create(NULL, 1, &backend));
    return backend;
}

/* The last token goes to row 0: (12 + i, 14 + i) turned by cos 5 + i and sin 6 + i, i = 0, 1 of token 2. */
static void expect_composed(fv_backend *backend)
{
    float keys[ROWS * D], values[ROWS * D];
    call(backend, keys, values);
    for (int i = 0; i < 2; i++) {
        float x1 = 12.0f + (float)i, x2 = 14.0f + (float)i, c = 5.0f + (float)i, s = 6.0f + (float)i;
        assert_true(keys[i] == x1 * c - x2 * s && keys[i + 2] == x2 * c + x1 * s);
        assert_true(values[i] == 108.0f + (float)i && values[4 * D + i] == 100.0f + (float)i);
    }
    assert_true(keys[D] == (float)D && values[3 * D] == 3.0f * D); /* as they were */
    assert_int_equal(n_own, 0);
    fv_backend_destroy(backend);
}

static void test_composed(void **state)
{
    (void)state;
    fv_backend *wrapped;
    n_own = 0;
    expect_composed(open_cpu());
    assert_ok(fv_backend_check_create(open_cpu(), &wrapped));
    expect_composed(wrapped);
    assert_ok(fv_backend_deferred_create(open_cpu(), &wrapped));
    expect_composed(wrapped);
}

static void test_own(void **state)
{
    (void)state;
    float keys[ROWS * D], values[ROWS * D];
    for (int wrap = 0; wrap < 3; wrap++) {
        fv_backend *backend = open_cpu();
        with_own = *backend->table;
        with_own.rope_store = own_rope_store;
        backend->table = &with_own;
        if (wrap == 1)
            assert_ok(fv_backend_check_create(backend, &backend));
        if (wrap == 2)
            assert_ok(fv_backend_deferred_create(backend, &backend));
        n_own = 0;
        call(backend, keys, values);
        assert_int_equal(n_own, 1);
        assert_true(keys[0] == 0.0f && values[0] == 0.0f);
        fv_backend_destroy(backend);
    }
}

/* Who makes no plans wants no memory for one. */
static void test_no_plan(void **state)
{
    (void)state;
    fv_backend *backend = open_cpu();
    fv_attention_plan_args args = {.segments = fv_tensor_2d(NULL, FV_I32, 3, FV_SEGMENT_FIELDS),
                                   .spans = fv_tensor_2d(NULL, FV_I32, 3, FV_SPAN_FIELDS),
                                   .n_queries = 9,
                                   .n_heads = 2,
                                   .n_kv_heads = 1,
                                   .head_dim = 8};
    assert_int_equal(fv_attention_plan_bytes(backend, &args), 0);
    fv_backend_destroy(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_composed),
        cmocka_unit_test(test_own),
        cmocka_unit_test(test_no_plan),
    };
    return cmocka_run_group_tests_name("compose", tests, NULL, NULL);
}
