/* Speed of the matrix product beside OpenBLAS and BLIS: by turns in one process, on the same data and
 * threads.
 *
 * The second table has the shapes of decoding, where each weight is read once: it adds the product with
 * weights in BF16, and the speed at which the same threads only read the same weights. The weights lie in a
 * pool larger than the caches, and every call takes the next ones. A single row is multiplied by the peers'
 * sgemv.
 *
 * usage: bench_gemm [ISA [ROUNDS]]      (avx512, avx2 or portable; without peers, their columns are 0) */
#include "bench.h"
#include "fovea/ops/backend.h"
#include "fovea/base/rng.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_ROUNDS = 99, MAX_SIZE = 1024, MAX_WEIGHTS = 2048 * 11008, MAX_ROWS = 8, POOL = 1 << 28 };
enum { ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 }; /* of cblas.h */
enum { OURS, OPENBLAS, BLIS, READ, BF16, N_CONTENDERS };

typedef void sgemm(int, int, int, int m, int n, int k, float, const float *a, int a_row, const float *b,
                   int b_row, float, float *c, int c_row);
typedef void sgemv(int, int, int m, int n, float, const float *a, int a_row, const float *x, int, float,
                   float *y, int);

typedef struct peer {
    sgemm *gemm;
    sgemv *gemv;
    void (*set_threads)(const int *);
} peer;

typedef struct problem {
    int m, n, k, trans_a, trans_b;
} problem;

static peer peers[N_CONTENDERS];
static fv_backend *backend;
static float *rows, *pool, *out[2];
static uint16_t *bf16_rows, *bf16_pool; /* the same numbers */

static void load_peer(int i, const char *file, const char *set_threads)
{
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return;
    peers[i].gemm = (sgemm *)dlsym(library, "cblas_sgemm");
    peers[i].gemv = (sgemv *)dlsym(library, "cblas_sgemv");
    peers[i].set_threads = (void (*)(const int *))dlsym(library, set_threads);
    if (!peers[i].gemm || !peers[i].gemv || !peers[i].set_threads)
        peers[i].gemm = NULL;
}

/* BLIS 0.9 takes its AVX-512 kernels only on processors whose names it knows. Ask for them by their number.
 */
static void wake_blis(void)
{
    void *library = dlopen("libblis.so.4", RTLD_NOW | RTLD_LOCAL);
    const char *(*name)(int) = library ? (const char *(*)(int))dlsym(library, "bli_arch_string") : NULL;
    char number[12];
    for (int i = 0; name && i < 8 && __builtin_cpu_supports("avx512f"); i++)
        if (strcmp(name(i), "skx") == 0) {
            snprintf(number, sizeof number, "%d", i);
            setenv("BLIS_ARCH_TYPE", number, 0);
        }
}

static void run_ours(const problem *p, fv_dtype dtype, const void *a, const void *b, float *c)
{
    fv_gemm_args args = {
        .a = fv_tensor_2d((void *)a, dtype, p->trans_a ? p->k : p->m, p->trans_a ? p->m : p->k),
        .b = fv_tensor_2d((void *)b, dtype, p->trans_b ? p->n : p->k, p->trans_b ? p->k : p->n),
        .c = fv_tensor_2d(c, FV_F32, p->m, p->n),
        .trans_a = p->trans_a,
        .trans_b = p->trans_b};
    backend->table->gemm(backend, &args);
}

static void run_peer(const peer *x, const problem *p, const float *a, const float *b, float *c)
{
    if (p->m == 1 && p->trans_b)
        x->gemv(ROW_MAJOR, PLAIN, p->n, p->k, 1.0f, b, p->k, a, 1, 0.0f, c, 1);
    else
        x->gemm(ROW_MAJOR, p->trans_a ? TRANSPOSED : PLAIN, p->trans_b ? TRANSPOSED : PLAIN, p->m, p->n, p->k,
                1.0f, a, p->trans_a ? p->m : p->k, b, p->trans_b ? p->k : p->n, 0.0f, c, p->n);
}

