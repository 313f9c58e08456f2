/* The head: draws and log-probs are the same bits whether logits are made a chunk at a time or all at once.
 */
#include "model_case.h"
#include "tiny_folder.h"

enum { ROWS = 7, MOST_ROWS = 900, EXCLUDED = 3 };

static const int32_t excluded[EXCLUDED] = {5, 81, 319};

/* What came of every row. */
typedef struct outcome {
    int32_t ids[MOST_ROWS];
    float logprobs[MOST_ROWS], looked[MOST_ROWS], entropies[MOST_ROWS];
} outcome;

typedef struct head_case {
    model_case *c;
    int rows, at_once;
    fv_workspace work;
    fv_tensor hidden;
    fv_head_pass head;
    fv_head_draws draws;
} head_case;

static fv_err take(void *context, fv_arena *arena)
{
    head_case *h = context;
    int64_t width = fv_model_shape_of(h->c->model)->text.hidden;
    FV_TRY(fv_tensor_take(arena, fv_model_precision(h->c->model)->activation, 2, (int64_t[]){h->rows, width},
                          &h->hidden));
    FV_TRY(fv_tensor_take(arena, FV_I32, 2, (int64_t[]){h->rows, FV_DRAW_FIELDS}, &h->draws.draws));
    FV_TRY(fv_head_draws_take(h->rows, arena, &h->draws));
    if (!h->at_once)
        return fv_head_take(h->c->model, h->rows, EXCLUDED, arena, &h->head);
    FV_TRY(fv_head_take_inputs(h->rows, EXCLUDED, arena, &h->head));
    return fv_head_take_rest(h->c->model, arena, &h->head);
}

static void upload_case(head_case *h)
{
    enum { MOST_NUMBERS = MOST_ROWS * 64 };
    static float hidden[MOST_NUMBERS], scales[MOST_ROWS];
    static int32_t keys[MOST_ROWS * FV_DRAW_FIELDS];
    static uint16_t halves[MOST_NUMBERS];
    int64_t n = fv_tensor_count(h->hidden);
    assert_true(n <= MOST_NUMBERS);
    for (int64_t i = 0; i < n; i++)
        hidden[i] = 4 * fv_rng_uniform((fv_rng_key){.seed = 6}, (uint32_t)i) - 2;
    if (h->hidden.dtype == FV_BF16)
        fv_dtype_encode(FV_BF16, hidden, n, halves);
    for (int i = 0; i < h->rows; i++) {
        fv_rng_words((fv_rng_key){.seed = 2}, (uint32_t)i, (uint32_t *)keys + i * FV_DRAW_FIELDS);
        keys[i * FV_DRAW_FIELDS + FV_DRAW_FIELDS - 1] = i % 3 > 0;
        scales[i] = 0.5f + (float)(i % ROWS) / 4;
    }
    const fv_upload_part parts[] = {{h->hidden, h->hidden.dtype == FV_F32 ? (const void *)hidden : halves},
                                    {h->draws.draws, keys},
                                    {h->head.excluded, excluded},
                                    {h->head.inv_temperature, scales}};
    assert_ok(fv_upload_parts(h->c->backend, parts, 4));
}

/* A draw from each row, then a look at the ids that were drawn. */
static void run(model_case *c, int rows, int at_once, outcome *o)
{
    head_case h = {.c = c, .rows = rows, .at_once = at_once, .work = {.name = "head"}};
    memset(o, 0, sizeof *o);
    assert_ok(fv_workspace_fit(&h.work, c->backend, take, &h));
    upload_case(&h);
    assert_ok(fv_head_draw(c->model, &h.head, h.hidden, &h.draws));
    assert_ok(fv_download_now(c->backend, h.head.targets, o->ids));
    assert_ok(fv_download_now(c->backend, h.head.logprob, o->logprobs));
    assert_ok(fv_head_look(c->model, &h.head, h.hidden));
    assert_ok(fv_download_now(c->backend, h.head.logprob, o->looked));
    assert_ok(fv_download_now(c->backend, h.head.entropy, o->entropies));
    fv_workspace_fini(&h.work);
}

static void compare(const char *folder, int rows)
{
    static outcome chunks, whole;
    fv_backend *backend;
    model_case c;
    assert_ok(fv_backend_cpu_create(NULL, 2, &backend));
    case_open(&c, backend, case_self, folder);
    run(&c, rows, 0, &chunks);
    run(&c, rows, 1, &whole);
    assert_memory_equal(&chunks, &whole, sizeof chunks);
    assert_memory_equal(whole.logprobs, whole.looked, sizeof whole.logprobs);
    for (int row = 0; row < rows; row++)
        for (int k = 0; k < EXCLUDED; k++)
            assert_int_not_equal(whole.ids[row], excluded[k]);
    case_close(&c);
}

static void test_at_once(void **state)
{
    (void)state;
    for (int i = 0; i < CASE_MODELS; i++)
        compare(temp_path(case_models[i]), ROWS);
}

