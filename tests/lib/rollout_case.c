#include "rollout_case.h"

#include "chain_model.h"

#include <stdlib.h>

/* What the talker says after the alphabet: an answer, a call, a call of no sense, or thoughts without an end.
 */
enum { CALL = 300, NAME, ARGUMENTS, END_OF_CALL, NO_SENSE, OPEN, SEVEN, CLOSE, THINKING };
static const fv_added_token tokens[] = {{"<|endoftext|>", 256},
                                        {"<|im_start|>", 257},
                                        {"<|im_end|>", IM_END},
                                        {"<|vision_start|>", 265},
                                        {"<|vision_end|>", 266},
                                        {"<|image_pad|>", 268},
                                        {"<tool_call>{\"name\": ", CALL},
                                        {"\"resize_image\", ", NAME},
                                        {"\"arguments\": {\"action\": \"resize\"}}", ARGUMENTS},
                                        {"</tool_call>", END_OF_CALL},
                                        {"<tool_call>what", NO_SENSE},
                                        {"<answer>", OPEN},
                                        {" 7 ", SEVEN},
                                        {"</answer>", CLOSE},
                                        {"thinking ", THINKING}};
static const chain_link ways[] = {{'Z', CALL},
                                  {'Z', NO_SENSE},
                                  {'Z', OPEN},
                                  {'Z', THINKING},
                                  {CALL, NAME},
                                  {NAME, ARGUMENTS},
                                  {ARGUMENTS, END_OF_CALL},
                                  {NO_SENSE, END_OF_CALL},
                                  {END_OF_CALL, IM_END},
                                  {OPEN, SEVEN},
                                  {SEVEN, CLOSE},
                                  {CLOSE, IM_END},
                                  {THINKING, THINKING}};
enum { N_TOKENS = sizeof tokens / sizeof *tokens, N_WAYS = sizeof ways / sizeof *ways, N_LETTERS = 26 };

const int32_t rollout_excluded[5] = {265, 266, 267, 268, 269};

rollout_case rollout = {.passes_left = -1};

static void write_talker(void)
{
    chain_link links[N_LETTERS + N_WAYS] = {{'\n', 'A'}};
    for (int32_t i = 1; i < N_LETTERS; i++)
        links[i] = (chain_link){'A' + i - 1, 'A' + i};
    memcpy(links + N_LETTERS, ways, sizeof ways);
    chain_write("talker", "tiny-vl", links, N_LETTERS + N_WAYS);
}

int rollout_setup(void **state)
{
    if (case_setup(state) != 0)
        return -1;
    temp_write("p.yaml", "system: Look.\nuser: '{image} {question}'\ntool_result: 'Here: {image}'\n"
                         "tool_error: 'No: {error}'\n");
    write_talker();
    if (fv_tokenizer_write_bytes(temp_folder("t"), tokens, N_TOKENS) ||
        fv_tokenizer_load(temp_path("t"), &rollout.tokenizer) ||
        fv_chat_init(&rollout.chat, rollout.tokenizer) ||
        fv_prompts_load(temp_path("p.yaml"), &rollout.prompts) ||
        fv_backend_cpu_create(NULL, 2, &rollout.backend))
        return -1;
    rollout_use("tiny-vl");
    return 0;
}

void rollout_use(const char *folder)
{
    fv_model_destroy(rollout.model);
    rollout.folder = folder;
    assert_ok(fv_model_open(&(fv_model_args){.backend = rollout.backend,
                                             .tensor = case_self,
                                             .folder = temp_path(folder),
                                             .precision = case_precision},
                            &rollout.model));
}

int rollout_teardown(void **state)
{
    fv_model_destroy(rollout.model);
    fv_backend_destroy(rollout.backend);
    fv_prompts_destroy(rollout.prompts);
    fv_tokenizer_destroy(rollout.tokenizer);
    rollout = (rollout_case){.passes_left = -1};
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
    group->low = (fv_grid){1, 4, 6};
    group->high = (fv_grid){1, 8, 12};
    fv_text_part text = {question + 10 * rollout.n_given, strlen(question + 10 * rollout.n_given),
                         FV_TOKENIZE_PLAIN};
    FV_TRY(fv_prompts_start(rollout.prompts, &rollout.chat, text, group->has_image ? 6 : 0, &group->prompt));
    rollout.n_given++;
    *out = group;
    return rollout.has_greedy ? fv_group_add_greedy(group) : FV_OK;
}

fv_err rollout_view(void *context, const fv_group *group, int is_high, fv_picture **view)
{
    (void)context;
    *view = case_picture(is_high ? group->high : group->low, (uint64_t)(2 * group->row + is_high));
    return FV_OK;
}

static fv_err done(void *context, fv_group *group)
{
    (void)context;
    for (int i = 0; i < fv_group_size(group); i++)
        assert_int_equal(group->responses[i].is_done, 1);
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

rollout_plan rollout_settings(int max_running, int pass_tokens, int cache_pages)
{
    rollout_plan plan = {.rollout = {.dialogue = {.prompts = rollout.prompts,
                                                  .chat = &rollout.chat,
                                                  .merge = 2,
                                                  .max_turns = 3,
                                                  .max_images = 2,
                                                  .max_turn_tokens = MAX_TURN,
                                                  .max_tokens = 700},
                                     .temperature = 0.9f,
                                     .top_p = 1,
                                     .seed = 22},
                         .engine = {.name = "rollout",
                                    .max_running = max_running,
                                    .max_tokens = 700,
                                    .pass_tokens = pass_tokens,
                                    .cache_pages = cache_pages,
                                    .excluded = rollout_excluded,
                                    .n_excluded = 5},
                         .step = 4};
    fv_rollout_show(&plan.engine, (fv_grid){1, 8, 12}, 2);
    return plan;
}

fv_err rollout_through(fv_engine *engine, const rollout_plan *plan, fv_rollout_stats *stats)
{
    const fv_rollout_source source = {NULL, next, rollout_view, done, passed};
    rollout.n_given = rollout.n_done = 0;
    return fv_rollout_run(engine, &plan->rollout, plan->step, &source, stats);
}

fv_err rollout_run(rollout_plan plan, fv_rollout_stats *stats)
{
    fv_engine *engine;
    rollout.n_given = rollout.n_done = 0;
    FV_TRY(fv_engine_create(rollout.model, &plan.engine, &engine));
    fv_err err = rollout_through(engine, &plan, stats);
    fv_engine_destroy(engine);
    return err;
}

void rollout_forget(void)
{
    for (int g = 0; g < rollout.n_given; g++)
        fv_group_fini(&rollout.groups[g]);
    rollout.n_given = 0;
}
