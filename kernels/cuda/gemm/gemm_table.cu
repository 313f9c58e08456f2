/* Which algorithm of cuBLAS a class of products takes: the fastest of a few, measured when the class is first
 * met, of those that give the bits of a plain loop of k16 steps (gemm_chain.cu). With neither split nor
 * reordered sums all have given them, on H100 and H200, for any number of rows and any slice of columns; one
 * that does not is never used, so there is no way around the check. What was measured is kept on disk
 * (gemm_table_file.cu).
 *
 * Rows of a class are rounded up to a power of two; a product that its class's algorithm cannot do is a class
 * by itself. Of small products it is the first right one. What a measurement needs is made with the table.
 * Nothing is measured while a graph is recorded: its first run has met all classes. */
#include "gemm_table.cuh"

#include <stdlib.h>

enum {
    CANDIDATES = 8,
    CHECK_ROWS = 136,
    CHECK_COLUMNS = 384,
    CHECK_K = 4096,
    REPEATS = 3,
    SCRATCH_BYTES = 64 << 20, /* of memory; also for the sums that a measurement may not add to */
    FORM_ALONE = 1 << 5       /* in the form of a class of one shape */
};
static const double MOST_OPERATIONS = 1.5e11, LEAST_OPERATIONS = 1e8; /* of one measured product */

static int64_t rounded(int64_t n)
{
    int64_t power = 16;
    while (power < n && power < 16384)
        power *= 2;
    return power;
}

/* The dimension that counts tokens is rounded: of products that sum over them it is k. */
fv_cuda_class fv_cuda_class_of(const fv_cuda_product *p, int is_alone)
{
    fv_cuda_class c;
    memset(&c, 0, sizeof c);
    c.m = p->trans_a || is_alone ? p->m : rounded(p->m);
    c.n = p->n;
    c.k = p->trans_a && !is_alone ? rounded(p->k) : p->k;
    c.form = p->trans_a | p->trans_b << 1 | p->c_is_f32 << 2 | (p->bias != nullptr) << 3 | p->accumulate << 4;
    c.form |= is_alone ? FORM_ALONE : 0;
    return c;
}

/* Where a class is, or would be; of a full table that is where another one is now. */
static fv_cuda_algorithm *slot_of(fv_cuda_table *t, const fv_cuda_class *c)
{
    uint64_t h = fv_cuda_hash(c, sizeof *c);
    for (int probe = 0; probe < FV_CUDA_CLASSES; probe++) {
        fv_cuda_algorithm *a = &t->algorithm[(h + probe) % FV_CUDA_CLASSES];
        if (a->of.n == 0 || memcmp(&a->of, c, sizeof *c) == 0)
            return a;
    }
    return &t->algorithm[h % FV_CUDA_CLASSES];
}

uint64_t fv_cuda_hash(const void *data, size_t size)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++)
        h = (h ^ ((const uint8_t *)data)[i]) * 0x100000001b3u;
    return h;
}

void fv_cuda_table_put(fv_cuda_table *t, const fv_cuda_algorithm *a)
{
    *slot_of(t, &a->of) = *a;
}

static fv_err open_measurements(fv_cuda_table *t)
{
    FV_CUDA(cudaEventCreate(&t->start));
    FV_CUDA(cudaEventCreate(&t->end));
    return fv_cuda_memory_result(cudaMalloc((void **)&t->scratch, SCRATCH_BYTES), SCRATCH_BYTES,
                                 "to measure products");
}

fv_err fv_cuda_table_open(int device, fv_cuda_table **out)
{
    *out = (fv_cuda_table *)calloc(1, sizeof **out);
    FV_CHECK(*out, FV_ERR_MEMORY, "cannot allocate a table of products");
    FV_TRY(open_measurements(*out));
    fv_cuda_table_read(*out, device);
    return fv_cuda_any_order_open(*out);
}

void fv_cuda_table_close(fv_cuda_table *t, int device)
{
    if (!t)
        return;
    fv_cuda_table_write(t, device);
    fv_cuda_any_order_close(t);
    if (t->start)
        (void)cudaEventDestroy(t->start);
    if (t->end)
        (void)cudaEventDestroy(t->end);
    (void)cudaFree(t->scratch);
    free(t);
}

/* A measurement on the device. */
typedef struct bench {
    cudaStream_t stream;
    cudaEvent_t start, end;
    char *scratch;
    unsigned *n_other; /* (CANDIDATES) words that differ from the plain loop's */
    bf16 *a, *b;
    char *c, *expected;
} bench;

