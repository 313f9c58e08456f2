/* Draws from logits on the CPU. */
#include "kernels.h"

enum { V = 5003, ROWS = 12 };

static float logits[ROWS * V];
static int32_t excluded[40];

static void setup_inputs(void)
{
    fill_normal(logits, ROWS * V, 1, 2.0f);
    for (int j = 0; j < V; j++) {
        logits[2 * V + j] = roundf(logits[2 * V + j] * 2.0f) / 2.0f; /* many ties, -0 among them */
        logits[3 * V + j] = 0.0f;
        logits[4 * V + j] = j % 100 == 7 ? 20.0f : -INFINITY;
        logits[5 * V + j] *= 10.0f;
    }
    for (int i = 0; i < 40; i++)
        excluded[i] = i * 131 % V;
}

typedef struct rule {
    float temperature, top_p;
    int top_k, n_excluded;
} rule;

static fv_err draw(fv_backend *backend, int row, const float *uniform, int n, rule r, int32_t *ids)
{
    fv_tensor tensor = f32_2d(logits + row * V, n, V);
    fv_sample_args args = {tensor, f32_1d(uniform, n), {0}, i32_1d(ids, n), r.temperature, r.top_p, r.top_k};
    if (r.n_excluded)
        args.excluded = i32_1d(excluded, r.n_excluded);
    return backend->table->sample(backend, &args);
}

/* ---- naive reference: sort everything ---- */

typedef struct entry {
    float z;
    int32_t id;
    double p;
} entry;

static int falling(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->z != y->z)
        return x->z < y->z ? 1 : -1;
    return x->id < y->id ? -1 : 1;
}

/* p (V) of each id, 0 for those that are out; returns how many are left. */
static int distribution(int row, rule r, double *p)
{
    static entry e[V];
    int n = 0, kept = 0;
    for (int j = 0; j < V; j++) {
        float z = logits[row * V + j] * (1.0f / r.temperature);
        for (int i = 0; i < r.n_excluded; i++)
            z = excluded[i] == j ? -INFINITY : z;
        if (z > -INFINITY)
            e[n++] = (entry){z, j, 0.0};
        p[j] = 0.0;
    }
    qsort(e, (size_t)n, sizeof *e, falling);
    n = r.top_k && r.top_k < n ? r.top_k : n;
    double total = 0.0, sum = 0.0;
    for (int i = 0; i < n; i++)
        total += e[i].p = exp((double)e[i].z - (double)e[0].z);
    while (kept < n && (kept == 0 || sum < (double)r.top_p * total || r.top_p == 1.0f))
        sum += e[kept++].p;
    for (int i = 0; i < kept; i++)
        p[e[i].id] = e[i].p / sum;
    return kept;
}

static const rule rules[] = {
    {1.0f, 1.0f, 0, 0},  {0.7f, 1.0f, 0, 40},  {1.0f, 1.0f, 1, 0},   {1.0f, 1.0f, 37, 40},
    {1.0f, 0.9f, 0, 0},  {1.3f, 0.5f, 0, 40},  {1.0f, 0.95f, 50, 9}, {1.0f, 0.0f, 0, 0},
    {1.0f, 0.99f, V, 0}, {0.01f, 0.9f, 20, 0}, {1.0f, 0.25f, 4, 40}, {1.0f, 0.999f, 0, 0},
};
enum { N_RULES = sizeof rules / sizeof *rules };

/* At many uniforms the id is the one whose interval of the distribution function holds the uniform. */
static void test_against_sorting(void **state)
{
    (void)state;
    static double p[V];
    fv_backend *backend = best();
    for (int k = 0; k < N_RULES; k++)
        for (int row = 0; row < 6; row++) {
            distribution(row, rules[k], p);
            for (int i = 0; i < 16; i++) {
                float uniform =
                    i == 15 ? 0x1.fffffep-1f : fv_rng_uniform((fv_rng_key){.seed = 3}, (uint32_t)i);
                int32_t id = -1;
                double before = 0.0;
                assert_ok(draw(backend, row, &uniform, 1, rules[k], &id));
                assert_in_range(id, 0, V - 1);
                assert_true(p[id] > 0.0);
                for (int j = 0; j < id; j++)
                    before += p[j];
                assert_true(before <= (double)uniform + 1e-5 && (double)uniform <= before + p[id] + 1e-5);
            }
        }
    fv_backend_destroy(backend);
}

/* Exactly the ids of the reference can be drawn: every one that is expected often enough comes up. */
static void test_survivors(void **state)
{
    (void)state;
    static double p[V];
    static uint8_t seen[V];
    const rule few[] = {{1.0f, 1.0f, 5, 40}, {1.0f, 0.3f, 9, 0}, {0.05f, 0.9f, 0, 0}};
    fv_backend *backend = best();
    for (int k = 0; k < 3; k++)
        for (int row = 0; row < 4; row++) {
            int kept = distribution(row, few[k], p), n_seen = 0;
            memset(seen, 0, sizeof seen);
            for (int j = 0; j < V; j++) { /* a uniform in the middle of each interval */
                double before = 0.0;
                for (int i = 0; p[j] > 0.0 && i < j; i++)
                    before += p[i];
                float uniform = (float)(before + 0.5 * p[j]);
                int32_t id = -1;
                if (p[j] < 1e-5 || (kept > 100 && j % 61 != 0))
                    continue;
                assert_ok(draw(backend, row, &uniform, 1, few[k], &id));
                assert_int_equal(id, j);
                n_seen += !seen[id];
                seen[id] = 1;
            }
            assert_true(n_seen <= kept && n_seen > 0);
        }
    fv_backend_destroy(backend);
}

