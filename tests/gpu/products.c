/* Every product of a model's shape, with its own numbers of rows and columns: an element has the same bits
 * whatever is computed with it.
 *
 * usage: gpu_products SHAPE [BACKEND [ROWS]] */
#include "case.h"

#include "fovea/ops/backend_choice.h"
#include "fovea/ops/staging.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 1 << 20 /* random numbers, laid out again and again */, MOVES = 4096, MAX_PRODUCTS = 16 };

typedef struct product {
    const char *name;
    int64_t n, k;
    int is_chunked, has_bias;
} product;

typedef struct run {
    fv_backend *backend;
    int64_t rows;
    fv_tensor a, b, bias, whole, part; /* of the product */
    char *wanted, *found;              /* (rows, n) on the host */
    uint16_t *numbers;                 /* (BLOCK + MOVES) */
    int64_t n_compared;
    int n_different;
} run;

static int list_products(const fv_model_shape *shape, product *out)
{
    const fv_text_shape *t = &shape->text;
    const fv_vision_shape *v = &shape->vision;
    int64_t heads = (int64_t)t->n_heads * t->head_dim, keys = (int64_t)t->n_kv_heads * t->head_dim;
    int64_t merged = (int64_t)v->hidden * v->merge * v->merge;
    const product all[] = {{"queries", heads, t->hidden, 0, 1},
                           {"keys", keys, t->hidden, 0, 1},
                           {"output", t->hidden, heads, 1, 0},
                           {"gate", t->intermediate, t->hidden, 0, 0},
                           {"gate and up", 2 * t->intermediate, t->hidden, 0, 0},
                           {"down", t->hidden, t->intermediate, 1, 0},
                           {"head", t->vocab, t->hidden, 0, 0},
                           {"vision queries", 3 * v->hidden, v->hidden, 0, 1},
                           {"vision output", v->hidden, v->hidden, 1, 1},
                           {"vision gate", v->intermediate, v->hidden, 0, 1},
                           {"vision down", v->hidden, v->intermediate, 1, 1},
                           {"merger", merged, merged, 0, 1},
                           {"merger output", v->out_hidden, merged, 1, 1}};
    int n = sizeof all / sizeof *all;
    n = v->depth ? n : 7;
    memcpy(out, all, (size_t)n * sizeof *all);
    return n;
}

static fv_tensor take(const run *r, int64_t rows, int64_t cols)
{
    void *memory;
    must(fv_backend_alloc(r->backend, (size_t)(rows * cols) * 2, &memory));
    return fv_tensor_2d(memory, FV_BF16, rows, cols);
}

static void draw(run *r)
{
    float *numbers = malloc((BLOCK + MOVES) * sizeof *numbers);
    r->numbers = malloc((BLOCK + MOVES) * sizeof *r->numbers);
    for (uint32_t i = 0; i < BLOCK + MOVES; i++)
        numbers[i] = fv_rng_normal((fv_rng_key){.seed = 1}, i);
    fv_dtype_encode(FV_BF16, numbers, BLOCK + MOVES, r->numbers);
    free(numbers);
}

/* Each block begins one further in the same numbers. */
static void fill(const run *r, fv_tensor t, int64_t first)
{
    int64_t n = fv_tensor_count(t);
    for (int64_t at = 0; at < n; at += BLOCK) {
        int64_t count = n - at < BLOCK ? n - at : BLOCK;
        must(fv_upload_array(r->backend, fv_tensor_1d((char *)t.data + 2 * at, FV_BF16, count),
                             r->numbers + (first + at / BLOCK) % MOVES));
    }
}

/* Rows [first, first + m) and columns [column, column + n), in memory of their own or as the whole. */
static void multiply(const run *r, const product *p, fv_tensor to, int64_t first, int64_t column)
{
    fv_gemm_args args = {.a = fv_tensor_rows(r->a, first, to.dim[0]),
                         .b = fv_tensor_rows(r->b, column, to.dim[1]),
                         .c = to,
                         .trans_b = 1};
    if (p->has_bias)
        args.bias = fv_tensor_1d((char *)r->bias.data + 2 * column, FV_BF16, to.dim[1]);
    if (p->is_chunked)
        args.chunks = fv_chunks_of_rank(4, p->k, 0, 1);
    must(fv_gemm(r->backend, &args));
}

