/* Sequences of an engine: what comes of each is the bits of one whole pass over it, whatever else is computed
 * beside it, whatever it begins with in common with others, and however little room there is. */
#include "model_case.h"

#include "fovea/engine/generate.h"
#include "fovea/model/nn/cache.h"
#include "fovea/model/nn/pages.h"

enum { N = 21, N_BEGINNING = 70, N_DRAWN = 12, N_CHOICES = 2 };

/* What came of one question. */
typedef struct outcome {
    int n_given;
    float logprobs[N_CHOICES];
    int32_t drawn[N_DRAWN];
    int64_t n_drawn;
    int is_cut;
} outcome;

static fv_backend *backend;
static fv_model *model;
static int32_t ids[N_BEGINNING + 256];
static const int32_t choices[N_CHOICES] = {'1', '0'};

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

/* Question i starts at its own place and has its own length, up to a few pages. */
static int64_t first_of(int i)
{
    return N_BEGINNING + 3 * i;
}

static int64_t length_of(int i)
{
    return 1 + (i * 37) % 150;
}

static fv_err receive(void *context, fv_sequence *sequence, int32_t id, float logprob)
{
    outcome *o = context;
    const fv_model_shape *shape = fv_model_shape_of(model);
    int is_end = 0;
    (void)logprob;
    for (int i = 0; i < shape->n_eos; i++)
        is_end |= shape->eos_ids[i] == id;
    if (!is_end)
        o->drawn[o->n_drawn++] = id;
    o->is_cut = !is_end && o->n_drawn == N_DRAWN;
    if (is_end || o->is_cut) {
        o->n_given++;
        fv_sequence_close(sequence);
    }
    return FV_OK;
}

static fv_err keep(void *context, fv_sequence *sequence, const float *logprobs)
{
    outcome *o = context;
    o->n_given++;
    memcpy(o->logprobs, logprobs, sizeof o->logprobs);
    fv_sequence_close(sequence);
    return FV_OK;
}

static fv_sequence_args args_of(fv_sequence *beginning, int is_choosing, outcome *o)
{
    return (fv_sequence_args){
        .parent = beginning,
        .owner = {o, is_choosing ? NULL : receive, is_choosing ? keep : NULL},
        .sampling = {.top_p = 1, .repetition_penalty = 1},
        .choices = {choices[0], choices[1]},
        .n_choices = N_CHOICES,
    };
}

static void pass(fv_engine *engine)
{
    int is_idle;
    assert_ok(fv_engine_pass(engine, &is_idle));
    assert_false(is_idle);
}

/* As soon as there is a sequence for it. */
static void ask(fv_engine *engine, fv_sequence *beginning, int i, int is_choosing, outcome *o)
{
    fv_sequence *question;
    const fv_sequence_args args = args_of(beginning, is_choosing, o);
    while (fv_sequence_open(engine, &args, &question) == FV_BUSY)
        pass(engine);
    assert_ok(fv_sequence_append(question, ids + first_of(i), length_of(i), NULL, 0));
}

static fv_engine_settings settings_of(const int *way, int is_choosing)
{
    return (fv_engine_settings){.name = "questions",
                                .max_running = way[0],
                                .max_tokens = N_BEGINNING + 150 + N_DRAWN,
                                .pass_tokens = way[1],
                                .cache_pages = way[2],
                                .is_choosing = is_choosing};
}

