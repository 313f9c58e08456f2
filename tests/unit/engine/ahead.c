/* Decoding on back ends that record it: passes have the rows of their bucket, and are queued before the draws
 * that they go on from are known. What owners are told is the same, and so is what is counted. */
#include "model_case.h"

#include "engine/engine_internal.h"
#include "fovea/ops/cuda.h"

#include <stdlib.h>

enum { N_PROMPT = 70, MOST = 17, TURN = 9, N_TURNS = 2, REPLY = 5, MAX_TOKENS = 200 };

typedef struct world {
    fv_backend *backend;
    fv_model *model;
    fv_engine *engine;
    int n, n_turns;         /* sequences, and of each at most */
    int64_t n_told, n_late; /* of these: while the next pass was not queued */
    int64_t n_calls;        /* of fv_engine_pass: each tells of one pass */
} world;

/* What one sequence was told. */
typedef struct talk {
    world *w;
    int i, n, turns;
    int32_t ids[N_TURNS * (TURN + MOST)];
    float logprobs[N_TURNS * (TURN + MOST)];
} talk;

static int32_t text[N_PROMPT + REPLY];

static int setup(void **state)
{
    unsetenv("FOVEA_BACKEND_WRAP"); /* they are put on here */
    for (int i = 0; i < N_PROMPT + REPLY; i++)
        text[i] = 'a' + i * 7 % 26;
    return case_setup(state);
}

/* Passes that were queued. */
static int64_t n_queued(const world *w)
{
    return w->backend->timer[FV_OP_rope_angles].n_calls;
}

/* Turns of other lengths for each; all but every fourth sequence have a second one. */
static fv_err hear(void *context, fv_sequence *sequence, int32_t id, float logprob)
{
    talk *t = context;
    t->ids[t->n] = id;
    t->logprobs[t->n++] = logprob;
    t->w->n_told++;
    t->w->n_late += n_queued(t->w) == t->w->n_calls;
    if (t->n < (t->turns + 1) * (TURN + t->i))
        return FV_OK;
    if (++t->turns == t->w->n_turns || t->i % 4 == 3) {
        fv_sequence_end(sequence);
        return FV_OK;
    }
    return fv_sequence_append(sequence, text + N_PROMPT, REPLY, NULL, 0);
}

/* Where it runs: the first and the last record nothing. */
typedef enum way { PLAIN, CHECKED, DEFERRED, BOTH, DEVICE, UNRECORDED } way;

static fv_backend *backend_of(way on)
{
    static fv_backend_table unrecorded;
    fv_backend *backend;
    assert_ok(on < DEVICE ? fv_backend_cpu_create(NULL, 2, &backend) : fv_backend_cuda_create(0, &backend));
    if (on == CHECKED || on == BOTH)
        assert_ok(fv_backend_check_create(backend, &backend));
    if (on == DEFERRED || on == BOTH)
        assert_ok(fv_backend_deferred_create(backend, &backend));
    if (on == UNRECORDED) {
        unrecorded = *backend->table;
        unrecorded.graph_run = NULL;
        backend->table = &unrecorded;
    }
    return backend;
}

static void open_world(world *w, int n, way on)
{
    *w = (world){.n = n, .n_turns = N_TURNS, .backend = backend_of(on)};
    const fv_model_args args = {.backend = w->backend,
                                .tensor = case_self,
                                .folder = temp_path("tiny-qwen3"),
                                .precision =
                                    fv_precision_of(on < DEVICE ? FV_PRECISION_FP32 : FV_PRECISION_BF16)};
    assert_ok(fv_model_open(&args, &w->model));
    const fv_engine_settings settings = {.name = "talks",
                                         .max_running = MOST,
                                         .max_tokens = MAX_TOKENS,
                                         .pass_tokens = 64,
                                         .cache_pages = 60,
                                         .has_filters = 1};
    assert_ok(fv_engine_create(w->model, &settings, &w->engine));
}

static void close_world(world *w)
{
    fv_engine_destroy(w->engine);
    fv_model_destroy(w->model);
    fv_backend_destroy(w->backend);
}

