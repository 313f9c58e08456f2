/* Speed of the CPU kernels that move memory, beside copies of memory made in the same moments.
 * usage: bench_kernels [ISA [THREADS [ROUNDS]]] */
#include "bench.h"
#include "fovea/ops/backend.h"
#include "fovea/base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rows of a 7B model: C channels, F width of the MLP, V vocabulary; W is the largest buffer. */
enum { C = 3584, T = 2048, F = 18944, T_MLP = 384, V = 152064, T_VOCAB = 48, HEADS = 28, D = 128 };
enum { W = T * C, MAX_ROUNDS = 99 };

static float *x, *y, *z, *u;
static float small[8 * 16384], parts[38 * T_VOCAB * 4];
static float one[1] = {1}, nine[16];
static int32_t draws[16 * FV_DRAW_FIELDS], zeros[16], fifties[16];
static int64_t all[2] = {0, W};
static int32_t ids[T];

static fv_tensor matrix(float *p, int64_t rows, int64_t cols)
{
    return fv_tensor_2d(p, FV_F32, rows, cols);
}

static fv_tensor vector(float *p, int64_t n)
{
    return fv_tensor_1d(p, FV_F32, n);
}

static fv_tensor index_of(int64_t n)
{
    return fv_tensor_1d(ids, FV_I32, n);
}

