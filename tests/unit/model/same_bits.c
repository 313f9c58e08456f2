/* The promise of whole models: a token's log-prob is the same bits from a cache in any chunks, from
 * generation, packed with others on a shared prefix, with any threads and instruction set; and gradients do
 * not depend on threads, instruction set or recomputation. In fp32 and in bf16. */
#include "model_case.h"

#include "fovea/engine/page_table.h"
#include "fovea/model/nn/cache.h"

static void open_case(model_case *c, const char *model, const char *isa, int threads)
{
    fv_backend *backend;
    assert_ok(fv_backend_cpu_create(isa, threads, &backend));
    case_open(c, backend, case_self, temp_path(model));
}

/* A computation over a cache: chunks of the case's tokens. */
typedef struct cached {
    model_case *c;
    fv_cache cache;
    fv_page_table table; /* the sequence, and another that takes pages between */
    fv_text_pass *text;
    fv_workspace work;
    fv_token_run tokens; /* of the pass under way */
    fv_head_pass head;
    int64_t n_features; /* used so far */
} cached;

static fv_err take_chunk(void *context, fv_arena *arena)
{
    cached *run = context;
    FV_TRY(fv_text_take(run->text, &run->tokens, FV_SAVE_NONE, arena));
    return fv_head_take(run->c->model, run->tokens.n, 0, arena, &run->head);
}

static int64_t count_images(const model_case *c, int64_t first, int64_t n)
{
    int64_t count = 0;
    for (int64_t i = first; i < first + n; i++)
        count += c->n_images && c->ids[i] == fv_model_shape_of(c->model)->image_id;
    return count;
}

/* Log-probs of the targets after tokens [first, first + n). */
static void forward_chunk(cached *run, int64_t first, int64_t n, const int32_t *targets, float *logprobs)
{
    const model_case *c = run->c;
    int32_t slots[CASE_TOKENS], spans[2 * 8], positions[3 * CASE_TOKENS];
    fv_tensor hidden, features = {0};
    for (int row = 0; row < 3; row++)
        memcpy(positions + row * n, c->positions + row * c->n + first, (size_t)n * sizeof(int32_t));
    fv_page_copy copy;
    assert_true(fv_page_table_extend(&run->table, 0, n, &copy));
    for (int64_t i = 0; i < n; i++)
        slots[i] = fv_page_table_row(&run->table, 0, first + i);
    int32_t n_spans = (int32_t)fv_page_table_spans(&run->table, 0, spans);
    const int32_t segment[] = {0, (int32_t)n, (int32_t)first, 0, n_spans, (int32_t)(first + n)};
    run->tokens = (fv_token_run){.n = n,
                                 .ids = c->ids + first,
                                 .positions = positions,
                                 .segments = segment,
                                 .spans = spans,
                                 .slots = slots,
                                 .n_segments = 1,
                                 .n_spans = n_spans,
                                 .n_features = count_images(c, first, n)};
    if (run->tokens.n_features)
        features = fv_tensor_rows(c->features, run->n_features, run->tokens.n_features);
    run->n_features += run->tokens.n_features;
    assert_ok(fv_workspace_fit(&run->work, c->backend, take_chunk, run));
    assert_ok(fv_text_forward(run->text, &run->tokens, features, &run->cache.store, &hidden));
    assert_ok(fv_head_forward(c->model, &run->head, hidden, targets, NULL, 1.0f));
    assert_ok(fv_download_now(c->backend, run->head.logprob, logprobs));
}

