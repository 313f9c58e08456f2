/* Rollout: answers do not depend on batching, chunks, memory or evictions; their log-probs are the bits of
 * one whole pass over prompt, answer, tool turns and both views; nothing excluded is drawn. */
#include "model_case.h"

#include "fovea/rollout.h"

enum { GROUPS = 3, ANSWERS = 4, IM_END = 258, MAX_TURN = 90 };

#define GOOD_CALL \
    "<tool_call>{\"name\": \"resize_image\", \"arguments\": {\"action\": \"resize\"}}</tool_call>\1"
#define ANSWER "<answer>7</answer>\1"

/* What answer i of a group says when it is told; \1 ends a turn. */
static const char *const scripts[ANSWERS] = {
    ANSWER, GOOD_CALL ANSWER, "<tool_call>what</tool_call>\1" GOOD_CALL ANSWER,
    "thinking and thinking without an end, until the limit of a turn "
    "is reached and nothing more is said"};
static const int32_t excluded[] = {265, 266, 267, 268, 269}; /* the vision tokens of tiny-vl */

typedef struct world {
    fv_backend *backend;
    fv_model *model;
    fv_tokenizer *tokenizer;
    fv_chat chat;
    fv_prompts *prompts;
    fv_group groups[GROUPS];
    int n_given, n_done, is_scripted;
    fv_rollout_settings settings;
} world;

static world w;
static fv_backend_table table;
static fv_err (*real_sample)(fv_backend *, const fv_sample_args *);

static fv_rng_key key_of(const fv_group *group, const fv_answer *answer)
{
    return (fv_rng_key){.seed = w.settings.seed,
                        .step = w.settings.step,
                        .sample = (uint32_t)answer->sample,
                        .prompt = (uint64_t)group->row};
}

/* The answer whose next draw uses this number. */
static const fv_answer *find_answer(float uniform)
{
    for (int g = 0; g < w.n_given; g++)
        for (int i = 0; i < ANSWERS; i++) {
            const fv_answer *a = &w.groups[g].answers[i];
            if (!a->is_done && fv_rng_uniform(key_of(&w.groups[g], a), (uint32_t)a->ids.n) == uniform)
                return a;
        }
    fail_msg("a draw that belongs to no answer");
    return NULL;
}

static int32_t scripted_id(const fv_answer *answer)
{
    int64_t n_drawn = 0;
    for (size_t i = 0; i < answer->ids.n; i++)
        n_drawn += answer->is_drawn[i];
    const char *script = scripts[answer->sample];
    assert_true(n_drawn < (int64_t)strlen(script));
    return script[n_drawn] == '\1' ? IM_END : (uint8_t)script[n_drawn];
}

static fv_err sample(fv_backend *backend, const fv_sample_args *args)
{
    FV_TRY(real_sample(backend, args));
    for (int64_t i = 0; w.is_scripted && i < args->ids.dim[0]; i++)
        ((int32_t *)args->ids.data)[i] = scripted_id(find_answer(((const float *)args->uniform.data)[i]));
    return FV_OK;
}

static int setup(void **state)
{
    if (case_setup(state) != 0)
        return -1;
    temp_write("p.yaml", "system: Look.\nuser: '{image} {question}'\ntool_result: 'Here: {image}'\n"
                         "tool_error: 'No: {error}'\n");
    const fv_added_token special[] = {{"<|endoftext|>", 256},  {"<|im_start|>", 257},
                                      {"<|im_end|>", IM_END},  {"<|vision_start|>", 265},
                                      {"<|vision_end|>", 266}, {"<|image_pad|>", 268}};
    if (fv_tokenizer_write_bytes(temp_folder("t"), special, 6) ||
        fv_tokenizer_load(temp_path("t"), &w.tokenizer) || fv_chat_init(&w.chat, w.tokenizer) ||
        fv_prompts_load(temp_path("p.yaml"), &w.prompts) || fv_backend_cpu_create(NULL, 2, &w.backend))
        return -1;
    table = *w.backend->table;
    real_sample = table.sample;
    table.sample = sample;
    w.backend->table = &table;
    return fv_model_open(w.backend, case_self, temp_path("tiny-vl"), &w.model) != FV_OK;
}

static int teardown(void **state)
{
    fv_model_destroy(w.model);
    fv_backend_destroy(w.backend);
    fv_prompts_destroy(w.prompts);
    fv_tokenizer_destroy(w.tokenizer);
    return case_teardown(state);
}

/* The source: three groups whose prompts differ in length; pixels are a function of row and view. */