static void test_greedy(void **state)
{
    (void)state;
    int32_t ids[6];
    const float uniform[6] = {0.9f, 0.9f, 0.9f, 0.9f, 0.9f, 0.9f};
    fv_backend *backend = best();
    assert_ok(draw(backend, 0, uniform, 6, (rule){0.0f, 0.1f, 3, 40}, ids));
    for (int row = 0; row < 6; row++) {
        int at = -1;
        for (int j = 0; j < V; j++) {
            int out = 0;
            for (int i = 0; i < 40; i++)
                out |= excluded[i] == j;
            if (!out && (at < 0 || logits[row * V + j] > logits[row * V + at]))
                at = j;
        }
        assert_int_equal(ids[row], at);
    }
    fv_backend_destroy(backend);
}

/* 0 takes the first id that is possible at all, even past a whole chunk of impossible ones; -0 ties with 0.
 */
static void test_edges(void **state)
{
    (void)state;
    static float kept[V];
    const float uniform = 0.0f;
    int32_t id;
    fv_backend *backend = best();
    memcpy(kept, logits, sizeof kept);
    for (int j = 0; j < FV_VOCAB_CHUNK + 100; j++)
        logits[j] = -INFINITY;
    assert_ok(draw(backend, 0, &uniform, 1, rules[0], &id));
    assert_int_equal(id, FV_VOCAB_CHUNK + 100);
    for (int j = 0; j < V; j++)
        logits[j] = j == 30 ? -0.0f : j == 70 ? 0.0f : -1.0f;
    for (int k = 0; k < 2; k++) {
        assert_ok(draw(backend, 0, &uniform, 1, (rule){1.0f, k ? 0.0f : 1.0f, k ? 0 : 1, 0}, &id));
        assert_int_equal(id, 30);
    }
    memcpy(logits, kept, sizeof kept);
    fv_backend_destroy(backend);
}

/* Chi-square of draws against the probabilities, over cells of at least 5 expected draws. */
static void test_frequencies(void **state)
{
    (void)state;
    enum { N = 2500, CELLS = 64 };
    static double p[V];
    int32_t id;
    const rule some[] = {{1.0f, 1.0f, 0, 40}, {1.0f, 0.8f, 0, 0}, {1.5f, 1.0f, 300, 0}};
    fv_backend *backend = best();
    for (int k = 0; k < 3; k++) {
        double expected[CELLS] = {0}, chi = 0.0;
        int found[CELLS] = {0};
        distribution(0, some[k], p);
        for (int j = 0; j < V; j++)
            expected[j % CELLS] += N * p[j];
        for (int i = 0; i < N; i++) {
            float uniform = fv_rng_uniform((fv_rng_key){.seed = 11, .step = (uint32_t)k}, (uint32_t)i);
            assert_ok(draw(backend, 0, &uniform, 1, some[k], &id));
            found[id % CELLS]++;
        }
        for (int c = 0; c < CELLS; c++)
            chi += expected[c] > 5.0 ? pow(found[c] - expected[c], 2.0) / expected[c] : 0.0;
        assert_true(chi < 112.0); /* one in 10,000 of chi-square with 63 degrees of freedom */
    }
    fv_backend_destroy(backend);
}

static void case_sample(fv_backend *backend, float *out)
{
    static float uniform[ROWS];
    for (int k = 0; k < N_RULES; k++) {
        int32_t ids[ROWS];
        for (int row = 0; row < ROWS; row++)
            uniform[row] = fv_rng_uniform((fv_rng_key){.seed = 5, .step = (uint32_t)k}, (uint32_t)row);
        assert_ok(draw(backend, 0, uniform, ROWS, rules[k], ids));
        memcpy(out + k * ROWS, ids, sizeof ids);
        for (int row = 0; row < ROWS; row += 5) {
            int32_t id;
            assert_ok(draw(backend, row, uniform + row, 1, rules[k], &id));
            assert_int_equal(id, ids[row]);
        }
    }
}

static void test_same_ids_everywhere(void **state)
{
    (void)state;
    check_same_bits(case_sample, N_RULES * ROWS);
}

static void test_bad_rows(void **state)
{
    (void)state;
    const float uniform[4] = {0.5f, NAN, 1.0f, -1.0f};
    const float kept = logits[2 * V + 100];
    int32_t ids[4];
    fv_backend *backend = best();
    logits[2 * V + 100] = NAN;
    assert_fails(draw(backend, 1, uniform, 3, rules[0], ids), FV_ERR_NUMERIC, "row 1 of the logits");
    logits[2 * V + 100] = INFINITY;
    assert_fails(draw(backend, 2, uniform, 1, rules[0], ids), FV_ERR_NUMERIC, "row 0 of the logits");
    logits[2 * V + 100] = kept;
    assert_ok(draw(backend, 0, uniform, 4, rules[3], ids)); /* no uniform leads outside */
    for (int i = 0; i < 4; i++)
        assert_in_range(ids[i], 0, V - 1);
    logits[excluded[3]] = NAN;
    assert_ok(draw(backend, 0, uniform, 1, rules[1], ids)); /* excluded ids do not matter */
    logits[excluded[3]] = 0.0f;
    fv_backend_destroy(backend);
}

int main(void)
{
    setup_inputs();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_sorting),
        cmocka_unit_test(test_survivors),
        cmocka_unit_test(test_greedy),
        cmocka_unit_test(test_frequencies),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_bad_rows),
        cmocka_unit_test(test_same_ids_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
