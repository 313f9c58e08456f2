/* The cache: what its rows hold after a copy of a page, and one that cannot be. */
#include "model_case.h"

#include "fovea/model/nn/cache.h"
#include "fovea/ops/staging.h"

#include <stdlib.h>

static void open_model(fv_backend **backend, fv_model **model)
{
    assert_ok(fv_backend_cpu_create(NULL, 1, backend));
    assert_ok(fv_model_open(&(fv_model_args){*backend, case_self, temp_path("tiny-qwen2")}, model));
}

enum { PAGES = 3, COPIED = 37 };

/* Rows hold their own numbers; after the copy those of page 2 hold page 0's. */
static void test_copied_rows(void **state)
{
    (void)state;
    fv_backend *backend;
    fv_model *model;
    fv_cache cache;
    open_model(&backend, &model);
    assert_ok(fv_cache_init(&cache, model, PAGES));
    int64_t width = cache.store.keys[0].dim[1] * cache.store.keys[0].dim[2];
    float *rows = malloc(PAGES * FV_PAGE * (size_t)width * sizeof *rows);
    assert_non_null(rows);
    for (int side = 0; side < 2 * cache.n_layers; side++) {
        for (int64_t i = 0; i < PAGES * FV_PAGE * width; i++)
            rows[i] = (float)(side * 1000 + i / width);
        assert_ok(
            fv_upload_array(backend, (side % 2 ? cache.store.values : cache.store.keys)[side / 2], rows));
    }
    assert_ok(fv_cache_copy(&cache, 0, 2, COPIED));
    for (int side = 0; side < 2 * cache.n_layers; side++) {
        assert_ok(
            fv_download_now(backend, (side % 2 ? cache.store.values : cache.store.keys)[side / 2], rows));
        for (int64_t row = 0; row < PAGES * FV_PAGE; row++)
            for (int64_t c = 0; c < width; c++) {
                int is_copied = row >= 2 * FV_PAGE && row < 2 * FV_PAGE + COPIED;
                assert_true(rows[row * width + c] ==
                            (float)(side * 1000 + (is_copied ? row - 2 * FV_PAGE : row)));
            }
    }
    free(rows);
    fv_cache_fini(&cache);
    fv_model_destroy(model);
    fv_backend_destroy(backend);
}

static void test_refusals(void **state)
{
    (void)state;
    fv_backend *backend;
    fv_model *model;
    fv_cache cache;
    open_model(&backend, &model);
    assert_fails(fv_cache_init(&cache, model, 0), FV_ERR_ARGUMENT, "a cache of 0 pages");
    assert_fails(fv_cache_init(&cache, model, 1 << 30), FV_ERR_ARGUMENT,
                 "a cache of 1073741824 pages of 64 tokens, expected 1 to 33554431");
    assert_fails(fv_cache_init(&cache, model, -1), FV_ERR_ARGUMENT, "a cache of -1 pages");
    assert_null(cache.memory);
    const fv_text_shape *shape = &fv_model_shape_of(model)->text;
    assert_int_equal(fv_cache_page_bytes(model),
                     64 * 8 * shape->n_layers * shape->n_kv_heads * shape->head_dim);
    fv_model_destroy(model);
    fv_backend_destroy(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_copied_rows), cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, case_setup, case_teardown);
}
