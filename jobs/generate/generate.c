/* fovea generate: a question, with images, answered by a model. */
#include "jobs/generate/answer.h"
#include "jobs/generate/options.h"
#include "jobs/generate/policy.h"
#include "jobs/jobs.h"

#include "fovea/model/tokenizer/chat.h"
#include "fovea/base/file.h"
#include "fovea/base/point.h"
#include "fovea/base/process/stop.h"
#include "fovea/engine/generate.h"
#include "fovea/model/image/processor.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT = 1 << 24, PREFILL_CHUNK = 512, DEFAULT_TOKENS = 512 };

typedef struct generate {
    const fv_generate_options *options;
    fv_runtime runtime;
    fv_generation_defaults defaults;
    fv_tokenizer *tokenizer;
    fv_chat chat;
    fv_buffer question;
    fv_grid *grids;        /* (n_images) */
    fv_picture **pictures; /* (n_images) */
    fv_tokens prompt;
    int64_t visual_tokens;
    fv_generate_policy policy; /* with a wording, in place of grids and pictures */
    fv_generate_answer answer;
} generate;

/* Images. */

/* The size of the patches' image. */
typedef struct cutting {
    const fv_processor *processor;
    const char *path; /* of the image, for messages */
    fv_grid *grid;    /* set */
} cutting;

static fv_err size_of_grid(const void *context, int *width, int *height)
{
    const cutting *c = context;
    fv_err err = fv_processor_grid(c->processor, *width, *height, c->grid);
    if (err != FV_OK)
        return fv_error_prefix(err, "%s", c->path);
    *width = c->grid->w * c->processor->patch;
    *height = c->grid->h * c->processor->patch;
    return FV_OK;
}

static fv_err read_image(const generate *g, const fv_processor *processor, int i, fv_image *out)
{
    fv_file_map map;
    const char *path = g->options->images[i];
    const cutting to = {processor, path, &g->grids[i]};
    const fv_image_fit fit = {.context = &to, .size = size_of_grid, .filter = processor->resample};
    FV_TRY(fv_file_open_map(path, &map));
    const fv_image_file file = {.data = map.data,
                                .size = map.size,
                                .name = path,
                                .max_pixels = FV_IMAGE_MAX_PIXELS,
                                .alpha = g->options->views.transparency};
    fv_err err = fv_image_read(&file, &fit, out);
    fv_file_close_map(&map);
    return err;
}

static fv_err process_image(generate *g, const fv_processor *processor, int i)
{
    fv_image image;
    FV_TRY(read_image(g, processor, i, &image));
    return fv_processor_picture(processor, &image, &g->pictures[i]);
}

static fv_err process_images(generate *g)
{
    fv_processor processor;
    int n = g->options->n_images;
    if (n == 0)
        return FV_OK;
    FV_TRY(fv_runtime_load_processor(&g->runtime, g->options->runtime.model, &g->chat, &processor));
    g->grids = calloc((size_t)n, sizeof *g->grids);
    g->pictures = calloc((size_t)n, sizeof *g->pictures);
    FV_CHECK(g->grids && g->pictures, FV_ERR_MEMORY, "cannot allocate a list of %d images", n);
    for (int i = 0; i < n; i++) {
        FV_TRY(process_image(g, &processor, i));
        g->visual_tokens += fv_grid_tokens(g->grids[i], processor.merge);
    }
    return FV_OK;
}

/* The prompt. */

static fv_err read_question(generate *g)
{
    const char *prompt = g->options->prompt;
    if (strcmp(prompt, "-") == 0)
        FV_TRY(fv_buffer_read(&g->question, stdin, "standard input", MAX_TEXT));
    else
        FV_TRY(fv_buffer_append(&g->question, prompt, strlen(prompt)));
    FV_CHECK(g->question.size || g->options->n_images, FV_ERR_ARGUMENT, "the prompt is empty; ask something");
    return FV_OK;
}

/* Rank 0 alone has a standard input. */
static fv_err share_question(generate *g)
{
    fv_comm *world = g->runtime.world;
    FV_TRY(fv_comm_agree(world, world->rank == 0 ? read_question(g) : FV_OK));
    uint64_t size = g->question.size;
    FV_TRY(fv_comm_broadcast(world, &size, sizeof size, 0));
    FV_TRY(fv_comm_agree(world, fv_buffer_reserve(&g->question, size)));
    g->question.size = size;
    return fv_comm_broadcast(world, g->question.data, size, 0);
}

static int64_t tokens_of_image(const generate *g, int i)
{
    return fv_grid_tokens(g->grids[i], fv_model_shape_of(g->runtime.model)->vision.merge);
}

