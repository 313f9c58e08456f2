/* The matrix product on the CPU, bit by bit against its definition: one chain of fused multiply-adds. */
#include "kernels.h"

enum { MOST = 1 << 18, GAP = 5 };

static float a[MOST], b[MOST], c[MOST], old[MOST], bias[MOST];

typedef struct problem {
    int m, n, k, trans_a, trans_b, accumulate, with_bias, gap;
} problem;

static fv_tensor matrix(const float *x, int rows, int cols, int gap)
{
    fv_tensor t = f32_2d(x, rows, cols);
    t.stride += gap;
    return t;
}

static fv_gemm_args args_of(const problem *p)
{
    return (fv_gemm_args){.a = matrix(a, p->trans_a ? p->k : p->m, p->trans_a ? p->m : p->k, p->gap),
                          .b = matrix(b, p->trans_b ? p->n : p->k, p->trans_b ? p->k : p->n, 2 * p->gap),
                          .bias = p->with_bias ? f32_1d(bias, p->n) : (fv_tensor){.data = NULL},
                          .c = matrix(c, p->m, p->n, p->gap),
                          .trans_a = p->trans_a,
                          .trans_b = p->trans_b,
                          .accumulate = p->accumulate};
}

static float element(fv_tensor x, int trans, int row, int col)
{
    return ((const float *)x.data)[trans ? col * x.stride + row : row * x.stride + col];
}

static float expected(const problem *p, const fv_gemm_args *g, int i, int j)
{
    float sum = p->accumulate ? old[i * g->c.stride + j] : 0.0f;
    for (int k = 0; k < p->k; k++)
        sum = fmaf(element(g->a, p->trans_a, i, k), element(g->b, p->trans_b, k, j), sum);
    return p->with_bias ? sum + bias[j] : sum;
}

static void check_problem(fv_backend *backend, problem p)
{
    char what[160];
    fv_gemm_args g = args_of(&p);
    int64_t span = p.m * g.c.stride;
    snprintf(what, sizeof what, "%s, %d threads: m %d n %d k %d%s%s%s%s", backend->table->name,
             backend->n_threads, p.m, p.n, p.k, p.trans_a ? " trans_a" : "", p.trans_b ? " trans_b" : "",
             p.accumulate ? " accumulate" : "", p.with_bias ? " bias" : "");
    assert_true(span <= MOST);
    memcpy(c, old, (size_t)span * sizeof *c);
    assert_ok(backend->table->gemm(backend, &g));
    for (int i = 0; i < p.m; i++)
        for (int j = 0; j < g.c.stride; j++) {
            float want = j < p.n ? expected(&p, &g, i, j) : old[i * g.c.stride + j];
            assert_same_bits(&c[i * g.c.stride + j], &want, 1, what);
        }
}

/* Sizes around the edges of tiles, panels and blocks, every layout, with rows apart and not. */
static void check_all(fv_backend *backend)
{
    static const int sizes[][3] = {{1, 1, 1},     {1, 16, 4},  {2, 17, 3},   {3, 33, 7},    {5, 8, 70},
                                   {6, 16, 64},   {7, 31, 29}, {4, 64, 261}, {8, 47, 13},   {13, 70, 9},
                                   {15, 6, 0},    {17, 1, 31}, {29, 49, 65}, {64, 64, 64},  {70, 70, 70},
                                   {9, 3, 515},   {1, 97, 90}, {540, 5, 10}, {2, 33, 2103}, {15, 37, 2070},
                                   {37, 290, 33}, {67, 66, 1}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int flags = 0; flags < 32; flags++)
            check_problem(backend, (problem){sizes[s][0], sizes[s][1], sizes[s][2], flags & 1, flags >> 1 & 1,
                                             flags >> 2 & 1, flags >> 3 & 1, flags & 16 ? GAP : 0});
}

static void test_definition(void **state)
{
    (void)state;
    fv_backend *backend;
    for (int i = 0; (backend = variant(i)); i++) {
        check_all(backend);
        fv_backend_destroy(backend);
    }
}

static void test_every_small_size(void **state)
{
    (void)state;
    fv_backend *backend = best();
    for (int size = 1; size <= 70; size++)
        for (int flags = 0; flags < 4; flags++) {
            int trans_a = flags & 1, trans_b = flags >> 1;
            check_problem(backend, (problem){size, 71 - size, size, trans_a, trans_b, 0, 1, 0});
            check_problem(backend, (problem){71 - size, size, 8, trans_a, trans_b, 1, 0, GAP});
        }
    fv_backend_destroy(backend);
}

/* Any rows alone give the bits that they have among all. */
static void test_row_invariance(void **state)
{
    (void)state;
    enum { M = 40, N = 200, K = 700 };
    static float whole[M * N], part[M * N];
    fv_backend *backend = best();
    for (int trans_b = 0; trans_b < 2; trans_b++) {
        fv_tensor x = f32_2d(a, M, K), w = trans_b ? f32_2d(b, N, K) : f32_2d(b, K, N);
        RUN(backend, gemm, .a = x, .b = w, .bias = f32_1d(bias, N), .c = f32_2d(whole, M, N),
            .trans_b = trans_b);
        for (int n = 1; n <= 9; n++)
            for (int i = 0; i + n <= M; i += n) {
                RUN(backend, gemm, .a = fv_tensor_rows(x, i, n), .b = w, .bias = f32_1d(bias, N),
                    .c = f32_2d(part, n, N), .trans_b = trans_b);
                assert_same_bits(part, whole + i * N, n * N, "rows alone");
            }
    }
    fv_backend_destroy(backend);
}

static int fill(void **state)
{
    (void)state;
    fill_normal(a, MOST, 1, 1.0f);
    fill_normal(b, MOST, 2, 1.0f);
    fill_normal(old, MOST, 3, 1.0f);
    fill_normal(bias, MOST, 4, 1.0f);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definition),
        cmocka_unit_test(test_every_small_size),
        cmocka_unit_test(test_row_invariance),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}
