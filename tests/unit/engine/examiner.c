/* Questions with one beginning: what comes of each is the bits of one whole pass over it, whatever else is
 * computed beside it and however little room there is. */
#include "model_case.h"

#include "fovea/engine/examiner.h"

enum { N = 21, N_BEGINNING = 70, N_DRAWN = 12 };

/* What came of one question. */
typedef struct outcome {
    int n_given;
    float logprobs[FV_N_CHOICES];
    int32_t drawn[N_DRAWN];
    int64_t n_drawn;
    int is_cut;
} outcome;

static fv_backend *backend;
static fv_model *model;
static int32_t ids[N_BEGINNING + 256];
static const int32_t choices[FV_N_CHOICES] = {'1', '0'};

static int setup(void **state)
{
    if (case_setup(state) != 0 || fv_backend_cpu_create(NULL, 2, &backend) != FV_OK)
        return -1;
    for (uint32_t i = 0; i < sizeof ids / sizeof *ids; i++)
        ids[i] = (int32_t)(fv_rng_uniform((fv_rng_key){.seed = 3}, i) * 250.0f);
    return fv_model_open(&(fv_model_args){backend, case_self, temp_path("tiny-qwen3")}, &model) != FV_OK;
}

static int teardown(void **state)
{
    fv_model_destroy(model);
    fv_backend_destroy(backend);
    return case_teardown(state);
}

static fv_err keep(void *context, const fv_finding *finding)
{
    outcome *o = context;
    o->n_given++;
    o->n_drawn = finding->n_drawn;
    o->is_cut = finding->is_cut;
    assert_true(o->n_drawn <= N_DRAWN);
    memcpy(o->logprobs, finding->logprobs, sizeof o->logprobs);
    if (o->n_drawn > 0)
        memcpy(o->drawn, finding->drawn, (size_t)o->n_drawn * sizeof *o->drawn);
    return FV_OK;
}

/* Question i starts at its own place and has its own length, up to a few pages. */
static int64_t first_of(int i)
{
    return N_BEGINNING + 3 * i;
}

static int64_t length_of(int i)
{
    return 1 + (i * 37) % 150;
}

static void ask(fv_examiner *x, int i, outcome *o)
{
    fv_tokens question = {0};
    for (int64_t k = 0; k < length_of(i); k++)
        assert_ok(fv_tokens_push(&question, ids[first_of(i) + k]));
    assert_true(fv_examiner_fits(x, length_of(i)));
    assert_ok(fv_examiner_ask(x, &question, keep, o));
}

static fv_examiner_settings settings_of(int running, int pass_tokens, int pages, int max_drawn)
{
    return (fv_examiner_settings){.beginning = ids,
                                  .n_beginning = N_BEGINNING,
                                  .choices = {choices[0], choices[1]},
                                  .max_drawn = max_drawn,
                                  .stop = -1,
                                  .max_running = running,
                                  .pass_tokens = pass_tokens,
                                  .cache_pages = pages};
}

/* Asks all, some of them while others are computed. */
static void examine(fv_examiner_settings settings, outcome *outcomes)
{
    fv_examiner *x;
    memset(outcomes, 0, N * sizeof *outcomes);
    assert_ok(fv_examiner_create(model, &settings, &x));
    assert_ok(fv_examiner_pass(x)); /* nothing is asked yet */
    for (int i = 0; i < N; i++) {
        ask(x, i, &outcomes[i]);
        if (i % 4 == 3)
            assert_ok(fv_examiner_pass(x));
    }
    while (fv_examiner_pending(x) > 0)
        assert_ok(fv_examiner_pass(x));
    for (int i = 0; i < N; i++)
        assert_int_equal(outcomes[i].n_given, 1);
    fv_examiner_destroy(x);
}

static void start_whole(model_case *c, int i)
{
    memcpy(c->ids, ids, N_BEGINNING * sizeof *ids);
    memcpy(c->ids + N_BEGINNING, ids + first_of(i), (size_t)length_of(i) * sizeof *ids);
    c->n = N_BEGINNING + length_of(i);
}

