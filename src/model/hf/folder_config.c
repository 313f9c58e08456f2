#include "model/hf/folder_config.h"

#include "model/shape/shape_fields.h"
#include "fovea/model/hf/small_files.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fv_err set_integer(fv_json *object, const char *key, int64_t value)
{
    return fv_json_set(object, key, fv_json_make_integer(value));
}

static fv_err set_bool(fv_json *object, const char *key, int value)
{
    return fv_json_set(object, key, fv_json_make_bool(value));
}

static fv_err set_real(fv_json *object, const char *key, double value)
{
    return fv_json_set(object, key, fv_json_make_real(value));
}

/* The shortest decimal number that is this float, so that 1e-6 stays 1e-6. */
static fv_err set_float(fv_json *object, const char *key, float value)
{
    char text[32];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    return set_real(object, key, strtod(text, NULL));
}

static fv_err set_integers(fv_json *object, const char *key, const int32_t *values, int n)
{
    FV_TRY(fv_json_set(object, key, fv_json_make_array()));
    for (int i = 0; i < n; i++)
        FV_TRY(fv_json_append(fv_json_get(object, key), fv_json_make_integer(values[i])));
    return FV_OK;
}

static fv_err set_id(fv_json *object, const char *key, int32_t id)
{
    return fv_json_set(object, key, id < 0 ? fv_json_make_null() : fv_json_make_integer(id));
}

static fv_err set_fields(fv_json *object, const fv_shape_field *fields, const void *of)
{
    for (const fv_shape_field *field = fields; field->name; field++)
        FV_TRY(set_integer(object, field->key, *(const int *)((const char *)of + field->offset)));
    return FV_OK;
}

static fv_err set_scaling(fv_json *rope, const fv_rope_scaling *scaling)
{
    int is_yarn = scaling->kind == FV_ROPE_YARN;
    if (scaling->kind == FV_ROPE_DEFAULT)
        return FV_OK;
    FV_TRY(set_real(rope, "factor", scaling->factor));
    if (scaling->kind != FV_ROPE_YARN && scaling->kind != FV_ROPE_LLAMA3)
        return FV_OK;
    FV_TRY(set_integer(rope, "original_max_position_embeddings", (int64_t)scaling->original));
    FV_TRY(set_real(rope, is_yarn ? "beta_fast" : "high_freq_factor", scaling->fast));
    FV_TRY(set_real(rope, is_yarn ? "beta_slow" : "low_freq_factor", scaling->slow));
    if (!is_yarn)
        return FV_OK;
    FV_TRY(set_real(rope, "attention_factor", scaling->attention));
    return scaling->truncates ? FV_OK : set_bool(rope, "truncate", 0);
}

/* Rotary positions: transformers 5 has all of them in one object, transformers 4 the base beside it. */
static fv_err set_rope(fv_json *text, const fv_model_shape *shape, fv_folder_style style)
{
    const char *key = style == FV_FOLDER_V5 ? "rope_parameters" : "rope_scaling";
    const fv_rope_scaling *scaling = &shape->text.rope;
    int is_vl = shape->family == FV_FAMILY_QWEN2_5_VL, is_default = scaling->kind == FV_ROPE_DEFAULT;
    if (style == FV_FOLDER_V4)
        FV_TRY(set_float(text, "rope_theta", shape->text.rope_theta));
    if (style == FV_FOLDER_V4 && !is_vl && is_default)
        return FV_OK;
    FV_TRY(fv_json_set(text, key, fv_json_make_object()));
    fv_json *rope = fv_json_get(text, key);
    if (style == FV_FOLDER_V5)
        FV_TRY(set_float(rope, "rope_theta", shape->text.rope_theta));
    if (style == FV_FOLDER_V5 || !is_default)
        FV_TRY(fv_json_set_text(rope, "rope_type", fv_rope_kind_name(scaling->kind)));
    FV_TRY(set_scaling(rope, scaling));
    if (!is_vl)
        return FV_OK;
    FV_TRY(fv_json_set_text(rope, "type", is_default ? "mrope" : fv_rope_kind_name(scaling->kind)));
    return set_integers(rope, "mrope_section", shape->text.mrope_section, 3);
}