/* Every <|image_pad|> of a text as many times as its image has tokens. */
static fv_err expand_images(generate *g, const fv_tokens *text)
{
    int n_images = 0;
    for (size_t i = 0; i < text->n; i++) {
        int64_t n = 1;
        int is_image = text->ids[i] == g->chat.image_pad;
        FV_CHECK(!is_image || n_images < g->options->n_images, FV_ERR_ARGUMENT,
                 "the prompt has more <|image_pad|> than the %d images given", g->options->n_images);
        if (is_image)
            n = tokens_of_image(g, n_images++);
        for (; n > 0; n--)
            FV_TRY(fv_tokens_push(&g->prompt, text->ids[i]));
    }
    FV_CHECK(n_images == g->options->n_images, FV_ERR_ARGUMENT,
             "%d images were given, but the prompt has %d <|image_pad|> to show them", g->options->n_images,
             n_images);
    return FV_OK;
}

static fv_err encode_raw(generate *g)
{
    fv_tokens text = {0};
    fv_err err =
        fv_tokenizer_encode(g->tokenizer, g->question.data, g->question.size, FV_TOKENIZE_MARKUP, &text);
    if (err == FV_OK)
        err = expand_images(g, &text);
    fv_tokens_fini(&text);
    return err;
}

/* Images come first, as the reference's examples have them. */
static fv_err encode_prompt(generate *g)
{
    size_t n_images = (size_t)g->options->n_images, n_messages = 0;
    fv_chat_message messages[2];
    fv_chat_part system, *parts = malloc((n_images + 1) * sizeof *parts);
    FV_CHECK(parts, FV_ERR_MEMORY, "cannot allocate a prompt of %zu images", n_images);
    for (size_t i = 0; i < n_images; i++)
        parts[i] = (fv_chat_part){.n_image_tokens = tokens_of_image(g, (int)i)};
    parts[n_images] = (fv_chat_part){.text = {g->question.data, g->question.size, FV_TOKENIZE_PLAIN}};
    if (g->options->system) {
        system = fv_chat_text(g->options->system, FV_TOKENIZE_PLAIN);
        messages[n_messages++] = (fv_chat_message){FV_CHAT_SYSTEM, &system, 1};
    }
    messages[n_messages++] = (fv_chat_message){FV_CHAT_USER, parts, n_images + 1};
    fv_err err = fv_chat_encode(&g->chat, messages, n_messages, FV_CHAT_OPENING | FV_CHAT_ANSWER, &g->prompt);
    free(parts);
    return err;
}

static fv_err prepare_policy(generate *g)
{
    FV_TRY(fv_generate_policy_prepare(&g->policy, &g->runtime, g->options, &g->chat, &g->question));
    const fv_tokens *prompt = &g->policy.group.prompt;
    FV_TRY(fv_tokens_reserve(&g->prompt, prompt->n));
    memcpy(g->prompt.ids, prompt->ids, prompt->n * sizeof *prompt->ids);
    g->prompt.n = prompt->n;
    return FV_OK;
}

static fv_err prepare(generate *g)
{
    const char *model = g->options->runtime.model;
    fv_model_shape shape;
    FV_TRY(fv_model_shape_load(model, &shape, &g->defaults));
    fv_generation_warn(&g->defaults, model);
    FV_TRY(fv_tokenizer_load(model, &g->tokenizer));
    FV_TRY(fv_chat_init(&g->chat, g->tokenizer));
    if (g->options->prompts)
        return prepare_policy(g);
    FV_TRY(process_images(g));
    if (g->options->is_raw)
        return encode_raw(g);
    FV_TRY(fv_chat_load_template(&g->chat, model));
    return encode_prompt(g);
}

/* The answer. */

static fv_err print_end(generate *g, fv_finish finish)
{
    fv_generate_answer *a = &g->answer;
    a->is_stopped = finish == FV_FINISH_STOP;
    a->prompt_tokens = (int64_t)g->prompt.n;
    a->visual_tokens = g->visual_tokens;
    a->calls = g->options->prompts ? g->policy.group.responses[0].n_shown : -1;
    return fv_generate_answer_end(a, g->options->json && g->runtime.world->rank == 0);
}

/* What the command line leaves open is the folder's choice. */
static fv_sampling sampling_of(const generate *g)
{
    const fv_generate_options *o = g->options;
    const fv_generation_defaults *d = &g->defaults;
    double temperature = d->do_sample ? d->temperature : 0;
    return (fv_sampling){.temperature = (float)(o->temperature >= 0 ? o->temperature : temperature),
                         .top_k = o->top_k >= 0 ? (int)o->top_k : d->top_k,
                         .top_p = (float)(o->top_p >= 0 ? o->top_p : d->top_p),
                         .repetition_penalty = (float)(o->repetition_penalty >= 0 ? o->repetition_penalty
                                                                                  : d->repetition_penalty),
                         .key.seed = (uint64_t)o->seed};
}

/* An answer of unstated length ends where the model's positions do. */
static int max_tokens_of(const generate *g)
{
    int64_t left = fv_model_shape_of(g->runtime.model)->text.max_positions - (int64_t)g->prompt.n;
    int usual = g->defaults.max_new_tokens ? g->defaults.max_new_tokens : DEFAULT_TOKENS;
    if (g->options->max_tokens)
        return g->options->max_tokens;
    return left < 1 ? 1 : left < usual ? (int)left : usual;
}

