#include "rollout_case.h"

#include <stdlib.h>

#define GOOD_CALL \
    "<tool_call>{\"name\": \"resize_image\", \"arguments\": {\"action\": \"resize\"}}</tool_call>\1"
#define ANSWER "<answer>7</answer>\1"

/* What answer i of a group says when it is told; \1 ends a turn. */
static const char *const scripts[ANSWERS] = {
    ANSWER, GOOD_CALL ANSWER, "<tool_call>what</tool_call>\1" GOOD_CALL ANSWER,
    "thinking and thinking without an end, until the limit of a turn "
    "is reached and nothing more is said"};
const int32_t rollout_excluded[5] = {265, 266, 267, 268, 269};

rollout_case rollout = {.passes_left = -1};
static fv_backend_table table;
static fv_err (*real_sample)(fv_backend *, const fv_sample_args *);

static fv_rng_key key_of(const fv_group *group, const fv_answer *answer)
{
    return (fv_rng_key){.seed = rollout.settings.seed,
                        .step = rollout.settings.step,
                        .sample = (uint32_t)answer->sample,
                        .prompt = (uint64_t)group->place};
}

/* The answer whose next draw uses this number. */
static const fv_answer *find_answer(float uniform)
{
    for (int g = 0; g < rollout.n_given; g++)
        for (int i = 0; i < ANSWERS; i++) {
            const fv_answer *a = &rollout.groups[g].answers[i];
            if (!a->is_done && fv_rng_uniform(key_of(&rollout.groups[g], a), (uint32_t)a->ids.n) == uniform)
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
    for (int64_t i = 0; rollout.is_scripted && i < args->ids.dim[0]; i++)
        ((int32_t *)args->ids.data)[i] = scripted_id(find_answer(((const float *)args->uniform.data)[i]));
    return FV_OK;
}

int rollout_setup(void **state)
{
    if (case_setup(state) != 0)
        return -1;
    temp_write("p.yaml", "system: Look.\nuser: '{image} {question}'\ntool_result: 'Here: {image}'\n"
                         "tool_error: 'No: {error}'\n");
    const fv_added_token special[] = {{"<|endoftext|>", 256},  {"<|im_start|>", 257},
                                      {"<|im_end|>", IM_END},  {"<|vision_start|>", 265},
                                      {"<|vision_end|>", 266}, {"<|image_pad|>", 268}};
    if (fv_tokenizer_write_bytes(temp_folder("t"), special, 6) ||
        fv_tokenizer_load(temp_path("t"), &rollout.tokenizer) ||
        fv_chat_init(&rollout.chat, rollout.tokenizer) ||
        fv_prompts_load(temp_path("p.yaml"), &rollout.prompts) ||
        fv_backend_cpu_create(NULL, 2, &rollout.backend))
        return -1;
    table = *rollout.backend->table;
    real_sample = table.sample;
    table.sample = sample;
    rollout.backend->table = &table;
    return fv_model_open(&(fv_model_args){rollout.backend, case_self, temp_path("tiny-vl")},
                         &rollout.model) != FV_OK;
}

int rollout_teardown(void **state)
{
    fv_model_destroy(rollout.model);
    fv_backend_destroy(rollout.backend);
    fv_prompts_destroy(rollout.prompts);
    fv_tokenizer_destroy(rollout.tokenizer);
    return case_teardown(state);
}

static fv_err next(void *context, fv_group **out)
{
    (void)context;
    *out = NULL;
    if (rollout.n_given == GROUPS)
        return FV_OK;
    fv_group *group = &rollout.groups[rollout.n_given];
    if (rollout.is_left) {
        rollout.n_given++;
        *out = group;
        return FV_OK;
    }
    const char *question =
        "How many bars are taller than the one in the middle of the picture, if there is one?";
    FV_TRY(fv_group_init(group, rollout.n_given, 100 + rollout.n_given, ANSWERS));
    group->has_image = rollout.n_given != 2;
    group->small = (fv_grid){1, 4, 6};
    group->large = (fv_grid){1, 8, 12};
    fv_text_part text = {question + 10 * rollout.n_given, strlen(question + 10 * rollout.n_given),
                         FV_TOKENIZE_PLAIN};
    FV_TRY(fv_prompts_start(rollout.prompts, &rollout.chat, text, group->has_image ? 6 : 0, &group->prompt));
    rollout.n_given++;
    *out = group;
    return rollout.has_greedy ? fv_group_add_greedy(group) : FV_OK;
}

fv_err rollout_view(void *context, const fv_group *group, int is_large, fv_view *view)
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
    for (int i = 0; i < fv_group_size(group); i++)
        assert_int_equal(group->answers[i].is_done, 1);
    rollout.n_done++;
    return FV_OK;
}

static fv_err passed(void *context, const fv_rollout_stats *stats, int *is_over)
{
    (void)context, (void)stats;
    *is_over = rollout.passes_left == 0;
    rollout.passes_left -= rollout.passes_left > 0;
    return FV_OK;
}

fv_rollout_settings rollout_settings(int max_running, int pass_tokens, int cache_pages)
{
    return (fv_rollout_settings){.dialogue = {.prompts = rollout.prompts,
                                              .chat = &rollout.chat,
                                              .merge = 2,
                                              .max_rounds = 3,
                                              .max_images = 2,
                                              .max_turn_tokens = MAX_TURN,
                                              .max_tokens = 700},
                                 .temperature = 0.9f,
                                 .top_p = 1,
                                 .seed = 21,
                                 .step = 4,
                                 .excluded = rollout_excluded,
                                 .n_excluded = 5,
                                 .max_running = max_running,
                                 .pass_tokens = pass_tokens,
                                 .cache_pages = cache_pages};
}

fv_err rollout_run(fv_rollout_settings settings, fv_rollout_stats *stats)
{
    const fv_rollout_source source = {NULL, next, rollout_view, done, passed};
    rollout.settings = settings;
    rollout.n_given = rollout.n_done = 0;
    return fv_rollout_run(rollout.model, &settings, &source, stats);
}

void rollout_forget(void)
{
    for (int g = 0; g < rollout.n_given; g++)
        fv_group_fini(&rollout.groups[g]);
    rollout.n_given = 0;
}