static fv_err next(void *context, fv_group **out)
{
    (void)context;
    *out = NULL;
    if (w.n_given == GROUPS)
        return FV_OK;
    fv_group *group = &w.groups[w.n_given];
    const char *question =
        "How many bars are taller than the one in the middle of the picture, if there is one?";
    FV_TRY(fv_group_init(group, 100 + w.n_given, ANSWERS));
    group->has_image = w.n_given != 2;
    group->small = (fv_grid){1, 4, 6};
    group->large = (fv_grid){1, 8, 12};
    fv_text_part text = {question + 10 * w.n_given, strlen(question + 10 * w.n_given), FV_TOKENIZE_PLAIN};
    FV_TRY(fv_prompts_start(w.prompts, &w.chat, text, group->has_image ? 6 : 0, &group->prompt));
    w.n_given++;
    *out = group;
    return FV_OK;
}

static fv_err give_view(void *context, const fv_group *group, int is_large, fv_view *view)
{
    (void)context;
    view->grid = is_large ? group->large : group->small;
    int64_t n = fv_grid_patches(view->grid) * 1176;
    view->pixels = malloc((size_t)n * sizeof *view->pixels);
    FV_CHECK(view->pixels, FV_ERR_MEMORY, "no memory");
    for (int64_t i = 0; i < n; i++)
        view->pixels[i] = fv_rng_normal(
            (fv_rng_key){.seed = 9, .prompt = (uint64_t)group->row, .sample = (uint32_t)is_large},
            (uint32_t)i);
    return FV_OK;
}

static fv_err done(void *context, fv_group *group)
{
    (void)context;
    for (int i = 0; i < group->n_answers; i++)
        assert_int_equal(group->answers[i].is_done, 1);
    w.n_done++;
    return FV_OK;
}

static fv_rollout_settings settings_of(int max_running, int pass_tokens, int cache_pages)
{
    return (fv_rollout_settings){.dialogue = {.prompts = w.prompts,
                                              .chat = &w.chat,
                                              .merge = 2,
                                              .max_rounds = 3,
                                              .max_images = 2,
                                              .max_turn_tokens = MAX_TURN,
                                              .max_tokens = 700},
                                 .temperature = 0.9f,
                                 .top_p = 1,
                                 .seed = 21,
                                 .step = 4,
                                 .excluded = excluded,
                                 .n_excluded = 5,
                                 .max_running = max_running,
                                 .pass_tokens = pass_tokens,
                                 .cache_pages = cache_pages};
}

static fv_err roll(fv_rollout_settings settings, fv_rollout_stats *stats)
{
    const fv_rollout_source source = {NULL, next, give_view, done};
    w.settings = settings;
    w.n_given = w.n_done = 0;
    return fv_rollout_run(w.model, &settings, &source, stats);
}

static void forget(void)
{
    for (int g = 0; g < w.n_given; g++)
        fv_group_fini(&w.groups[g]);
    w.n_given = 0;
}

/* One whole pass over prompt and answer gives the same bits as the rollout. */
static void check_answer(model_case *c, const fv_group *group, const fv_answer *answer)
{
    float logprobs[CASE_MAX_TOKENS];
    fv_view views[2] = {{{0}}};
    c->n = c->n_images = 0;
    c->n_features = 0;
    memcpy(c->ids, group->prompt.ids, group->prompt.n * sizeof *c->ids);
    memcpy(c->ids + group->prompt.n, answer->ids.ids, answer->ids.n * sizeof *c->ids);
    c->n = (int64_t)(group->prompt.n + answer->ids.n);
    c->pixels = realloc(c->pixels, (24 + 96) * 1176 * sizeof *c->pixels);
    for (int large = 0; large < group->has_image + answer->n_shown; large++) {
        assert_ok(give_view(NULL, group, large, &views[large]));
        memcpy(c->pixels + (large ? 24 * 1176 : 0), views[large].pixels,
               (size_t)fv_grid_patches(views[large].grid) * 1176 * sizeof *c->pixels);
        c->grids[c->n_images++] = views[large].grid;
        c->n_features += fv_grid_tokens(views[large].grid, 2);
        fv_view_fini(&views[large]);
    }
    case_place(c);
    case_forward(c, logprobs, NULL);
    for (size_t i = 0; i < answer->ids.n; i++)
        if (answer->is_drawn[i])
            assert_memory_equal(&answer->logprobs[i], &logprobs[group->prompt.n - 1 + i], sizeof *logprobs);
}

static void check_all(void)
{
    model_case c;
    fv_backend *backend;
    assert_ok(fv_backend_cpu_create(NULL, 2, &backend));
    case_open(&c, backend, case_self, temp_path("tiny-vl"));
    c.excluded = excluded;
    c.n_excluded = 5;
    c.inv_temperature = 1.0f / 0.9f;
    for (int g = 0; g < GROUPS; g++)
        for (int i = 0; i < ANSWERS; i++)
            check_answer(&c, &w.groups[g], &w.groups[g].answers[i]);
    case_close(&c);
}