/* Forks of one prompt; with filters, one of them draws from its likeliest ids. */
static void talk_all(world *w, int has_filter, talk *talks)
{
    fv_sequence *prompt, *sequence;
    int is_idle = 0;
    memset(talks, 0, MOST * sizeof *talks);
    assert_ok(fv_sequence_open(w->engine, &(fv_sequence_args){0}, &prompt));
    assert_ok(fv_sequence_append(prompt, text, N_PROMPT, NULL, 0));
    for (int i = 0; i < w->n; i++) {
        talks[i].w = w;
        talks[i].i = i;
        const fv_sequence_args args = {.parent = prompt,
                                       .owner = {&talks[i], hear, NULL},
                                       .sampling = {.temperature = i % 3 ? 1 : 0,
                                                    .top_k = has_filter && i == 0 ? 5 : 0,
                                                    .top_p = 1,
                                                    .repetition_penalty = 1,
                                                    .key = {.seed = 4, .sample = (uint32_t)i}}};
        assert_ok(fv_sequence_open(w->engine, &args, &sequence));
    }
    while (!is_idle) {
        w->n_calls++;
        assert_ok(fv_engine_pass(w->engine, &is_idle));
    }
    for (int i = 0; i < w->n; i++)
        talks[i].w = NULL;
}

/* Ways [first, end) give what `like` gives. */
static void check_ways(int n, way like, way first, way end)
{
    static talk expected[MOST], found[MOST];
    world w;
    for (int has_filter = 0; has_filter < 2; has_filter++) {
        open_world(&w, n, like);
        talk_all(&w, has_filter, expected);
        const fv_engine_stats stats = *fv_engine_stats_of(w.engine);
        assert_true(expected[0].n == N_TURNS * TURN);
        close_world(&w);
        for (way on = first; on < end; on++) {
            open_world(&w, n, on);
            talk_all(&w, has_filter, found);
            const fv_engine_stats *now = fv_engine_stats_of(w.engine);
            assert_memory_equal(expected, found, sizeof expected);
            assert_int_equal(now->generated_tokens, stats.generated_tokens);
            assert_int_equal(now->computed_tokens, stats.computed_tokens);
            close_world(&w);
        }
    }
}

static void test_told(void **state)
{
    (void)state;
    for (int n = 1; n <= MOST; n += n < 3 ? 2 : 7)
        check_ways(n, PLAIN, CHECKED, DEVICE);
}

static void test_device(void **state)
{
    (void)state;
    if (!getenv("FOVEA_TEST_CUDA"))
        skip();
    for (int n = 1; n <= MOST; n++)
        check_ways(n, UNRECORDED, DEVICE, UNRECORDED);
}

/* While an owner is told of a draw the pass behind it is queued: nothing has run but what the draw needs, so
 * that pass can have been made of nothing that was told. It is so of the pass that computes the prompt, from
 * whose last row all go on, and of those that only draw. */
static void test_next_pass_is_queued(void **state)
{
    (void)state;
    static talk talks[MOST];
    for (int n = 1; n <= 3; n += 2) {
        world w;
        open_world(&w, n, DEFERRED);
        w.n_turns = 1;
        talk_all(&w, 0, talks);
        assert_int_equal(w.n_told, n * TURN + n * (n - 1) / 2);
        assert_int_equal(w.n_late, 0);
        close_world(&w);
    }
}

static const fv_backend_table *counted;

static int n_drawn;
static fv_err sample(fv_backend *backend, const fv_sample_args *args)
{
    int64_t rows = args->logits.dim[0], size;
    fv_bucket_of(rows, MOST, &size);
    assert_int_equal(rows, size);
    n_drawn++;
    return counted->sample(backend, args);
}

/* All passes draw as many as those of some bucket, those that compute prompts and replies too. */
static void test_draws_are_of_few_sizes(void **state)
{
    (void)state;
    static talk talks[MOST];
    world w;
    for (int n = 3; n <= MOST; n += 7) {
        open_world(&w, n, CHECKED);
        counted = w.backend->table;
        fv_backend_table table = *counted;
        table.sample = sample;
        w.backend->table = &table;
        n_drawn = 0;
        talk_all(&w, 0, talks);
        assert_true(n_drawn > 0);
        w.backend->table = counted;
        close_world(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_told), cmocka_unit_test(test_device),
                                       cmocka_unit_test(test_draws_are_of_few_sizes),
                                       cmocka_unit_test(test_next_pass_is_queued)};
    return cmocka_run_group_tests(tests, setup, case_teardown);
}