static fv_err set_text(fv_json *text, const fv_model_shape *shape, fv_folder_style style)
{
    int slides = shape->text.sliding_window > 0;
    FV_TRY(set_fields(text, fv_text_fields, &shape->text));
    FV_TRY(fv_json_set_text(text, "hidden_act", "silu"));
    FV_TRY(set_float(text, "rms_norm_eps", shape->text.norm_eps));
    FV_TRY(set_rope(text, shape, style));
    FV_TRY(set_bool(text, "use_sliding_window", slides));
    FV_TRY(fv_json_set(text, "sliding_window",
                       slides ? fv_json_make_integer(shape->text.sliding_window) : fv_json_make_null()));
    FV_TRY(set_integer(text, "max_window_layers", slides ? 0 : shape->text.n_layers));
    FV_TRY(set_bool(text, "tie_word_embeddings", shape->text.tied));
    FV_TRY(set_float(text, "initializer_range", 0.02f));
    FV_TRY(set_bool(text, "use_cache", 1));
    FV_TRY(set_id(text, "bos_token_id", shape->bos_id));
    FV_TRY(set_id(text, "pad_token_id", shape->pad_id));
    return set_id(text, "eos_token_id", shape->n_eos ? shape->eos_ids[0] : -1);
}

static fv_err set_vision(fv_json *vision, const fv_vision_shape *shape)
{
    FV_TRY(fv_json_set_text(vision, "model_type", "qwen2_5_vl_vision"));
    FV_TRY(set_fields(vision, fv_vision_fields, shape));
    FV_TRY(set_integer(vision, "in_chans", shape->in_channels));
    FV_TRY(set_integer(vision, "spatial_patch_size", shape->patch));
    FV_TRY(fv_json_set_text(vision, "hidden_act", "silu"));
    FV_TRY(fv_json_set(vision, "fullatt_block_indexes", fv_json_make_array()));
    for (int i = 0; i < shape->depth; i++)
        if (shape->full_attention[i])
            FV_TRY(fv_json_append(fv_json_get(vision, "fullatt_block_indexes"), fv_json_make_integer(i)));
    return FV_OK;
}

static fv_err set_sections(fv_json *root, const fv_model_shape *shape, fv_folder_style style)
{
    if (shape->family != FV_FAMILY_QWEN2_5_VL)
        return set_text(root, shape, style);
    if (style == FV_FOLDER_V5) {
        FV_TRY(fv_json_set(root, "text_config", fv_json_make_object()));
        FV_TRY(fv_json_set_text(fv_json_get(root, "text_config"), "model_type", "qwen2_5_vl_text"));
        FV_TRY(set_text(fv_json_get(root, "text_config"), shape, style));
        FV_TRY(set_bool(root, "tie_word_embeddings", shape->text.tied));
    } else {
        FV_TRY(set_text(root, shape, style));
    }
    FV_TRY(fv_json_set(root, "vision_config", fv_json_make_object()));
    FV_TRY(set_vision(fv_json_get(root, "vision_config"), &shape->vision));
    return set_fields(root, fv_vision_id_fields, shape);
}

static fv_err make_config(fv_json *root, const fv_folder_write_args *args)
{
    static const char *const architectures[] = {[FV_FAMILY_QWEN2] = "Qwen2ForCausalLM",
                                                [FV_FAMILY_QWEN3] = "Qwen3ForCausalLM",
                                                [FV_FAMILY_QWEN2_5_VL] =
                                                    "Qwen2_5_VLForConditionalGeneration"};
    const char *name = architectures[args->shape->family];
    FV_TRY(fv_json_set(root, "architectures", fv_json_make_array()));
    FV_TRY(fv_json_append(fv_json_get(root, "architectures"), fv_json_make_string(name, strlen(name))));
    FV_TRY(fv_json_set_text(root, "model_type", fv_family_name(args->shape->family)));
    FV_TRY(fv_json_set_text(root, args->style == FV_FOLDER_V5 ? "dtype" : "torch_dtype",
                            fv_dtype_float_name(args->dtype)));
    return set_sections(root, args->shape, args->style);
}

/* Every "dtype" and "torch_dtype" that a configuration has, at its top or in a section, or a new one. */
static fv_err change_dtype(fv_json *root, fv_dtype dtype)
{
    static const char *const sections[] = {"text_config", "vision_config"};
    static const char *const keys[] = {"torch_dtype", "dtype"};
    const char *name = fv_dtype_float_name(dtype);
    for (int s = 0; s < 2; s++)
        for (int k = 0; k < 2; k++)
            if (fv_json_get(fv_json_get(root, sections[s]), keys[k]))
                FV_TRY(fv_json_set_text(fv_json_get(root, sections[s]), keys[k], name));
    return fv_json_set_text(root, fv_json_get(root, "dtype") ? "dtype" : "torch_dtype", name);
}

fv_err fv_folder_write_json(const char *folder, const char *name, const fv_json *root)
{
    char path[PATH_MAX];
    fv_buffer text = {0};
    FV_TRY(fv_file_path(path, sizeof path, folder, name));
    fv_err err = fv_json_print(root, 2, &text);
    if (err == FV_OK)
        err = fv_buffer_append(&text, "\n", 1);
    if (err == FV_OK)
        err = fv_file_write(path, text.data, text.size);
    fv_buffer_fini(&text);
    return err;
}

