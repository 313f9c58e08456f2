#include "jobs/generate/policy.h"

#include "fovea/base/file.h"
#include "fovea/model/nn/pages.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_TURNS = 2,
    MAX_IMAGES = 2,
    PASS_TOKENS = 1024,
    WORDING = 1024 /* tokens of a tool's turn, at most */
};

/* The row that is asked. */

static fv_err read_image(const char *path, const fv_view_settings *views, fv_row_image *out)
{
    fv_file_map map;
    FV_TRY(fv_file_open_map(path, &map));
    const fv_image_file file = {.data = map.data,
                                .size = map.size,
                                .name = path,
                                .max_pixels = FV_IMAGE_MAX_PIXELS,
                                .alpha = views->transparency};
    fv_err err = fv_image_check(&file, &out->width, &out->height);
    if (err == FV_OK)
        err = fv_buffer_append(&out->file, map.data, map.size);
    fv_file_close_map(&map);
    return err;
}

static fv_err make_row(const fv_generate_options *options, const fv_buffer *question, fv_row *row)
{
    row->question = strndup(question->size ? question->data : "", question->size);
    FV_CHECK(row->question, FV_ERR_MEMORY, "no memory for a question");
    if (options->n_images == 0)
        return FV_OK;
    row->images = calloc(1, sizeof *row->images);
    FV_CHECK(row->images, FV_ERR_MEMORY, "no memory for an image");
    row->n_images = 1;
    return read_image(options->images[0], &options->views, &row->images[0]);
}

fv_err fv_generate_policy_prepare(fv_generate_policy *p, const fv_runtime *runtime,
                                  const fv_generate_options *options, const fv_chat *chat,
                                  const fv_buffer *question)
{
    p->runtime = runtime;
    if (options->n_images)
        FV_TRY(fv_runtime_load_processor(runtime, options->runtime.model, chat, &p->processor));
    FV_TRY(fv_prompts_load(options->prompts, &p->prompts));
    FV_TRY(make_row(options, question, &p->row));
    p->builder = (fv_prompt_builder){.processor = &p->processor,
                                     .prompts = p->prompts,
                                     .chat = chat,
                                     .views = options->views,
                                     .first = fv_prompts_has_tool(p->prompts) ? FV_FIRST_LOW : FV_FIRST_HIGH};
    FV_TRY(fv_group_init(&p->group, 0, 0, 1));
    return fv_prompt_builder_prompt(&p->builder, &p->row, &p->group);
}

void fv_generate_policy_fini(fv_generate_policy *p)
{
    fv_group_fini(&p->group);
    fv_row_fini(&p->row);
    fv_prompts_destroy(p->prompts);
}

int fv_generate_policy_turns(const fv_generate_policy *p)
{
    return fv_prompts_has_tool(p->prompts) ? MAX_TURNS : 1;
}

static int64_t tokens_of(const fv_generate_policy *p, fv_grid grid)
{
    return p->group.has_image ? fv_grid_tokens(grid, p->processor.merge) : 0;
}

int64_t fv_generate_policy_visual_tokens(const fv_generate_policy *p)
{
    return tokens_of(p, p->group.low) + p->group.responses[0].n_shown * tokens_of(p, p->group.high);
}

/* The rollout of one sample. */

static fv_err next(void *context, fv_group **group)
{
    fv_generate_policy *p = context;
    *group = p->is_given ? NULL : &p->group;
    p->is_given = 1;
    return FV_OK;
}

static fv_err view_of(void *context, const fv_group *group, int is_high, fv_picture **view)
{
    const fv_generate_policy *p = context;
    return fv_prompt_builder_look(&p->builder, &p->row, group, is_high, view);
}

static fv_err done(void *context, fv_group *group)
{
    (void)context, (void)group;
    return FV_OK;
}

/* What was generated since the last pass. What the tool says is not generated. */
static fv_err passed(void *context, const fv_rollout_stats *stats, int *is_over)
{
    fv_generate_policy *p = context;
    const fv_response *response = &p->group.responses[0];
    (void)stats, (void)is_over;
    for (; p->n_told < response->ids.n; p->n_told++) {
        size_t i = p->n_told;
        if (response->loss_mask[i])
            FV_TRY(p->sink(p->context, response->ids.ids[i], response->logprobs[i]));
        else if (i > 0 && response->loss_mask[i - 1])
            FV_TRY(p->turn(p->context));
    }
    return FV_OK;
}

static void set_rollout(fv_generate_policy *p, const fv_sampling *sampling, int max_turn_tokens)
{
    int n_turns = fv_generate_policy_turns(p);
    int64_t positions = fv_model_shape_of(p->runtime->model)->text.max_positions;
    int64_t longest = (int64_t)p->group.prompt.n + n_turns * ((int64_t)max_turn_tokens + WORDING) +
                      tokens_of(p, p->group.high);
    longest = longest < positions ? longest : positions;
    p->rollout = (fv_rollout_settings){.dialogue = {.prompts = p->prompts,
                                                    .chat = p->builder.chat,
                                                    .merge = p->processor.merge,
                                                    .max_turns = n_turns,
                                                    .max_images = MAX_IMAGES,
                                                    .max_turn_tokens = max_turn_tokens,
                                                    .max_tokens = longest},
                                       .temperature = sampling->temperature,
                                       .top_k = sampling->top_k,
                                       .top_p = sampling->top_p,
                                       .repetition_penalty = sampling->repetition_penalty,
                                       .seed = sampling->key.seed};
}

static fv_err open_engine(fv_generate_policy *p, fv_engine **out)
{
    int64_t longest = p->rollout.dialogue.max_tokens;
    fv_engine_settings settings = {.name = "generation",
                                   .max_running = 1,
                                   .max_tokens = longest,
                                   .pass_tokens = PASS_TOKENS,
                                   .cache_pages = fv_pages_for(longest) + 1,
                                   .has_filters = p->rollout.top_k > 0 || p->rollout.top_p < 1 ||
                                                  p->rollout.repetition_penalty != 1,
                                   .excluded = p->excluded,
                                   .n_excluded = fv_chat_vision_ids(p->builder.chat, p->excluded)};
    fv_rollout_show(&settings, p->group.high, p->processor.merge);
    return fv_engine_create(p->runtime->model, &settings, out);
}

fv_err fv_generate_policy_run(fv_generate_policy *p, const fv_sampling *sampling, int max_turn_tokens,
                              fv_finish *finish)
{
    const fv_rollout_source source = {p, next, view_of, done, passed};
    set_rollout(p, sampling, max_turn_tokens);
    fv_engine *engine;
    FV_TRY(open_engine(p, &engine));
    fv_err err = fv_rollout_run(engine, &p->rollout, 0, &source, NULL);
    fv_engine_destroy(engine);
    FV_TRY(err);
    const fv_response *response = &p->group.responses[0];
    *finish = response->turns[response->n_turns - 1].is_cut ? FV_FINISH_LENGTH : FV_FINISH_STOP;
    return FV_OK;
}