/* Four places at once and well ahead, which is faster than one. */
static uint32_t read_share(const uint32_t *from, int64_t n)
{
    enum { PLACES = 4, LINE = 16, FAR = 256 };
    uint32_t mix = 0;
    for (int64_t i = 0; i + LINE <= n / PLACES; i += LINE)
        for (int place = 0; place < PLACES; place++) {
            const uint32_t *line = from + place * (n / PLACES) + i;
            __builtin_prefetch(line + FAR);
            for (int k = 0; k < LINE; k++)
                mix ^= line[k];
        }
    return mix;
}

/* Leaves something that depends on every weight, so that all must be read. */
static void run_read(const problem *p, const float *b, float *c)
{
    int64_t n = (int64_t)p->n * p->k / backend->n_threads;
    uint32_t mix = 0;
#pragma omp parallel for num_threads(backend->n_threads) reduction(^ : mix)
    for (int i = 0; i < backend->n_threads; i++)
        mix ^= read_share((const uint32_t *)b + i * n, n);
    memcpy(c, &mix, sizeof mix);
}

static void run(int who, const problem *p, const float *b, float *c)
{
    if (who == OURS)
        run_ours(p, FV_F32, rows, b, c);
    else if (who == BF16)
        run_ours(p, FV_BF16, bf16_rows, bf16_pool + (b - pool), c);
    else if (who == READ)
        run_read(p, b, c);
    else
        run_peer(&peers[who], p, rows, b, c);
}

static int takes_part(int who, int with_read)
{
    return who == OURS || (who >= READ ? with_read : peers[who].gemm != NULL);
}

static const float *next_weights(const problem *p)
{
    static int64_t at;
    int64_t n = (int64_t)p->n * p->k;
    at = p->m > MAX_ROWS || at + 2 * n > POOL ? 0 : at + n;
    return pool + at;
}

/* Whether all agree; k roundings each. */
static int check(const problem *p)
{
    run(OURS, p, pool, out[0]);
    for (int who = OPENBLAS; who < READ; who++) {
        if (!takes_part(who, 0))
            continue;
        run(who, p, pool, out[1]);
        for (int i = 0; i < p->m * p->n; i++)
            if (!(fabsf(out[0][i] - out[1][i]) < 1e-5f * (float)p->k))
                return 0;
    }
    return 1;
}

/* Median seconds of one call of each. */
static void measure(const problem *p, int rounds, int with_read, double seconds[N_CONTENDERS])
{
    static double times[N_CONTENDERS][MAX_ROUNDS];
    int n_calls = (int)(3e8 / (2.0 * p->m * p->n * p->k)) + 1;
    n_calls = with_read ? 1 : n_calls;
    for (int round = 0; round < rounds; round++)
        for (int turn = 0; turn < N_CONTENDERS; turn++) {
            int who = (round + turn) % N_CONTENDERS;
            if (!takes_part(who, with_read))
                continue;
            double start = bench_now();
            for (int call = 0; call < n_calls; call++)
                run(who, p, next_weights(p), out[0]);
            times[who][round] = (bench_now() - start) / n_calls;
        }
    for (int who = 0; who < N_CONTENDERS; who++)
        seconds[who] = takes_part(who, with_read) ? bench_median(times[who], rounds) : INFINITY;
}

static int use_threads(const char *isa, int n_threads)
{
    fv_backend_destroy(backend);
    backend = NULL;
    for (int i = OPENBLAS; i < READ; i++)
        if (peers[i].gemm)
            peers[i].set_threads(&n_threads);
    return fv_backend_cpu_create(isa, n_threads, &backend) == FV_OK;
}

static int report_square(int rounds)
{
    static const int sizes[] = {256, 512, 768, 1024};
    for (int i = 0; i < 4; i++)
        for (int form = 0; form < 3; form++) {
            problem p = {sizes[i], sizes[i], sizes[i], form == 2, form == 1};
            double s[N_CONTENDERS], work = 2e-9 * p.m * p.n * p.k;
            if (!check(&p))
                return 0;
            measure(&p, rounds, 0, s);
            printf("%4d^3 %-4s %7d %9.1f %9.1f %9.1f %11.2f\n", p.m,
                   form == 0   ? "nn"
                   : form == 1 ? "nt"
                               : "tn",
                   backend->n_threads, work / s[OURS], work / s[OPENBLAS], work / s[BLIS],
                   fmin(s[OPENBLAS], s[BLIS]) / s[OURS]);
        }
    return 1;
}