fv_err fv_folder_write_config(const char *path, const fv_folder_write_args *args)
{
    char from[PATH_MAX];
    fv_json *root = NULL;
    fv_err err = FV_OK;
    if (args->style == FV_FOLDER_KEEP) {
        FV_TRY(fv_file_path(from, sizeof from, args->source->path, "config.json"));
        FV_TRY(fv_json_load(from, &root));
        FV_TRY_DONE(change_dtype(root, args->dtype));
    } else {
        root = fv_json_make_object();
        FV_CHECK(root, FV_ERR_MEMORY, "no memory for a configuration");
        FV_TRY_DONE(make_config(root, args));
    }
    FV_TRY_DONE(fv_folder_write_json(path, "config.json", root));
done:
    fv_json_destroy(root);
    return err;
}

static fv_err make_generation(fv_json *root, const fv_folder_write_args *args)
{
    const fv_generation_defaults *generation = args->generation;
    FV_TRY(set_id(root, "bos_token_id", args->shape->bos_id));
    FV_TRY(set_id(root, "pad_token_id", args->shape->pad_id));
    if (args->shape->n_eos)
        FV_TRY(set_integers(root, "eos_token_id", args->shape->eos_ids, args->shape->n_eos));
    FV_TRY(set_bool(root, "do_sample", generation->do_sample));
    if (!generation->do_sample) /* the library warns of sampling settings that nothing uses */
        return FV_OK;
    FV_TRY(set_float(root, "temperature", generation->temperature));
    FV_TRY(set_integer(root, "top_k", generation->top_k));
    return set_float(root, "top_p", generation->top_p);
}

/* The size limits of Qwen2.5-VL, but no image may take more than a quarter of the positions. */
static fv_err make_preprocessor(fv_json *root, const fv_folder_write_args *args)
{
    static const double mean[] = {0.48145466, 0.4578275, 0.40821073};
    static const double deviation[] = {0.26862954, 0.26130258, 0.27577711};
    const fv_vision_shape *vision = &args->shape->vision;
    int64_t token = (int64_t)vision->patch * vision->merge * vision->patch * vision->merge;
    int64_t largest = args->shape->text.max_positions / 4 * token, usual = 16384 * token;
    FV_TRY(fv_json_set_text(root, "image_processor_type", "Qwen2VLImageProcessor"));
    FV_TRY(fv_json_set_text(root, "processor_class", "Qwen2_5_VLProcessor"));
    FV_TRY(set_integer(root, "min_pixels", token));
    FV_TRY(set_integer(root, "max_pixels", largest < usual ? largest : usual));
    FV_TRY(set_integer(root, "patch_size", vision->patch));
    FV_TRY(set_integer(root, "temporal_patch_size", vision->temporal_patch));
    FV_TRY(set_integer(root, "merge_size", vision->merge));
    FV_TRY(fv_json_set(root, "image_mean", fv_json_make_array()));
    FV_TRY(fv_json_set(root, "image_std", fv_json_make_array()));
    for (int i = 0; i < 3; i++) {
        FV_TRY(fv_json_append(fv_json_get(root, "image_mean"), fv_json_make_real(mean[i])));
        FV_TRY(fv_json_append(fv_json_get(root, "image_std"), fv_json_make_real(deviation[i])));
    }
    return FV_OK;
}

static fv_err write_made(const char *path, const char *name, const fv_folder_write_args *args,
                         fv_err (*make)(fv_json *root, const fv_folder_write_args *args))
{
    fv_json *root = fv_json_make_object();
    FV_CHECK(root, FV_ERR_MEMORY, "no memory for %s", name);
    fv_err err = make(root, args);
    if (err == FV_OK)
        err = fv_folder_write_json(path, name, root);
    fv_json_destroy(root);
    return err;
}

fv_err fv_folder_write_small_files(const char *path, const fv_folder_write_args *args)
{
    if (args->source) {
        FV_TRY(fv_folder_copy_tokenizer(args->source->path, path));
        FV_TRY(fv_folder_copy_settings(args->source->path, path));
        return args->style == FV_FOLDER_V4 ? fv_folder_make_v4(path) : FV_OK;
    }
    FV_TRY(write_made(path, "generation_config.json", args, make_generation));
    if (args->shape->vision.depth > 0)
        FV_TRY(write_made(path, "preprocessor_config.json", args, make_preprocessor));
    return FV_OK;
}