/* Ranks with folders or command lines of their own would wait for each other without end. */
static fv_err check_same(generate *g)
{
    const fv_model_shape *shape = fv_model_shape_of(g->runtime.model);
    int64_t sum = 0;
    for (size_t i = 0; i < g->prompt.n; i++)
        sum = (sum * 31 + g->prompt.ids[i]) % INT32_MAX;
    int64_t mine[] = {(int64_t)g->prompt.n, sum,
                      max_tokens_of(g),     shape->text.vocab,
                      shape->text.hidden,   shape->text.n_layers,
                      shape->vision.depth,  g->options->seed};
    int64_t first[sizeof mine / sizeof mine[0]];
    memcpy(first, mine, sizeof mine);
    FV_TRY(fv_comm_broadcast(g->runtime.world, first, sizeof first, 0));
    FV_CHECK(memcmp(first, mine, sizeof mine) == 0, FV_ERR_ARGUMENT,
             "%s: this rank has another model, prompt or option than rank 0", g->options->runtime.model);
    return FV_OK;
}

/* What one rank hears of an interrupt reaches all, so that none waits for another. */
static fv_err receive(void *context, int32_t id, float logprob)
{
    generate *g = context;
    FV_TRY(fv_generate_answer_receive(&g->answer, id, logprob));
    FV_TRY(fv_comm_agree(g->runtime.world, fv_point("token")));
    double is_stopped = fv_stop_requested();
    FV_TRY(fv_comm_all_reduce_max(g->runtime.world, &is_stopped));
    return is_stopped > 0 ? FV_FAIL(FV_STOPPED, "interrupted after %zu tokens", g->answer.ids.n) : FV_OK;
}

static fv_err next_turn(void *context)
{
    return fv_generate_answer_turn(&((generate *)context)->answer);
}

static fv_err answer_plainly(generate *g, int max_tokens, fv_finish *finish)
{
    return fv_generate(g->runtime.model,
                       &(fv_generate_args){.prompt = {.ids = g->prompt.ids,
                                                      .n = (int64_t)g->prompt.n,
                                                      .grids = g->grids,
                                                      .n_images = g->options->n_images,
                                                      .pictures = g->pictures},
                                           .sampling = sampling_of(g),
                                           .max_tokens = max_tokens,
                                           .chunk = PREFILL_CHUNK,
                                           .sink = receive,
                                           .context = g},
                       finish);
}

static fv_err answer_as_policy(generate *g, int max_turn_tokens, fv_finish *finish)
{
    const fv_sampling sampling = sampling_of(g);
    g->policy.sink = receive;
    g->policy.turn = next_turn;
    g->policy.context = g;
    FV_TRY(fv_generate_policy_run(&g->policy, &sampling, max_turn_tokens, finish));
    g->visual_tokens = fv_generate_policy_visual_tokens(&g->policy);
    return FV_OK;
}

static fv_err run(generate *g)
{
    fv_finish finish;
    FV_TRY(fv_runtime_open(&g->runtime, &g->options->runtime));
    FV_TRY(share_question(g));
    FV_TRY(fv_comm_agree(g->runtime.world, prepare(g)));
    FV_TRY(fv_comm_agree(g->runtime.world, check_same(g)));
    int max_tokens = max_tokens_of(g),
        n_turns = g->options->prompts ? fv_generate_policy_turns(&g->policy) : 1;
    FV_TRY(fv_generate_answer_init(&g->answer, g->tokenizer, (size_t)max_tokens * (size_t)n_turns,
                                   !g->options->json && g->runtime.world->rank == 0));
    fv_err err = g->options->prompts ? answer_as_policy(g, max_tokens, &finish)
                                     : answer_plainly(g, max_tokens, &finish);
    if (err == FV_STOPPED && g->answer.is_streamed)
        putchar('\n');
    return err == FV_OK ? print_end(g, finish) : err;
}

static int finish(generate *g, fv_err err)
{
    fv_generate_policy_fini(&g->policy);
    fv_tokenizer_destroy(g->tokenizer);
    fv_buffer_fini(&g->question);
    fv_generate_answer_fini(&g->answer);
    fv_tokens_fini(&g->prompt);
    for (int i = 0; g->pictures && i < g->options->n_images; i++)
        fv_picture_release(g->pictures[i]);
    free(g->grids);
    free(g->pictures);
    return fv_runtime_finish(&g->runtime, err);
}

int fv_job_generate(int argc, char **argv)
{
    fv_generate_options options;
    fv_generate_options_parse(argc, argv, &options);
    generate g = {.options = &options, .runtime.ends_by_interrupt = 1};
    fv_err err = fv_stop_on_interrupt();
    int status = finish(&g, err == FV_OK ? run(&g) : err);
    free(options.images);
    return status;
}
