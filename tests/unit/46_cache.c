/* Pages of the key-value cache: rows, spans, growth, refusal, reuse. */
#include "model_case.h"

#include "fovea/cache.h"

static fv_comm *self;
static model_case c;

static int setup(void **state)
{
    fv_backend *backend;
    if (temp_setup(state) != 0 || fv_comm_self(&self) != FV_OK || fv_backend_cpu_create(NULL, 1, &backend))
        return -1;
    case_write("tiny-qwen2");
    case_open(&c, backend, self, temp_path("tiny-qwen2"));
    return 0;
}

static int teardown(void **state)
{
    case_close(&c);
    fv_comm_destroy(self);
    return temp_teardown(state);
}

/* Every row of the cache belongs to at most one sequence, and spans name a sequence's rows in order. */
static void check_rows(const fv_cache_sequence *sequences, int n, int n_pages)
{
    uint8_t used[64 * FV_CACHE_PAGE] = {0};
    int32_t spans[2 * 64];
    for (int i = 0; i < n; i++) {
        int64_t n_spans = fv_cache_spans(&sequences[i], spans), tokens = 0;
        assert_true(n_spans <= sequences[i].n_pages);
        for (int64_t s = 0; s < n_spans; s++)
            for (int32_t row = spans[2 * s]; row < spans[2 * s] + spans[2 * s + 1]; row++, tokens++) {
                assert_in_range(row, 0, n_pages * FV_CACHE_PAGE - 1);
                assert_int_equal(used[row]++, 0);
            }
        assert_int_equal(tokens, sequences[i].n_tokens);
    }
}

static void test_sequences_grow_and_end(void **state)
{
    (void)state;
    enum { PAGES = 16, SEQUENCES = 5 };
    fv_cache *cache;
    fv_cache_sequence sequences[SEQUENCES] = {{0}};
    int32_t slots[200];
    assert_ok(fv_cache_create(c.model, PAGES, &cache));
    for (uint32_t i = 0; i < 400; i++) {
        float draw = fv_rng_uniform((fv_rng_key){.seed = 3}, i);
        fv_cache_sequence *s = &sequences[(int)(draw * SEQUENCES)];
        int64_t n = 1 + (int64_t)(fv_rng_uniform((fv_rng_key){.seed = 4}, i) * 150.0f), before = s->n_tokens;
        int wanted = fv_cache_pages_for(before + n) - s->n_pages, free_pages = fv_cache_free_pages(cache);
        fv_err err = fv_cache_extend(cache, s, n, slots);
        assert_int_equal(err, wanted > free_pages ? FV_AGAIN : FV_OK);
        assert_int_equal(s->n_tokens, err == FV_OK ? before + n : before);
        for (int64_t t = 0; t < n && err == FV_OK; t++)
            assert_int_equal(slots[t], s->pages[(before + t) / FV_CACHE_PAGE] * FV_CACHE_PAGE +
                                           (before + t) % FV_CACHE_PAGE);
        if (err != FV_OK)
            fv_cache_release(cache, s);
        check_rows(sequences, SEQUENCES, PAGES);
    }
    for (int i = 0; i < SEQUENCES; i++)
        fv_cache_release(cache, &sequences[i]);
    assert_int_equal(fv_cache_free_pages(cache), PAGES);
    fv_cache_destroy(cache);
}

static void test_refusals(void **state)
{
    (void)state;
    fv_cache *cache;
    assert_fails(fv_cache_create(c.model, 0, &cache), FV_ERR_ARGUMENT, "a cache of 0 pages");
    assert_fails(fv_cache_create(c.model, 1 << 30, &cache), FV_ERR_ARGUMENT, "pages of 64 tokens");
    assert_null(cache);
    assert_int_equal(fv_cache_pages_for(0), 0);
    assert_int_equal(fv_cache_pages_for(64), 1);
    assert_int_equal(fv_cache_pages_for(65), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sequences_grow_and_end),
                                       cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
