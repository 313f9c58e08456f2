#include "model/shape_fields.h"

#include "fovea/file.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static fv_err check_activation(const fv_json *object)
{
    const char *name = "silu";
    FV_TRY(fv_json_get_string(object, "hidden_act", &name));
    FV_CHECK(strcmp(name, "silu") == 0, FV_ERR_UNSUPPORTED, "\"hidden_act\" is \"%.64s\", expected \"silu\"",
             name);
    return FV_OK;
}

static fv_err check_rope_type(const fv_json *rope, const char *key)
{
    const char *type = "default";
    FV_TRY(fv_json_get_string(rope, key, &type));
    FV_CHECK(strcmp(type, "default") == 0 || strcmp(type, "mrope") == 0, FV_ERR_UNSUPPORTED,
             "rotary positions of \"%s\" \"%.64s\" are not supported, only \"default\" and \"mrope\"", key,
             type);
    return FV_OK;
}

static fv_err read_section(const fv_json *rope, int section[3])
{
    const fv_json *list = fv_json_get(rope, "mrope_section");
    FV_CHECK(list && fv_json_size(list) == 3, FV_ERR_FORMAT,
             "\"mrope_section\" is missing or has %zu items, expected a list of 3 numbers",
             fv_json_size(list));
    for (size_t i = 0; i < 3; i++) {
        int64_t value = 0;
        FV_TRY(fv_json_to_integer(fv_json_at(list, i), "mrope_section", &value));
        FV_CHECK(value >= 0 && value <= FV_SIZE_MAX, FV_ERR_FORMAT, "\"mrope_section\" has %lld",
                 (long long)value);
        section[i] = (int)value;
    }
    return FV_OK;
}

/* transformers 5 keeps everything about rotary positions in "rope_parameters"; transformers 4 keeps the base
 * beside "rope_scaling". */
static fv_err read_rope(const fv_json *text, fv_family family, fv_text_shape *out)
{
    double theta = family == FV_FAMILY_QWEN2_5_VL ? 1e6 : 1e4, partial = 1;
    const fv_json *rope = fv_json_get(text, "rope_parameters");
    if (!rope || fv_json_kind_of(rope) == FV_JSON_NULL)
        rope = fv_json_get(text, "rope_scaling");
    int given = rope && fv_json_kind_of(rope) != FV_JSON_NULL;
    FV_CHECK(!given || fv_json_kind_of(rope) == FV_JSON_OBJECT, FV_ERR_FORMAT,
             "the settings of rotary positions are not an object");
    for (void *i = given ? fv_json_first(rope) : NULL; i; i = fv_json_next(rope, i))
        FV_CHECK(fv_json_kind_of(fv_json_member(i)) != FV_JSON_OBJECT, FV_ERR_UNSUPPORTED,
                 "rotary positions that differ between layers (\"%.64s\") are not supported", fv_json_key(i));
    FV_TRY(fv_json_get_real(text, "rope_theta", &theta));
    FV_TRY(fv_json_get_real(rope, "rope_theta", &theta));
    FV_TRY(fv_json_get_real(rope, "partial_rotary_factor", &partial));
    FV_CHECK(partial == 1, FV_ERR_UNSUPPORTED, "\"partial_rotary_factor\" is %g, only 1 is supported",
             partial);
    FV_TRY(check_rope_type(rope, "type"));
    FV_TRY(check_rope_type(rope, "rope_type"));
    out->rope_theta = (float)theta;
    return family == FV_FAMILY_QWEN2_5_VL ? read_section(rope, out->mrope_section) : FV_OK;
}

/* How many layers look back through a window: "layer_types" says it layer by layer, older files by the number
 * of layers at the front that do not. */
static fv_err count_sliding_layers(const fv_json *text, int uses, int n_layers, int64_t *n_sliding)
{
    const fv_json *types = fv_json_get(text, "layer_types");
    if (!types || fv_json_kind_of(types) == FV_JSON_NULL) {
        int64_t n_full = 28;
        FV_TRY(fv_json_get_integer(text, "max_window_layers", &n_full));
        *n_sliding = !uses || n_full >= n_layers ? 0 : n_full <= 0 ? n_layers : n_layers - n_full;
        return FV_OK;
    }
    FV_CHECK(fv_json_size(types) == (size_t)n_layers, FV_ERR_FORMAT,
             "\"layer_types\" has %zu items, expected one for each of %d layers", fv_json_size(types),
             n_layers);
    for (size_t i = 0; i < (size_t)n_layers; i++) {
        const char *type = NULL;
        FV_TRY(fv_json_to_string(fv_json_at(types, i), "layer_types", &type, NULL));
        int sliding = strcmp(type, "sliding_attention") == 0;
        FV_CHECK(sliding || strcmp(type, "full_attention") == 0, FV_ERR_UNSUPPORTED,
                 "layer %zu is of type \"%.64s\", expected full_attention or sliding_attention", i, type);
        *n_sliding += sliding;
    }
    FV_CHECK(uses || *n_sliding == 0, FV_ERR_FORMAT,
             "\"layer_types\" has sliding_attention but \"use_sliding_window\" is false");
    return FV_OK;
}