static const size_t CHECK_C = (size_t)CHECK_ROWS * CHECK_COLUMNS * sizeof(float),
                    CHECK_A = (size_t)CHECK_ROWS * CHECK_K * sizeof(bf16),
                    CHECK_B = (size_t)CHECK_COLUMNS * CHECK_K * sizeof(bf16);

static bench bench_of(const fv_cuda_state *s)
{
    bench b = {s->stream[FV_STREAM_COMPUTE], s->table->start, s->table->end, s->table->scratch};
    b.a = (bf16 *)b.scratch;
    b.b = (bf16 *)(b.scratch + CHECK_A);
    b.c = b.scratch + CHECK_A + CHECK_B;
    b.expected = b.c + CHECK_C;
    b.n_other = (unsigned *)(b.expected + CHECK_C);
    return b;
}

/* Values of about a normal distribution's spread, no two alike. */
__global__ void draw_kernel(bf16 *to, int64_t n)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n)
        return;
    uint32_t h = (uint32_t)i * 0x9e3779b1u;
    h = (h ^ h >> 15) * 0x85ebca6bu;
    h = (h ^ h >> 13) * 0xc2b2ae35u;
    h ^= h >> 16;
    to[i] = __float2bfloat16((float)(int32_t)h * 0x1p-31f);
}

__global__ void compare_kernel(const uint32_t *x, const uint32_t *y, int64_t n, unsigned *n_other)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n && x[i] != y[i])
        atomicAdd(n_other, 1u);
}

/* At most `most`, a multiple of 64, and as far from one as n. */
static int64_t cut(int64_t n, int64_t most)
{
    return n <= most ? n : most - 64 + n % 64;
}

/* The product of the measurement's own numbers that an algorithm is checked on: like p, but small. */
static fv_cuda_product check_of(const bench *b, const fv_cuda_product *p, int64_t rows, char *c)
{
    fv_cuda_product q = *p;
    q.m = rows, q.n = cut(p->n, CHECK_COLUMNS), q.k = cut(p->k, CHECK_K);
    q.a = b->a, q.b = b->b, q.c = c, q.bias = p->bias ? b->a : nullptr;
    q.a_row = p->trans_a ? (rows + 7) / 8 * 8 : q.k;
    q.b_row = p->trans_b ? q.k : q.n;
    q.c_row = q.n;
    return q;
}

static fv_err check(fv_cuda_state *s, const bench *b, const fv_cuda_product *p, int64_t rows,
                    cublasLtMatmulHeuristicResult_t *candidate, int n)
{
    fv_cuda_product q = check_of(b, p, rows, b->expected), r = check_of(b, p, rows, b->c);
    size_t bytes = (size_t)(q.m * q.n) * (q.c_is_f32 ? sizeof(float) : sizeof(bf16));
    FV_CUDA(cudaMemsetAsync(b->expected, 0, bytes, b->stream));
    FV_TRY(fv_cuda_chain(b->stream, &q));
    for (int i = 0; i < n; i++) {
        FV_CUDA(cudaMemsetAsync(b->c, 0, bytes, b->stream));
        if (fv_cuda_product_run(s, &r, &candidate[i].algo) != CUBLAS_STATUS_SUCCESS)
            candidate[i].state = CUBLAS_STATUS_NOT_SUPPORTED;
        int64_t words = (int64_t)bytes / 4;
        compare_kernel<<<blocks_for(words, 256), 256, 0, b->stream>>>(
            (const uint32_t *)b->c, (const uint32_t *)b->expected, words, b->n_other + i);
    }
    return fv_cuda_launched("gemm, check of an algorithm");
}

/* Leaves those that give the bits of the plain loop. */
static fv_err keep_right(fv_cuda_state *s, const bench *b, const fv_cuda_product *p,
                         cublasLtMatmulHeuristicResult_t *candidate, int n)
{
    static const int64_t rows[] = {1, 7, CHECK_ROWS};
    unsigned n_other[CANDIDATES];
    FV_CUDA(cudaMemsetAsync(b->n_other, 0, sizeof n_other, b->stream));
    int64_t numbers = (int64_t)((CHECK_A + CHECK_B) / sizeof(bf16));
    draw_kernel<<<blocks_for(numbers, 256), 256, 0, b->stream>>>(b->a, numbers);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!p->trans_a || rows[i] % 8 == 0)
            FV_TRY(check(s, b, p, rows[i], candidate, n));
    FV_CUDA(cudaMemcpyAsync(n_other, b->n_other, sizeof n_other, cudaMemcpyDeviceToHost, b->stream));
    FV_CUDA(cudaStreamSynchronize(b->stream));
    for (int i = 0; i < n; i++)
        if (n_other[i])
            candidate[i].state = CUBLAS_STATUS_NOT_SUPPORTED;
    return FV_OK;
}