/* Asks all, some of them while others are computed. */
static void ask_all(const int *way, int is_choosing, outcome *outcomes)
{
    fv_engine *engine;
    fv_sequence *beginning;
    int is_idle;
    const fv_engine_settings settings = settings_of(way, is_choosing);
    memset(outcomes, 0, N * sizeof *outcomes);
    assert_ok(fv_engine_create(model, &settings, &engine));
    assert_ok(fv_sequence_open(engine, &(fv_sequence_args){0}, &beginning));
    assert_ok(fv_sequence_append(beginning, ids, N_BEGINNING, NULL, 0));
    assert_ok(fv_engine_pass(engine, &is_idle)); /* nothing is asked yet */
    assert_true(is_idle);
    for (int i = 0; i < N; i++) {
        ask(engine, beginning, i, is_choosing, &outcomes[i]);
        if (i % 4 == 3)
            pass(engine);
    }
    while (fv_engine_pending(engine) > 0)
        pass(engine);
    for (int i = 0; i < N; i++)
        assert_int_equal(outcomes[i].n_given, 1);
    fv_sequence_close(beginning);
    assert_int_equal(fv_engine_free_pages(engine), way[2]);
    fv_engine_destroy(engine);
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
    for (int k = 0; k < N_CHOICES; k++) {
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

/* running, tokens a pass, pages: all at once; one at a time in small passes; few pages; as few as one needs.
 */
static const int ways[][3] = {{N, 4096, 200}, {1, 7, 6}, {8, 64, 9}, {N, 300, 12}, {8, 64, 4}};
enum { N_WAYS = sizeof ways / sizeof *ways };

static void test_choices(void **state)
{
    (void)state;
    static outcome first[N], other[N];
    fv_backend *own;
    model_case c;
    ask_all(ways[0], 1, first);
    assert_ok(fv_backend_cpu_create(NULL, 1, &own));
    case_open(&c, own, case_self, temp_path("tiny-qwen3"));
    for (int i = 0; i < N; i++)
        check_choices(&c, i, &first[i]);
    case_close(&c);
    for (int way = 1; way < N_WAYS; way++) {
        ask_all(ways[way], 1, other);
        assert_memory_equal(first, other, sizeof first);
    }
}

static void test_generated(void **state)
{
    (void)state;
    static outcome first[N], other[N];
    ask_all(ways[0], 0, first);
    for (int i = 0; i < N; i++)
        check_drawn(i, &first[i]);
    for (int way = 1; way < N_WAYS; way++) {
        ask_all(ways[way], 0, other);
        assert_memory_equal(first, other, sizeof first);
    }
}

/* A tree: forks of forks, with and without tokens of their own, opened before and after what they go on from
 * is computed. */

enum { TREE = 6, TREE_DRAWN = 40 };

typedef struct branch {
    int parent;       /* -1: none */
    int64_t first, n; /* its own tokens: of ids */
    int is_late;
} branch;

static const branch tree[TREE] = {{-1, 0, 100, 0}, {0, 100, 0, 0}, {0, 100, 60, 0},
                                  {2, 160, 5, 0},  {2, 170, 0, 1}, {0, 120, 33, 1}};

typedef struct grown {
    int32_t ids[TREE_DRAWN];
    float logprobs[TREE_DRAWN];
    int n;
} grown;

static fv_err grow(void *context, fv_sequence *sequence, int32_t id, float logprob)
{
    grown *g = context;
    g->ids[g->n] = id;
    g->logprobs[g->n++] = logprob;
    if (g->n == TREE_DRAWN)
        fv_sequence_end(sequence);
    return FV_OK;
}

static fv_sampling sampling_of(int i)
{
    return (fv_sampling){.temperature = i % 2 ? 0.7f : 1.2f,
                         .top_k = i == 3 ? 5 : 0,
                         .top_p = i == 4 ? 0.9f : 1,
                         .repetition_penalty = i == 5 ? 1.5f : 1,
                         .key = {.seed = 8, .sample = (uint32_t)i}};
}

/* The first is computed for the others alone, the third goes on itself while others go on from it. */
static void open_branch(fv_engine *engine, fv_sequence **sequences, int i, grown *g)
{
    fv_sequence_args args = {.parent = tree[i].parent < 0 ? NULL : sequences[tree[i].parent],
                             .owner = {g, i ? grow : NULL},
                             .sampling = sampling_of(i)};
    assert_ok(fv_sequence_open(engine, &args, &sequences[i]));
    assert_ok(fv_sequence_append(sequences[i], ids + tree[i].first, tree[i].n, NULL, 0));
}

static int n_before_late; /* what the third had generated when the late ones were opened */

static void grow_tree(const int *way, grown *all)
{
    fv_engine *engine;
    fv_sequence *sequences[TREE];
    int is_idle = 0;
    const fv_engine_settings settings = {.name = "tree",
                                         .max_running = way[0],
                                         .max_tokens = 300,
                                         .pass_tokens = way[1],
                                         .cache_pages = way[2],
                                         .has_filters = 1};
    memset(all, 0, TREE * sizeof *all);
    assert_ok(fv_engine_create(model, &settings, &engine));
    for (int i = 0; i < TREE; i++)
        if (!tree[i].is_late)
            open_branch(engine, sequences, i, &all[i]);
    for (int k = 0; k < way[3]; k++)
        assert_ok(fv_engine_pass(engine, &is_idle));
    n_before_late = all[2].n;
    for (int i = 0; i < TREE; i++)
        if (tree[i].is_late)
            open_branch(engine, sequences, i, &all[i]);
    while (!is_idle)
        assert_ok(fv_engine_pass(engine, &is_idle));
    assert_true(way[2] > 9 || fv_engine_stats_of(engine)->n_evictions > 0);
    fv_engine_destroy(engine);
}

/* Tokens of the branch before its own, into to. */
static int64_t fill_before(int i, const grown *all, int32_t *to, int n_of_parent)
{
    if (tree[i].parent < 0)
        return 0;
    int p = tree[i].parent;
    int64_t n = fill_before(p, all, to, 0);
    memcpy(to + n, ids + tree[p].first, (size_t)tree[p].n * sizeof *to);
    n += tree[p].n;
    memcpy(to + n, all[p].ids, (size_t)n_of_parent * sizeof *to);
    return n + n_of_parent;
}

/* n_of_parent: what the parent had generated when the branch was opened. */
static void check_branch(model_case *c, int i, const grown *all, int n_of_parent)
{
    float logprobs[CASE_MAX_TOKENS];
    int64_t n = fill_before(i, all, c->ids, n_of_parent);
    float temperature = sampling_of(i).temperature;
    memcpy(c->ids + n, ids + tree[i].first, (size_t)tree[i].n * sizeof *ids);
    n += tree[i].n;
    memcpy(c->ids + n, all[i].ids, sizeof all[i].ids);
    c->n = n + TREE_DRAWN;
    c->inv_temperature = 1.0f / temperature;
    case_place(c);
    case_forward(c, logprobs, NULL);
    assert_memory_equal(all[i].logprobs, logprobs + n - 1, sizeof all[i].logprobs);
}

static void test_forks(void **state)
{
    (void)state;
    /* running, tokens a pass, pages, passes before the late ones: these depend on it */
    static const int tree_ways[][4] = {
        {TREE, 512, 60, 8}, {TREE, 512, 9, 8}, {TREE, 512, 6, 8}, {TREE, 520, 7, 8}};
    static grown first[TREE], other[TREE];
    fv_backend *own;
    model_case c;
    grow_tree(tree_ways[0], first);
    assert_ok(fv_backend_cpu_create(NULL, 1, &own));
    case_open(&c, own, case_self, temp_path("tiny-qwen3"));
    for (int i = 1; i < TREE; i++) {
        assert_int_equal(first[i].n, TREE_DRAWN);
        check_branch(&c, i, first, i == 4 ? n_before_late : 0);
    }
    case_close(&c);
    for (size_t way = 1; way < sizeof tree_ways / sizeof *tree_ways; way++) {
        grow_tree(tree_ways[way], other);
        for (int i = 1; i < TREE; i++)
            if (i != 4) /* what the parent had by then depends on the room */
                assert_memory_equal(&first[i], &other[i], sizeof first[i]);
    }
}

/* As many pages as there is room for beside the rest, and two of the longest at least. */
static void test_room(void **state)
{
    (void)state;
    fv_engine_bytes bytes;
    fv_engine_settings settings = settings_of((const int[]){4, 8, 100}, 0);
    double page = (double)fv_cache_page_bytes(model);
    settings.max_tokens = 3 * FV_PAGE;
    assert_ok(fv_engine_measure(model, &settings, &bytes));
    double others = (double)(bytes.image_rows + bytes.pass + bytes.vision);
    const struct {
        double room;
        int pages;
    } cases[] = {{others + 1000 * page, 100}, {others + 20.5 * page, 20}, {others, 6}, {0, 6}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        settings.cache_pages = 100;
        assert_ok(fv_engine_fit_cache(model, cases[i].room, &settings));
        assert_int_equal(settings.cache_pages, cases[i].pages);
    }
    settings.cache_pages = 4;
    assert_ok(fv_engine_fit_cache(model, 0, &settings));
    assert_int_equal(settings.cache_pages, 4);
}

static void test_refusals(void **state)
{
    (void)state;
    fv_engine *engine;
    fv_sequence *s;
    fv_engine_settings settings = settings_of((const int[]){1, 8, 3}, 0);
    assert_fails(fv_engine_create(model, &settings, &engine), FV_ERR_ARGUMENT, "raise cache_pages");
    settings.cache_pages = 4;
    settings.pass_tokens = 0;
    assert_fails(fv_engine_create(model, &settings, &engine), FV_ERR_ARGUMENT, "pass_tokens is 0");
    settings.pass_tokens = 8;
    assert_ok(fv_engine_create(model, &settings, &engine));
    outcome o = {0};
    fv_sequence_args args = args_of(NULL, 0, &o);
    args.sampling.top_p = 0;
    assert_fails(fv_sequence_open(engine, &args, &s), FV_ERR_ARGUMENT, "top_p of 0");
    args.sampling.top_p = 1;
    args.sampling.repetition_penalty = 2;
    assert_fails(fv_sequence_open(engine, &args, &s), FV_ERR_ARGUMENT, "without filters");
    args = args_of(NULL, 1, &o);
    assert_fails(fv_sequence_open(engine, &args, &s), FV_ERR_ARGUMENT, "either generate or choose");
    args = args_of(NULL, 0, &o);
    assert_ok(fv_sequence_open(engine, &args, &s));
    assert_int_equal(fv_sequence_open(engine, &args, &s), FV_BUSY);
    assert_fails(fv_sequence_append(s, ids, 233, NULL, 0), FV_ERR_ARGUMENT, "at most 232");
    assert_fails(
        fv_sequence_append(s, ids, 1, &(fv_engine_image *){&(fv_engine_image){.grid = {1, 2, 2}}}, 1),
        FV_ERR_UNSUPPORTED, "takes no images");
    fv_engine_destroy(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_choices), cmocka_unit_test(test_generated),
                                       cmocka_unit_test(test_forks), cmocka_unit_test(test_room),
                                       cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