static int report_decode(int rounds)
{
    static const int weights[][2] = {{2048, 2048}, {11008, 2048}, {2048, 11008}}, n_rows[] = {1, 4, 8};
    for (int i = 0; i < 3; i++)
        for (int r = 0; r < 3; r++) {
            problem p = {n_rows[r], weights[i][0], weights[i][1], 0, 1};
            double s[N_CONTENDERS], work = 4e-9 * p.n * p.k;
            if (!check(&p))
                return 0;
            measure(&p, rounds, 1, s);
            printf("%4d %6d %6d %7d %9.1f %9.1f %9.1f %9.1f %11.2f %9.2f %9.1f %9.2f\n", p.m, p.n, p.k,
                   backend->n_threads, work / s[OURS], work / s[OPENBLAS], work / s[BLIS], work / s[READ],
                   fmin(s[OPENBLAS], s[BLIS]) / s[OURS], s[READ] / s[OURS], work / s[BF16] / 2,
                   s[READ] / s[BF16] / 2);
        }
    return 1;
}

static int report(const char *isa, int rounds)
{
    printf("%-11s %7s %9s %9s %9s %11s   (GFLOP/s; nt: weights by rows)\n", "shape form", "threads", "fovea",
           "OpenBLAS", "BLIS", "of better");
    for (int n_threads = 1; n_threads <= 2; n_threads++)
        if (!use_threads(isa, n_threads) || !report_square(rounds))
            return 0;
    printf("\n%4s %6s %6s %7s %9s %9s %9s %9s %11s %9s %9s %9s   (GB/s of weights)\n", "rows", "N", "K",
           "threads", "fovea", "OpenBLAS", "BLIS", "reading", "of better", "of read", "bf16", "of read");
    for (int n_threads = 1; n_threads <= 2; n_threads++)
        if (!use_threads(isa, n_threads) || !report_decode(rounds))
            return 0;
    return 1;
}

/* Cut, not rounded. */
static uint16_t *halves(const float *from, int64_t n)
{
    uint16_t *to = aligned_alloc(FV_ARENA_ALIGN, sizeof(uint16_t) * (size_t)n);
    for (int64_t i = 0; to && i < n; i++) {
        uint32_t bits;
        memcpy(&bits, from + i, sizeof bits);
        to[i] = (uint16_t)(bits >> 16);
    }
    return to;
}

static int prepare(void)
{
    enum { PERIOD = 65521 };
    float **buffers[] = {&pool, &rows, &out[0], &out[1]};
    for (int i = 0; i < 4; i++)
        if (!(*buffers[i] = aligned_alloc(FV_ARENA_ALIGN, sizeof(float) * (i ? MAX_SIZE * MAX_SIZE : POOL))))
            return 0;
    for (int64_t i = 0; i < POOL; i++)
        pool[i] = i < PERIOD ? fv_rng_normal((fv_rng_key){.seed = 1}, (uint32_t)i) : pool[i - PERIOD];
    memcpy(rows, pool + 12345, sizeof(float) * MAX_SIZE * MAX_SIZE);
    bf16_pool = halves(pool, POOL);
    bf16_rows = halves(rows, MAX_SIZE * MAX_SIZE);
    return bf16_pool && bf16_rows;
}

int main(int argc, char **argv)
{
    const char *isa = argc > 1 && *argv[1] ? argv[1] : NULL;
    int rounds = argc > 2 ? atoi(argv[2]) : 15;
    rounds = rounds < 1 ? 1 : rounds > MAX_ROUNDS ? MAX_ROUNDS : rounds;
    wake_blis();
    load_peer(OPENBLAS, "libopenblas.so.0", "openblas_set_num_threads_");
    load_peer(BLIS, "libblis.so.4", "bli_thread_set_num_threads_");
    if (!use_threads(isa, 1) || !prepare() || !report(isa, rounds)) {
        fprintf(stderr, "bench_gemm: %s\n", *fv_error_text() ? fv_error_text() : "products differ");
        return 1;
    }
    fv_backend_destroy(backend);
    free(pool);
    free(rows);
    free(bf16_pool);
    free(bf16_rows);
    free(out[0]);
    free(out[1]);
    return 0;
}