#define BENCH(name, op, ...)                                                \
    static fv_err bench_##name(fv_backend *backend)                         \
    {                                                                       \
        return backend->table->op(backend, &(fv_##op##_args){__VA_ARGS__}); \
    }

BENCH(copy, copy, matrix(x, T, C), matrix(y, T, C))
BENCH(add, add, matrix(x, T, C), matrix(y, T, C), matrix(z, T, C))
BENCH(norm, norm, .x = matrix(x, T, C), .residual = matrix(y, T, C), .weight = vector(small, C),
      .sum = matrix(y, T, C), .y = matrix(z, T, C), .rstd = vector(small + C, T), .eps = 1e-6f)
BENCH(norm_grad, norm_grad, .dy = matrix(x, T, C), .x = matrix(z, T, C), .weight = vector(small, C),
      .rstd = vector(small + C, T), .dx = matrix(y, T, C), .dweight = vector(small + C + T, C))
BENCH(rope, rope, matrix(small, T / 2, D / 2), matrix(small, T / 2, D / 2),
      fv_tensor_3d(x, FV_F32, T / 2, HEADS, D), fv_tensor_3d(x, FV_F32, T / 2, HEADS, D))
BENCH(swiglu, swiglu, matrix(x, T_MLP, F), matrix(y, T_MLP, F), matrix(z, T_MLP, F))
BENCH(swiglu_grad, swiglu_grad, matrix(z, T_MLP, F), matrix(x, T_MLP, F), matrix(y, T_MLP, F),
      matrix(x, T_MLP, F), matrix(y, T_MLP, F))
BENCH(gelu, gelu, matrix(x, T, C), matrix(y, T, C))
BENCH(gelu_grad, gelu_grad, matrix(z, T, C), matrix(x, T, C), matrix(y, T, C))
BENCH(gather, gather, matrix(x, T, C), index_of(T), matrix(y, T, C))
BENCH(scatter_add, scatter_add, matrix(x, T, C), index_of(T), matrix(y, T, C))
BENCH(vocab_stats, vocab_stats, .logits = matrix(x, T_VOCAB, V), .targets = index_of(T_VOCAB),
      .excluded = index_of(400), .parts = fv_tensor_3d(parts, FV_F32, 38, T_VOCAB, 4),
      .inv_temperature = vector(u, T_VOCAB))
BENCH(vocab_grad, vocab_grad, .targets = index_of(T_VOCAB), .excluded = index_of(400),
      .lse = vector(small, T_VOCAB), .dlogprob = vector(small, T_VOCAB), .entropy = vector(small, T_VOCAB),
      .dentropy = vector(small, T_VOCAB), .logits = matrix(y, T_VOCAB, V), .dlogits = matrix(y, T_VOCAB, V),
      .inv_temperature = vector(u, T_VOCAB))
BENCH(sample, sample, .logits = matrix(x, 16, V), .inv_temperature = vector(u, 16),
      .draws = fv_tensor_2d(draws, FV_I32, 16, FV_DRAW_FIELDS), .value = vector(small, 16),
      .z = vector(small + 16, 16), .ids = index_of(16))
BENCH(filter_p, vocab_filter, .logits = matrix(y, 16, V), .inv_temperature = vector(u, 16),
      .top_k = fv_tensor_1d(zeros, FV_I32, 16), .top_p = vector(nine, 16))
BENCH(filter_k, vocab_filter, .logits = matrix(y, 16, V), .inv_temperature = vector(u, 16),
      .top_k = fv_tensor_1d(fifties, FV_I32, 16), .top_p = vector(u, 16))
BENCH(adamw, adamw, .grad = vector(x, W), .scale = vector(one, 1), .param = vector(y, W), .m = vector(z, W),
      .v = vector(u, W), .step = 5, .lr = 1e-6f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-8f,
      .weight_decay = 0.01f)
BENCH(sumsq, sumsq, vector(x, W), fv_tensor_2d(all, FV_I64, 1, 2), fv_tensor_1d(small, FV_F64, 1))
BENCH(colsum, colsum, matrix(x, T, C), vector(small, C), .accumulate = 0)

/* Bytes read and written by one run. */
static const struct {
    const char *name;
    fv_err (*run)(fv_backend *);
    double bytes;
} benches[] = {
    {"copy", bench_copy, 8.0 * W},
    {"add", bench_add, 12.0 * W},
    {"norm + residual", bench_norm, 16.0 * W},
    {"norm_grad", bench_norm_grad, 12.0 * W},
    {"rope", bench_rope, 8.0 * (T / 2) * HEADS *D},
    {"swiglu", bench_swiglu, 12.0 * T_MLP *F},
    {"swiglu_grad", bench_swiglu_grad, 20.0 * T_MLP *F},
    {"gelu", bench_gelu, 8.0 * W},
    {"gelu_grad", bench_gelu_grad, 12.0 * W},
    {"gather", bench_gather, 8.0 * W},
    {"scatter_add", bench_scatter_add, 12.0 * W},
    {"vocab_stats", bench_vocab_stats, 4.0 * T_VOCAB *V},
    {"vocab_grad", bench_vocab_grad, 8.0 * T_VOCAB *V},
    {"sample", bench_sample, 4.0 * 16 * V},
    {"filter top_p 0.9", bench_filter_p, 4.0 * 16 * V},
    {"filter top_k 50", bench_filter_k, 4.0 * 16 * V},
    {"adamw", bench_adamw, 28.0 * W},
    {"sumsq", bench_sumsq, 4.0 * W},
    {"colsum", bench_colsum, 4.0 * W},
};

static void prepare(void)
{
    enum { PERIOD = 65521 };
    for (int64_t i = 0; i < W; i++) {
        x[i] = i < PERIOD ? 2.0f * fv_rng_normal((fv_rng_key){.seed = 1}, (uint32_t)i) : x[i - PERIOD];
        y[i] = z[i] = x[i] * 0.5f;
        u[i] = 1.0f;
    }
    for (int i = 0; i < (int)(sizeof small / sizeof *small); i++)
        small[i] = 0.5f;
    for (int i = 0; i < 16 * FV_DRAW_FIELDS; i++)
        draws[i] = 1 + i * 40503;
    for (int i = 0; i < 16; i++) {
        nine[i] = 0.9f;
        fifties[i] = 50;
    }
    for (int i = 0; i < T; i++)
        ids[i] = (i * 769) % T;
}

/* Median seconds of one run and of one copy, by turns. */
static int measure(fv_backend *backend, int i, int rounds, double seconds[2])
{
    double t[2][MAX_ROUNDS];
    for (int r = -1; r < rounds; r++)
        for (int k = 0; k < 2; k++) {
            double start = bench_now();
            if ((k ? bench_copy : benches[i].run)(backend) != FV_OK)
                return -1;
            if (r >= 0)
                t[k][r] = bench_now() - start;
        }
    for (int k = 0; k < 2; k++)
        seconds[k] = bench_median(t[k], rounds);
    return 0;
}

int main(int argc, char **argv)
{
    fv_backend *backend = NULL;
    int rounds = argc > 3 ? atoi(argv[3]) : 7;
    rounds = rounds < 1 ? 1 : rounds > MAX_ROUNDS ? MAX_ROUNDS : rounds;
    if (fv_backend_cpu_create(argc > 1 ? argv[1] : NULL, argc > 2 ? atoi(argv[2]) : 0, &backend) != FV_OK) {
        fprintf(stderr, "%s\n", fv_error_text());
        return 1;
    }
    float **buffer[4] = {&x, &y, &z, &u};
    for (int i = 0; i < 4; i++)
        if (!(*buffer[i] = aligned_alloc(64, (size_t)W * sizeof(float))))
            return 1;
    printf("%s, %d threads, median of %d\n%-18s %9s %8s %8s %8s\n", backend->table->name, backend->n_threads,
           rounds, "operation", "ms", "GB/s", "copy", "share");
    for (int i = 0; i < (int)(sizeof benches / sizeof *benches); i++) {
        double s[2];
        prepare();
        if (measure(backend, i, rounds, s) != 0) {
            fprintf(stderr, "%s: %s\n", benches[i].name, fv_error_text());
            return 1;
        }
        double speed = benches[i].bytes / s[0] * 1e-9, copy = 8.0 * W / s[1] * 1e-9;
        printf("%-18s %9.3f %8.2f %8.2f %7.0f%%\n", benches[i].name, s[0] * 1e3, speed, copy,
               100.0 * speed / copy);
    }
    for (int i = 0; i < 4; i++)
        free(*buffer[i]);
    fv_backend_destroy(backend);
    return 0;
}