/* Of a range of the vocabulary all chunks at once, and some. */
static void test_many_at_once(void **state)
{
    (void)state;
    fv_model_shape shape;
    case_load_shape("tiny-qwen2", &shape);
    shape.text.vocab = 66003;
    case_write_shape("many-ids", &shape, NULL, NULL);
    compare(temp_path("many-ids"), 300);
    compare(temp_path("many-ids"), MOST_ROWS);
}

/* A model whose vocabulary has ranges of two chunks, and what its head's gradients are. */
typedef struct wide_case {
    fv_model *model;
    int keeps;
    fv_workspace work;
    fv_tensor hidden, dhidden, dlogprob;
    fv_head_pass head;
} wide_case;

enum { WIDE = 4 * 5000 + 7, WIDTH = 16 };

static fv_err take_wide(void *context, fv_arena *arena)
{
    wide_case *w = context;
    const int64_t rows[] = {ROWS, WIDTH};
    FV_TRY(fv_tensor_take(arena, fv_model_precision(w->model)->activation, 2, rows, &w->hidden));
    FV_TRY(fv_tensor_take(arena, FV_F32, 2, rows, &w->dhidden));
    FV_TRY(fv_tensor_take(arena, FV_F32, 1, rows, &w->dlogprob));
    return (w->keeps ? fv_head_take_kept : fv_head_take)(w->model, ROWS, EXCLUDED, arena, &w->head);
}

/* Gradients of the head, behind those of hidden states; and how many products were made. */
static float *wide_gradients(wide_case *w, fv_backend *backend, int64_t *n, int64_t *n_products)
{
    static float zeros[ROWS * WIDTH], slopes[ROWS];
    int32_t targets[ROWS];
    fv_weights grads;
    assert_ok(fv_workspace_fit(&w->work, backend, take_wide, w));
    assert_ok(fv_model_alloc_weights(w->model, FV_F32, &grads));
    for (int i = 0; i < ROWS; i++) {
        targets[i] = i * 2851;
        slopes[i] = 1.0f + (float)i;
    }
    assert_ok(fv_copy(
        backend, &(fv_copy_args){fv_tensor_rows(fv_model_weights(w->model)->embed, 0, ROWS), w->hidden}));
    assert_ok(fv_upload_array(backend, w->dhidden, zeros));
    assert_ok(fv_upload_array(backend, w->dlogprob, slopes));
    assert_ok(fv_head_forward(w->model, &w->head, w->hidden, targets, excluded, 0.5f));
    int64_t before = backend->timer[FV_OP_gemm].n_calls;
    assert_ok(fv_head_backward(
        w->model, &w->head,
        &(fv_head_grad_args){.hidden = w->hidden, .dlogprob = w->dlogprob, .dhidden = w->dhidden}, &grads));
    *n_products = backend->timer[FV_OP_gemm].n_calls - before;
    *n = ROWS * WIDTH + fv_tensor_count(grads.flat);
    float *all = malloc((size_t)*n * sizeof *all);
    assert_ok(fv_download_now(backend, w->dhidden, all));
    assert_ok(fv_download_now(backend, grads.flat, all + ROWS * WIDTH));
    fv_model_free_weights(w->model, &grads);
    fv_workspace_fini(&w->work);
    return all;
}

static void gradients_are_equal(fv_precision_choice name)
{
    fv_backend *backend;
    fv_model_shape shape = tiny_shape(FV_FAMILY_QWEN2, 0);
    shape.text.vocab = WIDE;
    wide_case w = {.work = {.name = "head"}};
    float *all[2];
    int64_t n, products[2];
    assert_ok(fv_backend_cpu_create(NULL, 2, &backend));
    assert_ok(fv_model_open(
        &(fv_model_args){
            .backend = backend, .tensor = case_self, .shape = &shape, .precision = fv_precision_of(name)},
        &w.model));
    for (w.keeps = 0; w.keeps < 2; w.keeps++)
        all[w.keeps] = wide_gradients(&w, backend, &n, &products[w.keeps]);
    assert_memory_equal(all[0], all[1], (size_t)n * sizeof *all[0]);
    assert_int_equal(products[0], 3 * 8);
    assert_int_equal(products[1], 2 * 8);
    for (int i = 0; i < 2; i++)
        free(all[i]);
    fv_model_destroy(w.model);
    fv_backend_destroy(backend);
}

/* Kept logits save a product a chunk, and the gradients have the same bits. */
static void test_kept(void **state)
{
    (void)state;
    gradients_are_equal(FV_PRECISION_FP32);
    gradients_are_equal(FV_PRECISION_BF16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup(test_at_once, case_use_fp32),
                                       cmocka_unit_test_setup(test_at_once, case_use_bf16),
                                       cmocka_unit_test_setup(test_many_at_once, case_use_bf16),
                                       cmocka_unit_test(test_kept)};
    return cmocka_run_group_tests(tests, case_setup, case_teardown);
}