/* As much of p as a measurement takes, which leaves sums alone that p adds to. */
static fv_cuda_product sample_of(const bench *b, const fv_cuda_product *p)
{
    fv_cuda_product q = *p;
    int64_t most = (int64_t)(MOST_OPERATIONS / (2.0 * (double)p->n * (double)p->k)) / 128 * 128 + 512;
    if (p->accumulate) {
        int64_t fit = SCRATCH_BYTES / ((int64_t)sizeof(float) * p->n) / 8 * 8;
        most = most < fit ? most : fit;
        q.c = b->scratch, q.c_row = p->n;
    }
    q.m = p->m < most ? p->m : most;
    return q;
}

/* Milliseconds of the fastest of some runs; negative if it does not run. */
static fv_err measure(fv_cuda_state *s, const bench *b, const fv_cuda_product *p,
                      const cublasLtMatmulAlgo_t *algorithm, float *best)
{
    *best = -1;
    for (int i = 0; i <= REPEATS; i++) {
        float ms = 0;
        FV_CUDA(cudaEventRecord(b->start, b->stream));
        if (fv_cuda_product_run(s, p, algorithm) != CUBLAS_STATUS_SUCCESS)
            return FV_OK;
        FV_CUDA(cudaEventRecord(b->end, b->stream));
        FV_CUDA(cudaEventSynchronize(b->end));
        FV_CUDA(cudaEventElapsedTime(&ms, b->start, b->end));
        if (i > 0 && (*best < 0 || ms < *best)) /* the first loads its code */
            *best = ms;
    }
    return FV_OK;
}

static fv_err choose(fv_cuda_state *s, const bench *b, const fv_cuda_product *p,
                     cublasLtMatmulHeuristicResult_t *candidate, int n, cublasLtMatmulAlgo_t *out)
{
    float best = -1;
    fv_cuda_product sample = sample_of(b, p);
    int is_measured = 2.0 * (double)p->m * (double)p->n * (double)p->k >= LEAST_OPERATIONS;
    FV_TRY(keep_right(s, b, p, candidate, n));
    for (int i = 0; i < n && (is_measured || best < 0); i++) {
        float ms = is_measured ? -1.0f : 0.0f;
        if (candidate[i].state != CUBLAS_STATUS_SUCCESS)
            continue;
        if (is_measured)
            FV_TRY(measure(s, b, &sample, &candidate[i].algo, &ms));
        if (ms >= 0 && (best < 0 || ms < best)) {
            best = ms;
            *out = candidate[i].algo;
        }
    }
    FV_CHECK(best >= 0, FV_ERR_DEVICE,
             "cuBLAS has no algorithm for a product of %lld x %lld x %lld whose sums are in order",
             (long long)p->m, (long long)p->n, (long long)p->k);
    return FV_OK;
}

static fv_err make(fv_cuda_state *s, const fv_cuda_product *p, fv_cuda_algorithm *out)
{
    const bench b = bench_of(s);
    cublasLtMatmulHeuristicResult_t candidate[CANDIDATES];
    int n = 0;
    FV_CHECK(!s->is_recording, FV_ERR_INTERNAL,
             "a graph has a product of %lld x %lld x %lld that its first run has not had", (long long)p->m,
             (long long)p->n, (long long)p->k);
    FV_TRY(fv_cuda_product_candidates(s, p, 1, candidate, CANDIDATES, &n));
    FV_TRY(choose(s, &b, p, candidate, n, &out->it));
    fv_cuda_table_put(s->table, out);
    s->table->n_new++;
    return FV_OK;
}

fv_err fv_cuda_table_find(fv_cuda_state *s, const fv_cuda_product *p, int is_alone, cublasLtMatmulAlgo_t *out)
{
    fv_cuda_algorithm made;
    memset(&made, 0, sizeof made);
    made.of = fv_cuda_class_of(p, is_alone);
    const fv_cuda_algorithm *found = slot_of(s->table, &made.of);
    if (memcmp(&found->of, &made.of, sizeof made.of) != 0) {
        FV_TRY(make(s, p, &made));
        found = &made;
    }
    *out = found->it;
    return FV_OK;
}