static void compare(run *r, const product *p, int64_t first, int64_t m, int64_t column, int64_t n)
{
    fv_tensor part = fv_tensor_2d(r->part.data, FV_BF16, m, n);
    int is_same = 1;
    multiply(r, p, part, first, column);
    must(fv_download_now(r->backend, part, r->found));
    for (int64_t i = 0; i < m; i++)
        is_same &=
            memcmp(r->found + 2 * i * n, r->wanted + 2 * ((first + i) * p->n + column), (size_t)n * 2) == 0;
    r->n_compared++;
    r->n_different += !is_same;
    if (!is_same)
        printf("%s (%lld columns of %lld terms): rows %lld + %lld, columns %lld + %lld have other bits\n",
               p->name, (long long)p->n, (long long)p->k, (long long)first, (long long)m, (long long)column,
               (long long)n);
}

static void run_product(run *r, const product *p)
{
    static const int64_t some[] = {1,   2,   3,   4,   5,   7,   8,    12,   13,   16,   17,   24,
                                   31,  32,  33,  48,  63,  64,  65,   96,   127,  128,  129,  200,
                                   256, 300, 384, 512, 640, 777, 1000, 1024, 1536, 2048, 3000, 4096};
    r->a = take(r, r->rows, p->k);
    r->b = take(r, p->n, p->k);
    r->bias = take(r, 1, p->n);
    r->whole = take(r, r->rows, p->n);
    r->part = take(r, r->rows, p->n);
    fill(r, r->a, 0);
    fill(r, r->b, 1000);
    fill(r, r->bias, 2000);
    r->wanted = malloc((size_t)(r->rows * p->n) * 2);
    r->found = malloc((size_t)(r->rows * p->n) * 2);
    multiply(r, p, r->whole, 0, 0);
    must(fv_download_now(r->backend, r->whole, r->wanted));
    for (size_t i = 0; i < sizeof some / sizeof *some && some[i] <= r->rows; i++) {
        int64_t m = some[i], first = (int64_t)(i * 37) % (r->rows - m + 1), n = p->n < 4 * m ? p->n : 4 * m;
        int64_t column = (int64_t)(i * 1616) % (p->n - n + 1) / 16 * 16;
        compare(r, p, first, m, 0, p->n);
        compare(r, p, first, m, column, n);
    }
    for (int t = 2; t <= 8; t *= 2) /* the slices of tensor-parallel ranks */
        compare(r, p, 0, r->rows, p->n / t * (t - 1), p->n / t);
    fv_tensor *const all[] = {&r->a, &r->b, &r->bias, &r->whole, &r->part};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        fv_backend_release(r->backend, all[i]->data);
    free(r->wanted);
    free(r->found);
}

int main(int argc, char **argv)
{
    fv_model_shape shape;
    product all[MAX_PRODUCTS];
    run r = {.rows = argc > 3 ? atoll(argv[3]) : 4096};
    fv_backend_kind taken;
    if (argc < 2) {
        fprintf(stderr, "usage: gpu_products SHAPE [BACKEND [ROWS]]\n");
        return 2;
    }
    const fv_backend_args args = {.kind = argc > 2 && strcmp(argv[2], "cpu") == 0 ? FV_BACKEND_CPU
                                                                                  : FV_BACKEND_CUDA};
    must(fv_model_shape_load_yaml(argv[1], &shape));
    must(fv_backend_create(&args, &taken, &r.backend));
    draw(&r);
    int n = list_products(&shape, all);
    for (int i = 0; i < n; i++)
        run_product(&r, &all[i]);
    printf("%d products, %lld sets of rows and columns: %d have other bits than the whole\n", n,
           (long long)r.n_compared, r.n_different);
    free(r.numbers);
    fv_backend_destroy(r.backend);
    return r.n_different > 0;
}