static fv_err read_window(const fv_json *text, fv_text_shape *out)
{
    int uses = 0;
    int64_t window = 4096, n_sliding = 0;
    FV_TRY(fv_json_get_bool(text, "use_sliding_window", &uses));
    FV_TRY(fv_json_get_integer(text, "sliding_window", &window));
    FV_TRY(count_sliding_layers(text, uses, out->n_layers, &n_sliding));
    FV_CHECK(n_sliding == 0 || n_sliding == out->n_layers, FV_ERR_UNSUPPORTED,
             "%lld of %d layers have a sliding window, supported are all or none", (long long)n_sliding,
             out->n_layers);
    FV_CHECK(n_sliding == 0 || (window > 0 && window <= INT_MAX), FV_ERR_FORMAT,
             "\"sliding_window\" is %lld, expected a positive number", (long long)window);
    out->sliding_window = n_sliding ? (int)window : 0;
    return FV_OK;
}

static fv_err read_text(const fv_json *root, const fv_json *text, fv_model_shape *out)
{
    double eps = out->family == FV_FAMILY_QWEN2_5_VL ? 1e-5 : 1e-6;
    int attention_bias = 0, tied = 0;
    FV_TRY(fv_shape_read_fields(text, fv_text_fields, FV_KEY_CONFIG, &out->text));
    FV_TRY(check_activation(text));
    FV_TRY(read_rope(text, out->family, &out->text));
    FV_TRY(read_window(text, &out->text));
    FV_TRY(fv_json_get_real(text, "rms_norm_eps", &eps));
    FV_TRY(fv_json_get_bool(text, "attention_bias", &attention_bias));
    FV_CHECK(!attention_bias || out->family != FV_FAMILY_QWEN3, FV_ERR_UNSUPPORTED,
             "\"attention_bias\" is true, expected false");
    out->text.norm_eps = (float)eps;
    FV_TRY(fv_json_get_bool(text, "tie_word_embeddings", &tied));
    FV_TRY(fv_json_get_bool(root, "tie_word_embeddings", &out->text.tied));
    out->text.tied |= tied;
    return FV_OK;
}

/* Blocks beyond the depth are passed over: the reference writes its default list for any depth. */
static fv_err read_full_attention(const fv_json *vision, fv_vision_shape *out)
{
    static const int usual[] = {7, 15, 23, 31};
    const fv_json *list = fv_json_get(vision, "fullatt_block_indexes");
    for (size_t i = 0; !list && i < sizeof usual / sizeof usual[0]; i++)
        out->full_attention[usual[i]] = usual[i] < out->depth;
    FV_CHECK(!list || fv_json_kind_of(list) == FV_JSON_ARRAY, FV_ERR_FORMAT,
             "\"fullatt_block_indexes\" is not a list");
    for (size_t i = 0; i < fv_json_size(list); i++) {
        int64_t block = 0;
        FV_TRY(fv_json_to_integer(fv_json_at(list, i), "fullatt_block_indexes", &block));
        FV_CHECK(block >= 0, FV_ERR_FORMAT, "\"fullatt_block_indexes\" has %lld", (long long)block);
        if (block < out->depth)
            out->full_attention[block] = 1;
    }
    return FV_OK;
}

static fv_err read_vision(const fv_json *root, fv_model_shape *out)
{
    const fv_json *vision = fv_json_get(root, "vision_config");
    FV_CHECK(vision && fv_json_kind_of(vision) == FV_JSON_OBJECT, FV_ERR_FORMAT,
             "\"vision_config\" is missing or not an object");
    FV_TRY(check_activation(vision));
    FV_TRY(fv_shape_read_fields(vision, fv_vision_fields, FV_KEY_CONFIG, &out->vision));
    FV_TRY(read_full_attention(vision, &out->vision));
    return fv_shape_read_fields(root, fv_vision_id_fields, FV_KEY_CONFIG, out);
}

static fv_err read_id(const fv_json *object, const char *key, int32_t *out)
{
    int64_t id = *out;
    FV_TRY(fv_json_get_integer(object, key, &id));
    FV_CHECK(id >= -1 && id <= INT_MAX, FV_ERR_FORMAT, "\"%s\" is %lld, expected a token id", key,
             (long long)id);
    *out = (int32_t)id;
    return FV_OK;
}

