/* A model split over the ranks agrees with the whole one: log-probs, gradients, a step of AdamW, the norm.
 */
#include "model_case.h"

#include "fovea/model/optimizer.h"

#include <math.h>

static fv_comm *world;
static model_case whole, split;

/* Both towers of the last one have eight heads, with two heads of keys and values; eight ranks can share no
 * other. */
static const char *models[CASE_MODELS + 1];
static int n_models;

static int setup(void **state)
{
    fv_model_shape eight;
    if (case_setup(state) != 0)
        return -1;
    for (int m = 0; m < CASE_MODELS && world->size < 8; m++)
        models[n_models++] = case_models[m];
    case_load_shape("tiny-vl", &eight);
    eight.vision.n_heads = 8;
    case_write_shape("eight", &eight, NULL, NULL);
    models[n_models++] = "eight";
    return 0;
}

/* chunks 0: as is usual, or as many as there are ranks. */
static void open_in_chunks(const char *model, int chunks)
{
    for (int i = 0; i < 2; i++) {
        fv_model_args args = {.tensor = i ? world : case_self,
                              .folder = temp_path(model),
                              .precision = case_precision,
                              .chunks = chunks || world->size <= FV_DEFAULT_CHUNKS ? chunks : world->size};
        assert_ok(fv_backend_cpu_create(NULL, 1, &args.backend));
        case_open_args(i ? &split : &whole, &args);
    }
}

static void open_both(const char *model)
{
    open_in_chunks(model, 0);
}

typedef struct difference {
    double square, of; /* sums of squares: of the difference, of the whole model's numbers */
} difference;

static void add(difference *d, float a, float b)
{
    d->square += ((double)a - b) * ((double)a - b);
    d->of += (double)a * a;
}

static void check(difference d, const char *what)
{
    double sums[2] = {d.square, d.of};
    assert_ok(fv_comm_all_reduce_f64(world, sums, 2));
    /* Gradients in bf16: sums over ranks are fp32, as those of one rank are rounded. */
    double bound = case_precision.activation == FV_BF16 ? 0.03 : 1e-5;
    if (!(sqrt(sums[0]) <= bound * sqrt(sums[1])))
        fail_msg("%s: relative difference %g", what, sqrt(sums[0] / sums[1]));
}

/* Row (or column) i of a part in the whole. */
static int64_t place(const fv_param_part *part, int64_t i)
{
    return part->first + i / part->n * part->stride + i % part->n;
}

static difference compare_param(const fv_weights *of_whole, const fv_weights *of_split, int i)
{
    difference d = {0};
    const fv_layout *layout = fv_model_layout(split.model);
    const fv_param *param = &layout->params.items[i];
    fv_param_part part = fv_param_part_of(param, world->rank, world->size);
    float *a = malloc((size_t)(param->rows * param->cols) * sizeof *a);
    float *b = malloc((size_t)(part.rows * part.cols) * sizeof *b);
    assert_ok(fv_download_now(whole.backend, fv_weights_param(of_whole, fv_model_layout(whole.model), i), a));
    assert_ok(fv_download_now(split.backend, fv_weights_param(of_split, layout, i), b));
    for (int64_t r = 0; r < part.rows; r++)
        for (int64_t c = 0; c < part.cols; c++) {
            int64_t row = param->split_dim == 0 ? place(&part, r) : r;
            int64_t col = param->split_dim == 1 ? place(&part, c) : c;
            add(&d, a[row * param->cols + col], b[r * part.cols + c]);
        }
    free(a);
    free(b);
    return d;
}

static void compare_params(const fv_weights *of_whole, const fv_weights *of_split, const char *what)
{
    char name[160];
    const fv_param_list *params = &fv_model_layout(split.model)->params;
    for (int i = 0; i < params->n; i++) {
        snprintf(name, sizeof name, "%s of %s", what, params->items[i].name);
        check(compare_param(of_whole, of_split, i), name);
    }
}

static void compute(model_case *c, float *logprobs)
{
    float weights[CASE_ROWS];
    case_row_weights(weights);
    case_forward(c, logprobs, NULL);
    case_backward(c, weights, 0.01f);
    assert_ok(fv_model_reduce_grads(c->model, &c->grads));
}

/* The step divides by the gradient's size, so its error is that of the smallest elements: eps bounds it. */
static void take_step(model_case *c, double *norm)
{
    fv_optimizer optimizer;
    const fv_optimizer_settings settings = {0.9f, 0.999f, 1e-3f, 0.01f, 1.0f};
    float weights[CASE_ROWS], logprobs[CASE_ROWS];
    case_row_weights(weights);
    case_forward(c, logprobs, NULL);
    case_backward(c, weights, 0.01f);
    assert_ok(fv_optimizer_init(&optimizer, c->model, case_self, &settings));
    assert_ok(fv_optimizer_step(&optimizer, &c->grads, 1e-3f, norm));
    fv_optimizer_fini(&optimizer);
}

static void test_split_models_agree(void **state)
{
    (void)state;
    for (int m = 0; m < n_models; m++) {
        float logprobs[2][CASE_ROWS];
        difference d = {0};
        open_both(models[m]);
        compute(&whole, logprobs[0]);
        compute(&split, logprobs[1]);
        for (int i = 0; i < CASE_ROWS; i++)
            add(&d, logprobs[0][i], logprobs[1][i]);
        check(d, "log-probs");
        compare_params(&whole.grads, &split.grads, "gradient");
        case_close(&whole);
        case_close(&split);
    }
}

enum { ROWS = 50 };

