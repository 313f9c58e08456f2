/* fovea init: a model folder with random weights, from a shape of configs/model/. */
#include "jobs/model/random_folder.h"
#include "jobs/jobs.h"
#include "jobs/option.h"
#include "jobs/terminal.h"

#include <limits.h>

typedef struct init_options {
    const char *shape, *out, *tokenizer;
    long seed;
    fv_dtype dtype;
    fv_folder_style style;
    int64_t shard_bytes;
    int is_noise;
} init_options;

enum { KEY_SHAPE = 256, KEY_OUT, KEY_SEED, KEY_DTYPE, KEY_TOKENIZER, KEY_SHARD, KEY_STYLE, KEY_NOISE };

static const struct argp_option options[] = {
    {"shape", KEY_SHAPE, "FILE", 0, "the shape, such as configs/model/tiny-vl.yaml (required)", 0},
    {"out", KEY_OUT, "DIR", 0, "the folder to write: new, or empty (required)", 0},
    {"seed", KEY_SEED, "N", 0, "of the random weights; default: 0", 0},
    {"dtype", KEY_DTYPE, "TYPE", 0, "fp32, fp16 or bf16 (default)", 0},
    {"tokenizer", KEY_TOKENIZER, "DIR", 0,
     "take the tokenizer of this folder; default: one token a byte, and Qwen's special tokens", 0},
    {"shard-bytes", KEY_SHARD, "N", 0, "cut files of more than N bytes; default: 5000000000", 0},
    {"style", KEY_STYLE, "FORM", 0, "names and config.json of transformers 4 (default) or 5", 0},
    {"noise", KEY_NOISE, NULL, 0, "numbers to measure speed and memory with, drawn fast", 0},
    {0}};

static const char *const styles[] = {"4", "5", NULL};
static const fv_option table[] = {
    {KEY_SHAPE, FV_OPTION_PATH, offsetof(init_options, shape)},
    {KEY_OUT, FV_OPTION_PATH, offsetof(init_options, out)},
    {KEY_TOKENIZER, FV_OPTION_PATH, offsetof(init_options, tokenizer)},
    {KEY_NOISE, FV_OPTION_FLAG, offsetof(init_options, is_noise)},
    {KEY_SEED, FV_OPTION_LONG, offsetof(init_options, seed), .high = LONG_MAX},
    {KEY_DTYPE, FV_OPTION_DTYPE, offsetof(init_options, dtype)},
    {KEY_SHARD, FV_OPTION_INTEGER, offsetof(init_options, shard_bytes), .low = 1, .high = LONG_MAX},
    {KEY_STYLE, FV_OPTION_CHOICE, offsetof(init_options, style), .low = FV_FOLDER_V4, .names = styles},
    {0}};

static error_t parse(int key, char *text, struct argp_state *state)
{
    init_options *out = state->input;
    switch (key) {
    case ARGP_KEY_END:
        if (!out->shape || !out->out)
            argp_error(state, "--shape and --out are required");
        return 0;
    default:
        return fv_option_set(table, options, key, text, state, out);
    }
}

static fv_err init_folder(const init_options *with)
{
    fv_model_shape shape;
    FV_TRY(fv_model_shape_load_yaml(with->shape, &shape));
    return fv_random_folder_write(with->out, &(fv_random_folder){.shape = &shape,
                                                                 .seed = (uint64_t)with->seed,
                                                                 .is_noise = with->is_noise,
                                                                 .tokenizer = with->tokenizer,
                                                                 .style = with->style,
                                                                 .dtype = with->dtype,
                                                                 .shard_bytes = with->shard_bytes});
}

int fv_job_init(int argc, char **argv)
{
    init_options with = {.dtype = FV_BF16, .style = FV_FOLDER_V4, .shard_bytes = FV_FOLDER_SHARD_BYTES};
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .doc = "Make a model folder with random weights: matrices normal with "
               "the deviation of PyTorch's linear layers, embeddings with 0.02, norms 1, biases 0. "
               "The same seed and shape give the same numbers."};
    fv_terminal_parse(&argp, argc, argv, &with);
    return fv_job_finish(init_folder(&with));
}
