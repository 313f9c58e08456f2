/* The matrix product on the CPU, bit by bit against its definition: one chain of fused multiply-adds. That
 * every instruction set and number of threads gives the same bits is the conformance suite's. */
#include "test.h"

#include "fovea/ops/backend.h"
#include "fovea/base/rng.h"

#include <math.h>

enum { MOST = 1 << 18, GAP = 5 };

static float a[MOST], b[MOST], c[MOST], old[MOST], bias[MOST];
static fv_backend *backend;

typedef struct problem {
    int m, n, k, trans_a, trans_b, accumulate, with_bias, gap;
    fv_chunks chunks;
} problem;

static fv_tensor matrix(float *x, int rows, int cols, int gap)
{
    fv_tensor t = fv_tensor_2d(x, FV_F32, rows, cols);
    t.stride += gap;
    assert_true(rows * t.stride <= MOST);
    return t;
}

static fv_gemm_args args_of(const problem *p)
{
    return (fv_gemm_args){.a = matrix(a, p->trans_a ? p->k : p->m, p->trans_a ? p->m : p->k, p->gap),
                          .b = matrix(b, p->trans_b ? p->n : p->k, p->trans_b ? p->k : p->n, 2 * p->gap),
                          .bias = fv_tensor_1d(p->with_bias ? bias : NULL, FV_F32, p->n),
                          .c = matrix(c, p->m, p->n, p->gap),
                          .trans_a = p->trans_a,
                          .trans_b = p->trans_b,
                          .accumulate = p->accumulate,
                          .chunks = p->chunks};
}

static float element(fv_tensor x, int trans, int row, int col)
{
    return ((const float *)x.data)[trans ? col * x.stride + row : row * x.stride + col];
}

static float chain(const problem *p, const fv_gemm_args *g, int i, int j, int64_t from, int64_t to, float sum)
{
    for (int64_t k = from; k < to; k++)
        sum = fmaf(element(g->a, p->trans_a, i, (int)k), element(g->b, p->trans_b, (int)k, j), sum);
    return sum;
}

/* Chunks [lo, hi) of the problem. */
static float tree(const problem *p, const fv_gemm_args *g, int i, int j, int lo, int hi)
{
    int mid = (lo + hi) / 2; /* their number is a power of two */
    if (hi - lo > 1)
        return tree(p, g, i, j, lo, mid) + tree(p, g, i, j, mid, hi);
    fv_chunks cut = p->chunks;
    int64_t first = cut.first * cut.whole / cut.of;
    return chain(p, g, i, j, (cut.first + lo) * cut.whole / cut.of - first,
                 (cut.first + hi) * cut.whole / cut.of - first, 0.0f);
}

static float expected(const problem *p, const fv_gemm_args *g, int i, int j)
{
    float sum = p->chunks.n ? tree(p, g, i, j, 0, p->chunks.n)
                            : chain(p, g, i, j, 0, p->k, p->accumulate ? old[i * g->c.stride + j] : 0.0f);
    return p->with_bias ? sum + bias[j] : sum;
}

static void check_problem(problem p)
{
    fv_gemm_args g = args_of(&p);
    memcpy(c, old, (size_t)(p.m * g.c.stride) * sizeof *c);
    assert_ok(fv_gemm(backend, &g));
    for (int i = 0; i < p.m; i++)
        for (int j = 0; j < p.n; j++) {
            float want = expected(&p, &g, i, j), found = c[i * g.c.stride + j];
            if (memcmp(&found, &want, sizeof want) != 0)
                fail_msg("m %d n %d k %d chunks %d of %d%s%s%s%s: element (%d, %d) is %a, expected %a", p.m,
                         p.n, p.k, p.chunks.n, p.chunks.of, p.trans_a ? " trans_a" : "",
                         p.trans_b ? " trans_b" : "", p.accumulate ? " accumulate" : "",
                         p.with_bias ? " bias" : "", i, j, (double)found, (double)want);
        }
}

/* Sizes around the edges of tiles, panels and blocks, every layout, with rows apart and not. */
static void test_definition(void **state)
{
    (void)state;
    static const int sizes[][3] = {{1, 1, 1},   {1, 16, 4},  {2, 17, 3},   {3, 33, 7},    {5, 8, 70},
                                   {6, 16, 64}, {7, 31, 29}, {4, 64, 261}, {8, 47, 13},   {13, 70, 9},
                                   {15, 6, 0},  {17, 1, 31}, {29, 49, 65}, {64, 64, 64},  {70, 70, 70},
                                   {9, 3, 515}, {1, 97, 90}, {540, 5, 10}, {37, 290, 33}, {67, 66, 1}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int flags = 0; flags < 32; flags++)
            check_problem((problem){sizes[s][0], sizes[s][1], sizes[s][2], flags & 1, flags >> 1 & 1,
                                    flags >> 2 & 1, flags >> 3 & 1, flags & 16 ? GAP : 0});
}