/* The answers of this rollout are those of groups. */
static void check_same(const fv_group *groups)
{
    for (int g = 0; g < GROUPS; g++)
        for (int i = 0; i < ANSWERS; i++) {
            const fv_answer *a = &groups[g].answers[i], *b = &w.groups[g].answers[i];
            assert_int_equal(a->ids.n, b->ids.n);
            assert_memory_equal(a->ids.ids, b->ids.ids, a->ids.n * sizeof *a->ids.ids);
            assert_memory_equal(a->logprobs, b->logprobs, a->ids.n * sizeof *a->logprobs);
            assert_memory_equal(a->is_drawn, b->is_drawn, a->ids.n);
        }
}

static void check_batchings(int is_scripted)
{
    /* running, tokens a pass, pages: all at once; a group at a time in small passes; too few pages for all */
    static const int ways[][3] = {{12, 2048, 200}, {4, 8, 200}, {4, 64, 14}, {12, 40, 16}};
    fv_group first[GROUPS];
    fv_rollout_stats stats;
    int64_t n_evictions = 0;
    w.is_scripted = is_scripted;
    for (int i = 0; i < 4; i++) {
        assert_ok(roll(settings_of(ways[i][0], ways[i][1], ways[i][2]), &stats));
        assert_int_equal(w.n_done, GROUPS);
        assert_int_equal(stats.n_groups, GROUPS);
        n_evictions += stats.n_evictions;
        if (i == 0) {
            check_all();
            memcpy(first, w.groups, sizeof first);
            w.n_given = 0;
            continue;
        }
        check_same(first);
        forget();
    }
    assert_true(n_evictions > 0);
    for (int g = 0; g < GROUPS; g++)
        fv_group_fini(&first[g]);
}

static void test_drawn_answers(void **state)
{
    (void)state;
    check_batchings(0);
}

static void test_dialogues(void **state)
{
    (void)state;
    check_batchings(1);
    assert_ok(roll(settings_of(12, 2048, 200), NULL));
    const fv_answer *a = w.groups[0].answers;
    assert_true(a[0].n_rounds == 1 && a[0].n_shown == 0);
    assert_true(a[1].n_rounds == 2 && a[1].n_shown == 1);
    assert_true(a[2].n_rounds == 3 && a[2].n_shown == 1);
    assert_true(a[3].n_rounds == 1 && a[3].rounds[0].is_cut && a[3].ids.n == MAX_TURN);
    assert_true(w.groups[2].answers[1].n_shown == 0); /* no image to show */
    forget();
}

/* An excluded token is never drawn, however likely; a step or a seed gives other draws. */
static void test_draws(void **state)
{
    (void)state;
    fv_rollout_settings settings = settings_of(12, 2048, 200);
    int32_t allowed[320], n = 0;
    w.is_scripted = 0;
    for (int32_t id = 0; id < 320; id++)
        if (id != 'a' && id != 'b')
            allowed[n++] = id;
    settings.excluded = allowed;
    settings.n_excluded = n;
    assert_ok(roll(settings, NULL));
    for (int g = 0; g < GROUPS; g++)
        for (int i = 0; i < ANSWERS; i++)
            for (size_t t = 0; t < w.groups[g].answers[i].ids.n; t++)
                assert_in_range(w.groups[g].answers[i].ids.ids[t], 'a', 'b');
    fv_group before[GROUPS];
    memcpy(before, w.groups, sizeof before);
    settings.step++;
    assert_ok(roll(settings, NULL));
    assert_memory_not_equal(before[0].answers[0].ids.ids, w.groups[0].answers[0].ids.ids,
                            MAX_TURN * sizeof(int32_t));
    assert_memory_not_equal(before[0].answers[0].ids.ids, before[0].answers[1].ids.ids,
                            MAX_TURN * sizeof(int32_t));
    forget();
    for (int g = 0; g < GROUPS; g++)
        fv_group_fini(&before[g]);
}

static void test_refusals(void **state)
{
    (void)state;
    w.is_scripted = 0;
    assert_fails(roll(settings_of(12, 20, 200), NULL), FV_ERR_ARGUMENT, "pass_tokens is 20");
    assert_fails(roll(settings_of(3, 64, 200), NULL), FV_ERR_ARGUMENT, "row 100: 4 answers at once");
    forget();
    assert_fails(roll(settings_of(12, 64, 11), NULL), FV_ERR_ARGUMENT, "raise cache_pages");
    forget();
    fv_rollout_settings settings = settings_of(12, 64, 100);
    settings.dialogue.max_tokens = 20;
    assert_fails(roll(settings, NULL), FV_ERR_ARGUMENT, "row 100: a prompt of");
    forget();
    settings = settings_of(12, 64, 100);
    settings.top_p = 2;
    assert_fails(roll(settings, NULL), FV_ERR_ARGUMENT, "top_p is 2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drawn_answers),
        cmocka_unit_test(test_dialogues),
        cmocka_unit_test(test_draws),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
