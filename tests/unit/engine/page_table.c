/* The page table against a model of it: what every row of every sequence holds, whoever shares it, through
 * extensions, forks, copies on writing and releases. */
#include "test.h"

#include "fovea/base/rng.h"
#include "fovea/engine/page_table.h"

enum { PAGES = 24, SEQUENCES = 6, MAX_TOKENS = 400 };

/* What stands in the rows of the pool, and what should: token i of a sequence has a number of its own, which
 * a fork inherits. */
static int32_t rows[PAGES * FV_PAGE], wanted[SEQUENCES][MAX_TOKENS];
static fv_page_table table;

static int draw(uint64_t seed, uint32_t i, int n)
{
    return (int)(fv_rng_uniform((fv_rng_key){.seed = seed}, i) * (float)n);
}

static void check(void)
{
    int32_t spans[2 * PAGES], used[PAGES] = {0};
    int n_used = 0;
    for (int s = 0; s < SEQUENCES; s++) {
        int64_t n_spans = fv_page_table_spans(&table, s, spans), n = 0;
        assert_true(n_spans <= table.width);
        for (int64_t i = 0; i < n_spans; i++) {
            used[spans[2 * i] / FV_PAGE]++;
            for (int32_t row = spans[2 * i]; row < spans[2 * i] + spans[2 * i + 1]; row++, n++) {
                assert_int_equal(fv_page_table_row(&table, s, n), row);
                assert_int_equal(rows[row], wanted[s][n]);
            }
        }
        assert_int_equal(n, table.n_rows[s]);
    }
    for (int page = 0; page < PAGES; page++) {
        assert_int_equal(used[page], table.n_users[page]);
        n_used += used[page] > 0;
    }
    assert_int_equal(n_used + table.n_free, PAGES);
}

static int extend(int s, int64_t n, uint32_t number)
{
    fv_page_copy copy;
    int64_t first = table.n_rows[s];
    int n_free = table.n_free;
    if (!fv_page_table_extend(&table, s, n, &copy)) {
        assert_int_equal(table.n_rows[s], first);
        assert_int_equal(table.n_free, n_free);
        return 0;
    }
    assert_int_equal(copy.n_rows, copy.n_rows ? first % FV_PAGE : 0);
    for (int32_t i = 0; i < copy.n_rows; i++)
        rows[copy.to * FV_PAGE + i] = rows[copy.from * FV_PAGE + i];
    for (int64_t i = first; i < first + n; i++)
        rows[fv_page_table_row(&table, s, i)] = wanted[s][i] = (int32_t)(number * 1000 + (uint32_t)i);
    return 1;
}

static void fork_from(int from, int to, int64_t n)
{
    fv_page_table_release(&table, to);
    fv_page_table_share(&table, from, to, n);
    memcpy(wanted[to], wanted[from], (size_t)n * sizeof **wanted);
}

static void test_any_order_of_events(void **state)
{
    (void)state;
    int n_refused = 0;
    assert_ok(fv_page_table_init(&table, PAGES, SEQUENCES, MAX_TOKENS));
    for (uint32_t i = 0; i < 3000; i++) {
        int s = draw(3, i, SEQUENCES), other = (s + 1 + draw(4, i, SEQUENCES - 1)) % SEQUENCES;
        int64_t n = 1 + draw(5, i, 90);
        switch (draw(6, i, 6)) {
        case 0:
            fv_page_table_release(&table, s);
            break;
        case 1:
            if (table.n_rows[other] > 0)
                fork_from(other, s, 1 + draw(7, i, (int)table.n_rows[other]));
            break;
        default:
            if (table.n_rows[s] + n <= MAX_TOKENS)
                n_refused += !extend(s, n, i);
        }
        check();
    }
    assert_true(n_refused > 0);
    for (int s = 0; s < SEQUENCES; s++)
        fv_page_table_release(&table, s);
    assert_int_equal(table.n_free, PAGES);
    fv_page_table_fini(&table);
}

/* A page is copied when it is shared and written to, and only then. */
static void test_copies(void **state)
{
    (void)state;
    fv_page_copy copy;
    assert_ok(fv_page_table_init(&table, 4, 3, 2 * FV_PAGE));
    assert_true(fv_page_table_extend(&table, 0, 70, &copy));
    assert_int_equal(copy.n_rows, 0);
    fv_page_table_share(&table, 0, 1, 70);
    fv_page_table_share(&table, 0, 2, FV_PAGE);
    assert_int_equal(table.n_free, 2);
    assert_true(fv_page_table_extend(&table, 1, 1, &copy)); /* the tail is the other's too */
    assert_true(copy.n_rows == 6 && copy.from == fv_page_table_row(&table, 0, FV_PAGE) / FV_PAGE &&
                copy.to == fv_page_table_row(&table, 1, FV_PAGE) / FV_PAGE && copy.to != copy.from);
    assert_true(fv_page_table_extend(&table, 0, 1, &copy)); /* nobody else's any more */
    assert_int_equal(copy.n_rows, 0);
    assert_true(fv_page_table_extend(&table, 2, 1, &copy)); /* begins with a page */
    assert_int_equal(copy.n_rows, 0);
    fv_page_table_release(&table, 2);
    fv_page_table_share(&table, 0, 2, 71);
    assert_true(fv_page_table_extend(&table, 2, 1, &copy));
    assert_int_equal(copy.n_rows, 7);
    fv_page_table_fini(&table);
}

static void test_counts(void **state)
{
    (void)state;
    assert_int_equal(fv_pages_for(0), 0);
    assert_int_equal(fv_pages_for(64), 1);
    assert_int_equal(fv_pages_for(65), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_any_order_of_events),
                                       cmocka_unit_test(test_copies), cmocka_unit_test(test_counts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
