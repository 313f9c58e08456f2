#include "jobs/model/random_folder.h"

#include "fovea/model/hf/small_files.h"
#include "fovea/model/tokenizer/tokenizer.h"

#include <string.h>

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

/* The folder that is being written. */
typedef struct source {
    const fv_random_folder *as;
    int has_vision;
    fv_param_list params;
} source;

static fv_err draw_rows(void *context, int param, int64_t first, int64_t n, float *out)
{
    const source *from = context;
    const fv_param *of = &from->params.items[param];
    if (from->as->is_noise)
        fv_param_noise(of, first * of->cols, n * of->cols, FV_F32, out);
    else
        fv_param_fill(of, from->as->seed, first, n, out);
    return FV_OK;
}

static fv_err add_tokenizer(void *context, const char *path)
{
    const source *from = context;
    if (from->as->tokenizer)
        FV_TRY(fv_folder_copy_tokenizer(from->as->tokenizer, path));
    else
        FV_TRY(fv_tokenizer_write_bytes(path, special_tokens, N_SPECIAL));
    return from->has_vision ? fv_folder_write_template(path) : FV_OK;
}

fv_err fv_random_folder_write(const char *path, const fv_random_folder *as)
{
    fv_model_shape shape = *as->shape;
    source from = {.as = as, .has_vision = shape.vision.depth > 0};
    FV_TRY(set_ids_from(as->tokenizer, &shape));
    FV_TRY(fv_param_list_init(&from.params, &shape));
    fv_folder_write_args args = {.shape = &shape,
                                 .generation = &fv_generation_usual,
                                 .style = as->style,
                                 .dtype = as->dtype,
                                 .max_shard_bytes = as->shard_bytes,
                                 .writes = 1,
                                 .rows = draw_rows,
                                 .more = add_tokenizer,
                                 .context = &from};
    fv_err err = fv_folder_write(path, &args);
    fv_param_list_fini(&from.params);
    return err;
}