static void check_chunks(model_case *c, int64_t chunk, const float *whole)
{
    cached run = {.c = c, .work = {.name = "chunk"}};
    float logprobs[CASE_TOKENS];
    fv_page_copy copy;
    assert_ok(fv_cache_init(&run.cache, c->model, 10));
    assert_ok(fv_page_table_init(&run.table, 10, 2, CASE_TOKENS));
    assert_ok(fv_text_pass_create(c->model, &run.text));
    for (int64_t first = 0; first < CASE_ROWS; first += chunk) {
        int64_t n = CASE_ROWS - first < chunk ? CASE_ROWS - first : chunk;
        forward_chunk(&run, first, n, c->ids + first + 1, logprobs + first);
        if (first == 0) /* the sequence's pages are no neighbours */
            assert_true(fv_page_table_extend(&run.table, 1, 2 * FV_PAGE, &copy));
    }
    assert_memory_equal(logprobs, whole, CASE_ROWS * sizeof *whole);
    fv_page_table_fini(&run.table);
    fv_text_pass_destroy(run.text);
    fv_workspace_fini(&run.work);
    fv_cache_fini(&run.cache);
}

static void test_any_chunks_over_a_cache(void **state)
{
    (void)state;
    const int64_t chunks[] = {1, 7, 64, 130, CASE_ROWS};
    for (int m = 0; m < CASE_MODELS; m++) {
        model_case c;
        float whole[CASE_ROWS];
        open_case(&c, case_models[m], NULL, 2);
        case_forward(&c, whole, NULL);
        for (int i = 0; i < 5; i++)
            check_chunks(&c, chunks[i], whole);
        case_close(&c);
    }
}

static void test_generation_and_training_agree(void **state)
{
    (void)state;
    enum { PROMPT = 110 };
    const fv_sampling sampling = {
        .temperature = 0.8f, .top_p = 0.95f, .top_k = 100, .key.seed = 11, .repetition_penalty = 1};
    for (int m = 0; m < CASE_MODELS; m++) {
        model_case c;
        case_answer a, b;
        float whole[CASE_ROWS];
        open_case(&c, case_models[m], NULL, 2);
        case_generate(&c, PROMPT, 33, &sampling, &a);
        case_generate(&c, PROMPT, 512, &sampling, &b);
        assert_memory_equal(a.ids, b.ids, (size_t)a.n * sizeof *a.ids);
        assert_memory_equal(a.logprobs, b.logprobs, (size_t)a.n * sizeof *a.logprobs);
        c.inv_temperature = 1.0f / 0.8f;
        case_forward(&c, whole, NULL);
        assert_memory_equal(a.logprobs, whole + PROMPT - 1, (size_t)a.n * sizeof *whole);
        case_close(&c);
    }
}

/* Two answers on one prompt, packed with the prompt once: segments of their own over shared keys. */
static void test_shared_prefix(void **state)
{
    (void)state;
    enum { PREFIX = 133, TAIL = CASE_TOKENS - PREFIX, N = PREFIX + 2 * TAIL };
    model_case c;
    float whole[2][CASE_ROWS], packed[N];
    int32_t ids[N], targets[N], positions[3 * N], tails[2][TAIL];
    open_case(&c, "tiny-vl", NULL, 2);
    memcpy(ids, c.ids, PREFIX * sizeof *ids);
    for (int s = 0; s < 2; s++) {
        for (int i = 0; i < TAIL; i++)
            tails[s][i] = s ? 249 - c.ids[PREFIX + i] % 250 : c.ids[PREFIX + i];
        memcpy(ids + PREFIX + s * TAIL, tails[s], sizeof tails[s]);
        memcpy(targets + PREFIX + s * TAIL, tails[s] + 1, (TAIL - 1) * sizeof *targets);
        targets[PREFIX + s * TAIL + TAIL - 1] = 0;
    }
    memcpy(targets, c.ids + 1, PREFIX * sizeof *targets);
    for (int row = 0; row < 3; row++) {
        const int32_t *from = c.positions + row * c.n;
        memcpy(positions + row * N, from, PREFIX * sizeof *positions);
        for (int s = 0; s < 2; s++)
            memcpy(positions + row * N + PREFIX + s * TAIL, from + PREFIX, TAIL * sizeof *positions);
    }
    const int32_t spans[] = {0, PREFIX, 0, PREFIX, PREFIX, TAIL, 0, PREFIX, PREFIX + TAIL, TAIL};
    const int32_t segments[] = {0,      PREFIX, 0, 0,          1,           PREFIX,        PREFIX,
                                TAIL,   PREFIX, 1, 2,          CASE_TOKENS, PREFIX + TAIL, TAIL,
                                PREFIX, 3,      2, CASE_TOKENS};
    fv_token_run run = {.n = N,
                        .ids = ids,
                        .positions = positions,
                        .segments = segments,
                        .spans = spans,
                        .n_segments = 3,
                        .n_spans = 5,
                        .n_features = c.n_features};
    for (int s = 0; s < 2; s++) {
        memcpy(c.ids + PREFIX, tails[s], sizeof tails[s]);
        case_forward(&c, whole[s], NULL);
    }
    cached tree = {.c = &c, .tokens = run, .work = {.name = "tree"}};
    fv_tensor hidden;
    assert_ok(fv_text_pass_create(c.model, &tree.text));
    assert_ok(fv_workspace_fit(&tree.work, c.backend, take_chunk, &tree));
    assert_ok(fv_text_forward(tree.text, &run, c.features, NULL, &hidden));
    assert_ok(fv_head_forward(c.model, &tree.head, hidden, targets, NULL, 1.0f));
    assert_ok(fv_download_now(c.backend, tree.head.logprob, packed));
    assert_memory_equal(packed, whole[0], PREFIX * sizeof *packed - sizeof *packed);
    for (int s = 0; s < 2; s++)
        assert_memory_equal(packed + PREFIX + s * TAIL, whole[s] + PREFIX, (TAIL - 1) * sizeof *packed);
    fv_text_pass_destroy(tree.text);
    fv_workspace_fini(&tree.work);
    case_close(&c);
}

