/* fovea init: a model folder with random weights, from a shape of configs/model/. */
#include "jobs/model/folder_options.h"
#include "jobs/jobs.h"
#include "jobs/option.h"
#include "jobs/runtime.h"
#include "jobs/terminal.h"

#include "fovea/model/tokenizer/tokenizer.h"
#include "fovea/model/hf/small_files.h"

#include <limits.h>
#include <string.h>

typedef struct init_options {
    const char *shape, *out, *tokenizer;
    long seed;
    fv_dtype dtype;
    fv_folder_style style;
    int64_t shard_bytes;
} init_options;

enum { KEY_SHAPE = 256, KEY_OUT, KEY_SEED, KEY_DTYPE, KEY_TOKENIZER, KEY_SHARD, KEY_STYLE };

static const struct argp_option options[] = {
    {"shape", KEY_SHAPE, "FILE", 0, "the shape, such as configs/model/tiny-vl.yaml (required)", 0},
    {"out", KEY_OUT, "DIR", 0, "the folder to write: new, or empty (required)", 0},
    {"seed", KEY_SEED, "N", 0, "of the random weights; default: 0", 0},
    {"dtype", KEY_DTYPE, "TYPE", 0, "fp32, fp16 or bf16 (default)", 0},
    {"tokenizer", KEY_TOKENIZER, "DIR", 0,
     "take the tokenizer of this folder; default: one token a byte, and Qwen's special tokens", 0},
    {"shard-bytes", KEY_SHARD, "N", 0, "cut files of more than N bytes; default: 5000000000", 0},
    {"style", KEY_STYLE, "FORM", 0, "names and config.json of transformers 4 (default) or 5", 0},
    {0}};

static const fv_option table[] = {{KEY_SHAPE, FV_OPTION_PATH, offsetof(init_options, shape)},
                                  {KEY_OUT, FV_OPTION_PATH, offsetof(init_options, out)},
                                  {KEY_TOKENIZER, FV_OPTION_PATH, offsetof(init_options, tokenizer)},
                                  {KEY_SEED, FV_OPTION_LONG, offsetof(init_options, seed), .high = LONG_MAX},
                                  {0}};

static error_t parse(int key, char *text, struct argp_state *state)
{
    init_options *out = state->input;
    switch (key) {
    case KEY_DTYPE:
        out->dtype = fv_parse_dtype(state, text);
        return 0;
    case KEY_SHARD:
        out->shard_bytes = fv_parse_bytes(state, "--shard-bytes", text);
        return 0;
    case KEY_STYLE:
        out->style = fv_parse_style(state, text, 0);
        return 0;
    case ARGP_KEY_END:
        if (!out->shape || !out->out)
            argp_error(state, "--shape and --out are required");
        return 0;
    default:
        return fv_option_set(table, options, key, text, state, out);
    }
}

/* The tokens that a byte-level tokenizer has besides the bytes, in the order of Qwen's. */
static const fv_added_token special_tokens[] = {
    {"<|endoftext|>", 256},        {"<|im_start|>", 257},       {"<|im_end|>", 258},
    {"<|object_ref_start|>", 259}, {"<|object_ref_end|>", 260}, {"<|box_start|>", 261},
    {"<|box_end|>", 262},          {"<|quad_start|>", 263},     {"<|quad_end|>", 264},
    {"<|vision_start|>", 265},     {"<|vision_end|>", 266},     {"<|vision_pad|>", 267},
    {"<|image_pad|>", 268},        {"<|video_pad|>", 269}};

enum { N_SPECIAL = sizeof special_tokens / sizeof special_tokens[0] };

/* The id of a special token in the given tokenizer, or in the byte-level one if that is NULL. */
static fv_err find_token(const fv_tokenizer *tokenizer, const char *text, int32_t *out)
{
    *out = tokenizer ? fv_tokenizer_id(tokenizer, text) : -1;
    for (int i = 0; !tokenizer && i < N_SPECIAL; i++)
        if (strcmp(special_tokens[i].text, text) == 0)
            *out = special_tokens[i].id;
    FV_CHECK(*out >= 0, FV_ERR_FORMAT, "the tokenizer has no token \"%s\", which the model needs", text);
    return FV_OK;
}

/* A model's special ids are those of its tokenizer, whatever its shape says. */
static fv_err set_ids(const fv_tokenizer *tokenizer, fv_model_shape *shape)
{
    int32_t size = tokenizer ? fv_tokenizer_size(tokenizer) : special_tokens[N_SPECIAL - 1].id + 1;
    FV_CHECK(size <= shape->text.vocab, FV_ERR_SHAPE,
             "the tokenizer has %d tokens, but the shape's vocabulary only %d", size, shape->text.vocab);
    FV_TRY(find_token(tokenizer, "<|im_end|>", &shape->eos_ids[0]));
    FV_TRY(find_token(tokenizer, "<|endoftext|>", &shape->eos_ids[1]));
    shape->n_eos = 2;
    shape->pad_id = shape->bos_id = shape->eos_ids[1];
    if (shape->vision.depth == 0)
        return FV_OK;
    FV_TRY(find_token(tokenizer, "<|image_pad|>", &shape->image_id));
    FV_TRY(find_token(tokenizer, "<|video_pad|>", &shape->video_id));
    FV_TRY(find_token(tokenizer, "<|vision_start|>", &shape->vision_start_id));
    return find_token(tokenizer, "<|vision_end|>", &shape->vision_end_id);
}

static fv_err set_ids_from(const char *folder, fv_model_shape *shape)
{
    fv_tokenizer *tokenizer = NULL;
    if (!folder)
        return set_ids(NULL, shape);
    FV_TRY(fv_folder_check_links(folder));
    FV_TRY(fv_tokenizer_load(folder, &tokenizer));
    fv_err err = set_ids(tokenizer, shape);
    fv_tokenizer_destroy(tokenizer);
    return err;
}

typedef struct source {
    int has_vision;
    fv_param_list params;
    uint64_t seed;
    const char *tokenizer;
} source;

static fv_err draw_rows(void *context, int param, int64_t first, int64_t n, float *out)
{
    const source *from = context;
    fv_param_fill(&from->params.items[param], from->seed, first, n, out);
    return FV_OK;
}

static fv_err add_tokenizer(void *context, const char *path)
{
    const source *from = context;
    if (from->tokenizer)
        FV_TRY(fv_folder_copy_tokenizer(from->tokenizer, path));
    else
        FV_TRY(fv_tokenizer_write_bytes(path, special_tokens, N_SPECIAL));
    return from->has_vision ? fv_folder_write_template(path) : FV_OK;
}

static fv_err init_folder(const init_options *with)
{
    fv_model_shape shape;
    source from = {.seed = (uint64_t)with->seed, .tokenizer = with->tokenizer};
    FV_TRY(fv_model_shape_load_yaml(with->shape, &shape));
    FV_TRY(set_ids_from(with->tokenizer, &shape));
    from.has_vision = shape.vision.depth > 0;
    FV_TRY(fv_param_list_init(&from.params, &shape));
    fv_folder_write_args args = {.shape = &shape,
                                 .generation = &fv_generation_usual,
                                 .style = with->style,
                                 .dtype = with->dtype,
                                 .max_shard_bytes = with->shard_bytes,
                                 .writes = 1,
                                 .rows = draw_rows,
                                 .more = add_tokenizer,
                                 .context = &from};
    fv_err err = fv_folder_write(with->out, &args);
    fv_param_list_fini(&from.params);
    return err;
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