/* Logits of the first ROWS rows of the last pass, which the caller frees. */
static float *logits_of(model_case *c)
{
    fv_logits logits;
    fv_arena dry = fv_arena_dry("logits"), arena;
    void *memory;
    assert_ok(fv_logits_take(c->model, ROWS, &dry, &logits));
    assert_ok(fv_backend_alloc(c->backend, dry.peak, &memory));
    arena = fv_arena_over("logits", memory, dry.peak);
    assert_ok(fv_logits_take(c->model, ROWS, &arena, &logits));
    assert_ok(fv_model_logits(c->model, fv_tensor_rows(c->hidden, 0, ROWS), &logits));
    float *host = malloc((size_t)fv_tensor_count(logits.all) * sizeof *host);
    assert_ok(fv_download_now(c->backend, logits.all, host));
    fv_backend_free(c->backend, memory);
    return host;
}

static void check_same_bits(const char *model, int chunks)
{
    float logprobs[2][CASE_ROWS], entropies[2][CASE_ROWS], *logits[2];
    open_in_chunks(model, chunks);
    for (int i = 0; i < 2; i++) {
        case_forward(i ? &split : &whole, logprobs[i], entropies[i]);
        logits[i] = logits_of(i ? &split : &whole);
    }
    assert_memory_equal(logprobs[0], logprobs[1], sizeof logprobs[0]);
    assert_memory_equal(entropies[0], entropies[1], sizeof entropies[0]);
    size_t n = (size_t)fv_model_shape_of(whole.model)->text.vocab * ROWS;
    assert_memory_equal(logits[0], logits[1], n * sizeof *logits[0]);
    free(logits[0]);
    free(logits[1]);
    case_close(&whole);
    case_close(&split);
}

/* A forward pass on any number of ranks gives the bits of one: with every model, and with sizes that chunks
 * and ranks do not divide. */
static void test_same_bits_on_any_ranks(void **state)
{
    (void)state;
    fv_model_shape odd;
    case_load_shape("tiny-vl", &odd);
    odd.vision.n_heads = 8;
    odd.text.vocab = 333;
    odd.text.intermediate = 167;
    odd.vision.intermediate = 155;
    const char *odd_name = case_precision.activation == FV_BF16 ? "odd-bf16" : "odd";
    case_write_shape(odd_name, &odd, NULL, NULL);
    for (int chunks = world->size; chunks <= FV_MAX_CHUNKS; chunks *= 2) {
        for (int m = 0; m < n_models; m++)
            check_same_bits(models[m], chunks);
        check_same_bits(odd_name, chunks);
    }
}

/* More ranks than chunks. */
static void test_too_few_chunks(void **state)
{
    (void)state;
    fv_model *model;
    fv_model_args args = {.tensor = world, .folder = temp_path("tiny-vl"), .chunks = 1};
    assert_ok(fv_backend_cpu_create(NULL, 1, &args.backend));
    if (world->size > 1)
        assert_fails(fv_model_open(&args, &model), FV_ERR_ARGUMENT, "cannot share sums of 1 chunks: 1 = 0 x");
    args.chunks = 3;
    assert_fails(fv_model_open(&args, &model), FV_ERR_ARGUMENT, "take 1, 2, 4 or 8");
    fv_backend_destroy(args.backend);
}

static void test_split_steps_agree(void **state)
{
    (void)state;
    for (int m = 0; m < n_models; m++) {
        double norms[2];
        open_both(models[m]);
        take_step(&whole, &norms[0]);
        take_step(&split, &norms[1]);
        assert_true(fabs(norms[0] - norms[1]) <= 1e-5 * norms[0]);
        compare_params(fv_model_weights(whole.model), fv_model_weights(split.model), "weights");
        case_close(&whole);
        case_close(&split);
    }
}

/* On any number of ranks the same tokens are generated, with the log-probs that training finds, bit for bit.
 */
static void test_generation_has_the_same_bits(void **state)
{
    (void)state;
    enum { PROMPT = 150, N = CASE_TOKENS - PROMPT };
    const fv_sampling sampling = {.temperature = 1, .top_p = 1, .repetition_penalty = 1};
    for (int m = 0; m < n_models; m++) {
        case_answer a, b;
        float logprobs[CASE_ROWS];
        open_both(models[m]);
        case_generate(&whole, PROMPT, 64, &sampling, &a);
        case_generate(&split, PROMPT, 64, &sampling, &b);
        assert_memory_equal(a.ids, b.ids, N * sizeof *a.ids);
        assert_memory_equal(a.logprobs, b.logprobs, N * sizeof *a.logprobs);
        case_forward(&split, logprobs, NULL);
        assert_memory_equal(b.logprobs, logprobs + PROMPT - 1, N * sizeof *logprobs);
        case_close(&whole);
        case_close(&split);
    }
}

int main(void)
{
    if (fv_comm_world(&world) != FV_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split_models_agree),
        cmocka_unit_test(test_same_bits_on_any_ranks),
        cmocka_unit_test(test_too_few_chunks),
        cmocka_unit_test(test_split_steps_agree),
        cmocka_unit_test(test_generation_has_the_same_bits),
        {"models agree in bf16", test_split_models_agree, case_use_bf16, case_use_fp32, NULL},
        {"same bits in bf16", test_same_bits_on_any_ranks, case_use_bf16, case_use_fp32, NULL},
        {"generation in bf16", test_generation_has_the_same_bits, case_use_bf16, case_use_fp32, NULL}};
    int failed = cmocka_run_group_tests(tests, setup, case_teardown);
    fv_comm_destroy(world);
    return failed;
}