/* Forward and backward; numbers is malloc'ed: log-probs, entropies, all gradients. */
static float *compute(const char *model, const char *isa, int threads, fv_save save, size_t *n)
{
    model_case c;
    float weights[CASE_ROWS];
    open_case(&c, model, isa, threads);
    c.save = save;
    *n = 2 * CASE_ROWS + (size_t)fv_tensor_count(c.grads.flat);
    float *numbers = malloc(*n * sizeof *numbers);
    assert_non_null(numbers);
    case_row_weights(weights);
    case_forward(&c, numbers, numbers + CASE_ROWS);
    case_backward(&c, weights, 0.01f);
    assert_ok(fv_download_now(c.backend, c.grads.flat, numbers + 2 * CASE_ROWS));
    case_close(&c);
    return numbers;
}

static int is_there(const char *isa)
{
    fv_backend *backend = NULL;
    fv_err err = fv_backend_cpu_create(isa, 1, &backend);
    fv_backend_destroy(backend);
    return err == FV_OK;
}

static void test_threads_instruction_sets_and_recomputation(void **state)
{
    (void)state;
    const char *const isas[] = {"avx512", "avx2", "portable"};
    for (int m = 0; m < CASE_MODELS; m++) {
        size_t n;
        float *first = compute(case_models[m], NULL, 1, FV_SAVE_ALL, &n);
        for (int i = 0; i < 4; i++) {
            const char *isa = i < 3 ? isas[i] : NULL;
            if (isa && !is_there(isa))
                continue;
            float *other = compute(case_models[m], isa,
                                   i == 0   ? 2
                                   : i == 1 ? 4
                                            : i,
                                   i < 3 ? FV_SAVE_ALL : FV_SAVE_INPUTS, &n);
            assert_memory_equal(first, other, n * sizeof *first);
            free(other);
        }
        free(first);
    }
}

#define IN_BOTH(test)                                     \
    {#test " in fp32", test, case_use_fp32, NULL, NULL},  \
    {                                                     \
#        test " in bf16", test, case_use_bf16, NULL, NULL \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(test_any_chunks_over_a_cache),
        IN_BOTH(test_generation_and_training_agree),
        IN_BOTH(test_shared_prefix),
        IN_BOTH(test_threads_instruction_sets_and_recomputation),
    };
    return cmocka_run_group_tests(tests, case_setup, case_teardown);
}