static fv_err read_special_ids(const fv_json *object, fv_model_shape *out)
{
    FV_TRY(fv_shape_read_eos(object, "eos_token_id", out));
    FV_TRY(read_id(object, "pad_token_id", &out->pad_id));
    return read_id(object, "bos_token_id", &out->bos_id);
}

static fv_err read_config(const fv_json *root, fv_model_shape *out)
{
    const char *type = NULL;
    FV_CHECK(fv_json_kind_of(root) == FV_JSON_OBJECT, FV_ERR_FORMAT, "not a JSON object");
    FV_TRY(fv_json_to_string(fv_json_get(root, "model_type"), "model_type", &type, NULL));
    FV_TRY(fv_family_parse(type, &out->family));
    FV_CHECK(!fv_json_get(root, "quantization_config"), FV_ERR_UNSUPPORTED,
             "quantised weights (\"quantization_config\") are not supported, give the unquantised model");
    const fv_json *nested = fv_json_get(root, "text_config");
    FV_CHECK(!nested || fv_json_kind_of(nested) == FV_JSON_OBJECT, FV_ERR_FORMAT,
             "\"text_config\" is not an object");
    if (nested)
        FV_TRY(read_special_ids(root, out));
    FV_TRY(read_special_ids(nested ? nested : root, out));
    FV_TRY(read_text(root, nested ? nested : root, out));
    if (out->family == FV_FAMILY_QWEN2_5_VL)
        FV_TRY(read_vision(root, out));
    fv_shape_derive(out);
    return FV_OK;
}

static fv_err read_generation(const fv_json *root, fv_model_shape *out, fv_generation_defaults *defaults)
{
    double temperature = defaults->temperature, top_p = defaults->top_p;
    double penalty = defaults->repetition_penalty;
    int64_t top_k = defaults->top_k;
    FV_CHECK(fv_json_kind_of(root) == FV_JSON_OBJECT, FV_ERR_FORMAT, "not a JSON object");
    FV_TRY(read_special_ids(root, out));
    FV_TRY(fv_json_get_bool(root, "do_sample", &defaults->do_sample));
    FV_TRY(fv_json_get_real(root, "temperature", &temperature));
    FV_TRY(fv_json_get_integer(root, "top_k", &top_k));
    FV_TRY(fv_json_get_real(root, "top_p", &top_p));
    FV_TRY(fv_json_get_real(root, "repetition_penalty", &penalty));
    FV_CHECK(temperature >= 0 && top_p > 0 && top_p <= 1 && penalty > 0 && top_k >= 0 && top_k <= INT_MAX,
             FV_ERR_FORMAT,
             "temperature %g, top_p %g, top_k %lld, repetition_penalty %g, expected at least 0, above 0 and "
             "at most 1, at least 0, above 0",
             temperature, top_p, (long long)top_k, penalty);
    defaults->temperature = (float)temperature;
    defaults->top_p = (float)top_p;
    defaults->top_k = (int)top_k;
    defaults->repetition_penalty = (float)penalty;
    return FV_OK;
}

static fv_err load_config(const char *path, fv_model_shape *out)
{
    fv_json *root = NULL;
    FV_TRY(fv_json_load(path, &root));
    fv_err err = read_config(root, out);
    fv_json_destroy(root);
    return err == FV_OK ? FV_OK : fv_error_prefix(err, "%s", path);
}

static fv_err load_generation(const char *path, fv_model_shape *out, fv_generation_defaults *defaults)
{
    fv_json *root = NULL;
    if (!fv_file_exists(path))
        return FV_OK;
    FV_TRY(fv_json_load(path, &root));
    fv_err err = read_generation(root, out, defaults);
    fv_json_destroy(root);
    return err == FV_OK ? FV_OK : fv_error_prefix(err, "%s", path);
}

fv_err fv_model_shape_load(const char *folder, fv_model_shape *out, fv_generation_defaults *defaults)
{
    char path[PATH_MAX];
    fv_generation_defaults own = {.temperature = 1, .top_p = 1, .repetition_penalty = 1};
    *out = fv_shape_empty;
    FV_TRY(fv_file_path(path, sizeof path, folder, "config.json"));
    FV_TRY(load_config(path, out));
    FV_TRY(fv_file_path(path, sizeof path, folder, "generation_config.json"));
    FV_TRY(load_generation(path, out, &own));
    if (defaults)
        *defaults = own;
    fv_err err = fv_model_shape_check(out);
    return err == FV_OK ? FV_OK : fv_error_prefix(err, "%s", folder);
}