/* More steps than a block of few rows holds. */
static void test_deep(void **state)
{
    (void)state;
    for (int trans_b = 0; trans_b < 2; trans_b++)
        check_problem((problem){15, 33, 5470, 0, trans_b, trans_b, 1, GAP});
}

static void test_every_small_size(void **state)
{
    (void)state;
    for (int size = 1; size <= 70; size++)
        for (int flags = 0; flags < 4; flags++) {
            int trans_a = flags & 1, trans_b = flags >> 1;
            check_problem((problem){size, 71 - size, size, trans_a, trans_b, 0, 1, 0});
            check_problem((problem){71 - size, size, 8, trans_a, trans_b, 1, 0, GAP});
        }
}

/* Rank `rank` of n_ranks has this much of a whole in chunks. */
static void check_chunks(problem p, int whole, int of, int rank, int n_ranks)
{
    p.chunks = fv_chunks_of_rank(of, whole, rank, n_ranks);
    p.k = (int)fv_chunks_end(p.chunks, p.chunks.n - 1);
    check_problem(p);
}

/* Chunks that are equal and not, that are empty, that fit a block of k and do not, with few rows and many. */
static void test_chunks(void **state)
{
    (void)state;
    static const int sizes[][3] = {{1, 1, 1},    {1, 97, 64},  {3, 33, 0},    {3, 33, 3},  {7, 31, 29},
                                   {15, 6, 61},  {29, 49, 65}, {17, 70, 70},  {9, 3, 515}, {540, 5, 90},
                                   {64, 64, 64}, {2, 35, 903}, {13, 16, 1024}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int of = 1; of <= FV_MAX_CHUNKS; of *= 2)
            for (int flags = 0; flags < 8; flags++) {
                int n_ranks = flags & 4 ? of > 1 ? 2 : 1 : 1;
                problem p = {sizes[s][0],    sizes[s][1],        0, flags & 1, flags >> 1 & 1, 0,
                             flags >> 1 & 1, flags & 1 ? GAP : 0};
                check_chunks(p, sizes[s][2], of, n_ranks - 1, n_ranks);
            }
}

/* Sums wait from block to block of k: in stripes of columns, with several blocks of rows. */
static void test_deep_chunks(void **state)
{
    (void)state;
    for (int of = 1; of <= FV_MAX_CHUNKS; of *= 2)
        for (int trans_b = 0; trans_b < 2; trans_b++) {
            problem few = {15, 33, 0, 0, trans_b, 0, 1, GAP}, many = {400, 400, 0, 0, trans_b, 0, 1, 0};
            check_chunks(few, 5471, of, 0, 1);
            check_chunks(many, 613, of, 0, 1);
        }
    problem blocks = {700, 65, 0, 0, 1, 0, 1, 0};
    check_chunks(blocks, 370, 4, 0, 1);
}

/* A product in one chunk has the bits of one that is not cut. */
static void test_one_chunk(void **state)
{
    (void)state;
    enum { M = 70, N = 65, K = 300 };
    static float whole[M * N];
    problem p = {M, N, K, 0, 1, 0, 1, 0};
    fv_gemm_args g = args_of(&p);
    assert_ok(fv_gemm(backend, &g));
    memcpy(whole, c, sizeof whole);
    g.chunks = fv_chunks_of_rank(1, K, 0, 1);
    assert_ok(fv_gemm(backend, &g));
    assert_memory_equal(whole, c, sizeof whole);
}

static int setup(void **state)
{
    (void)state;
    float *const all[] = {a, b, old, bias};
    for (uint32_t i = 0; i < 4; i++)
        for (uint32_t j = 0; j < MOST; j++)
            all[i][j] = fv_rng_normal((fv_rng_key){.seed = 7, .step = i}, j);
    return fv_backend_cpu_create(NULL, 2, &backend) == FV_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    fv_backend_destroy(backend);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definition),       cmocka_unit_test(test_deep),
        cmocka_unit_test(test_every_small_size), cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_deep_chunks),      cmocka_unit_test(test_one_chunk),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