/* The log-probs of the choices are those of one whole pass. */
static void check_choices(model_case *c, int i, const outcome *o)
{
    float logprobs[CASE_MAX_TOKENS];
    start_whole(c, i);
    c->n++;
    for (int k = 0; k < FV_N_CHOICES; k++) {
        c->ids[c->n - 1] = choices[k];
        case_place(c);
        case_forward(c, logprobs, NULL);
        assert_memory_equal(&o->logprobs[k], &logprobs[c->n - 2], sizeof *logprobs);
    }
}

/* What was drawn is what one generation draws. */
static void check_drawn(int i, const outcome *o)
{
    case_answer answer = {.n = 0};
    int32_t whole[CASE_MAX_TOKENS];
    fv_finish finish;
    memcpy(whole, ids, N_BEGINNING * sizeof *ids);
    memcpy(whole + N_BEGINNING, ids + first_of(i), (size_t)length_of(i) * sizeof *ids);
    const fv_generate_args args = {.prompt = {.ids = whole, .n = N_BEGINNING + length_of(i)},
                                   .sampling = {.top_p = 1, .repetition_penalty = 1},
                                   .max_tokens = N_DRAWN,
                                   .chunk = 64,
                                   .sink = case_receive,
                                   .context = &answer};
    assert_ok(fv_generate(model, &args, &finish));
    assert_int_equal(o->is_cut, finish == FV_FINISH_LENGTH);
    assert_int_equal(o->n_drawn, answer.n - !o->is_cut);
    assert_memory_equal(o->drawn, answer.ids, (size_t)o->n_drawn * sizeof *o->drawn);
}

/* running, tokens a pass, pages: all at once; one at a time in small passes; few pages. */
static const int ways[][3] = {{N, 4096, 200}, {1, 7, 6}, {8, 64, 9}, {N, 300, 12}};
enum { N_WAYS = sizeof ways / sizeof *ways };

static void test_choices(void **state)
{
    (void)state;
    static outcome first[N], other[N];
    fv_backend *own;
    model_case c;
    examine(settings_of(ways[0][0], ways[0][1], ways[0][2], 0), first);
    assert_ok(fv_backend_cpu_create(NULL, 1, &own));
    case_open(&c, own, case_self, temp_path("tiny-qwen3"));
    for (int i = 0; i < N; i++)
        check_choices(&c, i, &first[i]);
    case_close(&c);
    for (int way = 1; way < N_WAYS; way++) {
        examine(settings_of(ways[way][0], ways[way][1], ways[way][2], 0), other);
        assert_memory_equal(first, other, sizeof first);
    }
}

static void test_drawn(void **state)
{
    (void)state;
    static outcome first[N], other[N];
    examine(settings_of(ways[0][0], ways[0][1], ways[0][2], N_DRAWN), first);
    for (int i = 0; i < N; i++)
        check_drawn(i, &first[i]);
    for (int way = 1; way < N_WAYS; way++) {
        examine(settings_of(ways[way][0], ways[way][1], ways[way][2], N_DRAWN), other);
        assert_memory_equal(first, other, sizeof first);
    }
}

static void test_room(void **state)
{
    (void)state;
    fv_examiner *x;
    fv_examiner_settings settings = settings_of(4, 64, 4, 60);
    assert_ok(fv_examiner_create(model, &settings, &x));
    assert_true(fv_examiner_fits(x, 68)); /* two pages besides those of the beginning */
    assert_false(fv_examiner_fits(x, 69));
    assert_false(fv_examiner_fits(x, INT64_MAX / 2));
    fv_examiner_destroy(x);
    settings.cache_pages = 2;
    assert_fails(fv_examiner_create(model, &settings, &x), FV_ERR_ARGUMENT, "raise judge.cache_pages");
    settings = settings_of(4, 64, 100, 4096);
    assert_ok(fv_examiner_create(model, &settings, &x));
    assert_false(fv_examiner_fits(x, 1)); /* the model has positions for 4096 tokens */
    fv_examiner_destroy(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_choices), cmocka_unit_test(test_drawn),
                                       cmocka_unit_test(test_room)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
