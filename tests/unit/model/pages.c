/* Pages of rows: growth, spans, refusal, reuse; and a cache that cannot be. */
#include "model_case.h"

#include "fovea/model/nn/cache.h"

enum { PAGES = 16, LISTS = 5 };

/* Every row of the pool belongs to at most one list, and spans name a list's rows in order. */
static void check_rows(const fv_page_list *lists)
{
    uint8_t used[PAGES * FV_PAGE] = {0};
    int32_t spans[2 * PAGES];
    for (int i = 0; i < LISTS; i++) {
        int64_t n_spans = fv_pages_spans(&lists[i], spans), n = 0;
        assert_true(n_spans <= lists[i].n_pages);
        for (int64_t s = 0; s < n_spans; s++)
            for (int32_t row = spans[2 * s]; row < spans[2 * s] + spans[2 * s + 1]; row++, n++) {
                assert_in_range(row, 0, PAGES * FV_PAGE - 1);
                assert_int_equal(fv_pages_row(&lists[i], n), row);
                assert_int_equal(used[row]++, 0);
            }
        assert_int_equal(n, lists[i].n_rows);
    }
}

static void test_lists_grow_and_end(void **state)
{
    (void)state;
    fv_page_pool pool;
    fv_page_list lists[LISTS] = {{0}};
    int32_t rows[200];
    assert_ok(fv_page_pool_init(&pool, PAGES));
    for (uint32_t i = 0; i < 400; i++) {
        float draw = fv_rng_uniform((fv_rng_key){.seed = 3}, i);
        fv_page_list *list = &lists[(int)(draw * LISTS)];
        int64_t n = 1 + (int64_t)(fv_rng_uniform((fv_rng_key){.seed = 4}, i) * 150.0f), before = list->n_rows;
        int wanted = fv_pages_for(before + n) - list->n_pages, n_free = pool.n_free;
        fv_err err = fv_pages_extend(&pool, list, n, rows);
        assert_int_equal(err, wanted > n_free ? FV_BUSY : FV_OK);
        assert_int_equal(list->n_rows, err == FV_OK ? before + n : before);
        for (int64_t t = 0; t < n && err == FV_OK; t++)
            assert_int_equal(rows[t], fv_pages_row(list, before + t));
        if (err != FV_OK)
            fv_pages_release(&pool, list);
        check_rows(lists);
    }
    for (int i = 0; i < LISTS; i++)
        fv_pages_release(&pool, &lists[i]);
    assert_int_equal(pool.n_free, PAGES);
    fv_page_pool_fini(&pool);
    assert_int_equal(fv_pages_for(0), 0);
    assert_int_equal(fv_pages_for(64), 1);
    assert_int_equal(fv_pages_for(65), 2);
}

static void test_refusals(void **state)
{
    (void)state;
    fv_page_pool pool;
    fv_backend *backend;
    fv_model *model;
    fv_cache cache;
    assert_fails(fv_page_pool_init(&pool, 0), FV_ERR_ARGUMENT, "a pool of 0 pages");
    assert_fails(fv_page_pool_init(&pool, 1 << 30), FV_ERR_ARGUMENT, "pages of 64 rows");
    assert_ok(fv_backend_cpu_create(NULL, 1, &backend));
    assert_ok(fv_model_open(&(fv_model_args){backend, case_self, temp_path("tiny-qwen2")}, &model));
    assert_fails(fv_cache_init(&cache, model, -1), FV_ERR_ARGUMENT, "a pool of -1 pages");
    assert_null(cache.memory);
    const fv_text_shape *shape = &fv_model_shape_of(model)->text;
    assert_int_equal(fv_cache_page_bytes(model),
                     64 * 8 * shape->n_layers * shape->n_kv_heads * shape->head_dim);
    fv_model_destroy(model);
    fv_backend_destroy(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lists_grow_and_end),
                                       cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, case_setup, case_teardown);
}
