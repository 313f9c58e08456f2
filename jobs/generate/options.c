#include "jobs/generate/options.h"

#include "jobs/jobs.h"
#include "jobs/option.h"
#include "jobs/terminal.h"
#include "jobs/views_options.h"

#include <stdlib.h>

enum {
    KEY_IMAGE = 'i',
    KEY_PROMPT = 'p',
    KEY_SYSTEM = 0x101,
    KEY_RAW,
    KEY_PROMPTS,
    KEY_MAX_TOKENS,
    KEY_TEMPERATURE,
    KEY_TOP_K,
    KEY_TOP_P,
    KEY_PENALTY,
    KEY_SEED,
    KEY_JSON
};

static const struct argp_option option_list[] = {
    {"prompt", KEY_PROMPT, "TEXT", 0, "the question; - reads it from standard input (required)", 0},
    {"image", KEY_IMAGE, "FILE", 0,
     "a JPEG, PNG, WebP, GIF, BMP or TIFF image, shown before the question; may be repeated", 0},
    {"system", KEY_SYSTEM, "TEXT", 0, "the system message (that of the folder's chat template)", 0},
    {"raw", KEY_RAW, NULL, 0,
     "the prompt is the whole text, markup included, and no chat template is used; each <|image_pad|> in it "
     "is an "
     "image",
     0},
    {"prompts", KEY_PROMPTS, "FILE", 0,
     "ask as a policy is asked in training, with the wording of this file: the image at half size and then "
     "the tool, "
     "or at full size if the wording has none",
     0},
    {"max-tokens", KEY_MAX_TOKENS, "N", 0,
     "longest answer (max_new_tokens of generation_config.json, or 512, or what the model has room for)", 0},
    {"temperature", KEY_TEMPERATURE, "X", 0,
     "0 takes the likeliest token (this and the next three: as generation_config.json says)", 0},
    {"top-k", KEY_TOP_K, "N", 0, "draw from the N likeliest tokens; 0: all", 0},
    {"top-p", KEY_TOP_P, "X", 0, "draw from the likeliest tokens that sum to X", 0},
    {"repetition-penalty", KEY_PENALTY, "X", 0, "make tokens that were there before less likely; 1: do not",
     0},
    {"seed", KEY_SEED, "N", 0, "of the draws (0)", 0},
    {"json", KEY_JSON, NULL, 0,
     "print one line of JSON: text, ids, logprobs, finish, prompt_tokens, visual_tokens, and with --prompts "
     "calls",
     0},
    {0}};

static error_t add_image(fv_generate_options *out, const char *path, struct argp_state *state)
{
    const char **grown = realloc(out->images, (size_t)(out->n_images + 1) * sizeof *grown);
    if (!grown)
        argp_failure(state, FV_EXIT_FAILED, 0, "cannot allocate a list of %d images", out->n_images + 1);
    out->images = grown;
    out->images[out->n_images++] = path;
    return 0;
}

#define AT(member) offsetof(fv_generate_options, member)
static const fv_option table[] = {
    {KEY_PROMPT, FV_OPTION_TEXT, AT(prompt)},
    {KEY_SYSTEM, FV_OPTION_TEXT, AT(system)},
    {KEY_RAW, FV_OPTION_FLAG, AT(is_raw)},
    {KEY_PROMPTS, FV_OPTION_PATH, AT(prompts)},
    {KEY_MAX_TOKENS, FV_OPTION_INT, AT(max_tokens), .low = 1, .high = 1 << 24},
    {KEY_TEMPERATURE, FV_OPTION_REAL, AT(temperature), .most = 1e6},
    {KEY_TOP_K, FV_OPTION_LONG, AT(top_k), .high = INT32_MAX},
    {KEY_TOP_P, FV_OPTION_REAL, AT(top_p), .least = 1e-6, .most = 1},
    {KEY_PENALTY, FV_OPTION_REAL, AT(repetition_penalty), .least = 1e-3, .most = 1e3},
    {KEY_SEED, FV_OPTION_LONG, AT(seed), .high = INT64_MAX},
    {KEY_JSON, FV_OPTION_FLAG, AT(json)},
    {0}};

static void check(struct argp_state *state, const fv_generate_options *o)
{
    if (!o->prompt)
        argp_error(state, "--prompt TEXT is required");
    if (o->is_raw && o->system)
        argp_error(state, "--raw takes the prompt as it is: write the system message into it");
    if (o->prompts && (o->is_raw || o->system))
        argp_error(state, "--prompts is the whole wording: it goes with neither --raw nor --system");
    if (o->prompts && o->n_images > 1)
        argp_error(state, "--prompts shows one image, %d were given", o->n_images);
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    fv_generate_options *out = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &out->runtime;
        state->child_inputs[1] = &out->views;
        return 0;
    case KEY_IMAGE:
        return add_image(out, fv_parse_path(state, "--image", argument), state);
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument \"%s\"; the question goes after --prompt", argument);
        return 0;
    case ARGP_KEY_END:
        check(state, out);
        return 0;
    default:
        return fv_option_set(table, option_list, key, argument, state, out);
    }
}

void fv_generate_options_parse(int argc, char **argv, fv_generate_options *out)
{
    const struct argp_child children[] = {{&fv_runtime_argp, 0, NULL, 0}, {&fv_views_argp, 0, NULL, 0}, {0}};
    const struct argp argp = {.options = option_list,
                              .parser = parse,
                              .children = children,
                              .doc = "Let a model answer a question, about images if there are any. The text "
                                     "is written as it comes."};
    *out = (fv_generate_options){.temperature = -1, .top_p = -1, .repetition_penalty = -1, .top_k = -1};
    fv_terminal_parse(&argp, argc, argv, out);
    fv_views_complete(&out->views);
}
