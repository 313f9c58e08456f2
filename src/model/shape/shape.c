#include "model/shape/shape_fields.h"

#include "fovea/base/file.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static fv_err check_activation(const fv_json *object)
{
    const char *name = "silu";
    FV_TRY(fv_json_get_string(object, "hidden_act", &name));
    FV_CHECK(strcmp(name, "silu") == 0 || strcmp(name, "swish") == 0, FV_ERR_UNSUPPORTED,
             "\"hidden_act\" is \"%.64s\", expected \"silu\"", name);
    return FV_OK;
}

/* How many layers look back through a window: "layer_types" says it layer by layer, older files by the number
 * of layers at the front that do not (n_full if they do not say). */
static fv_err count_sliding_layers(const fv_json *text, int uses, int64_t n_full, int n_layers,
                                   int64_t *n_sliding)
{
    const fv_json *types = fv_json_get(text, "layer_types");
    if (!types || fv_json_kind_of(types) == FV_JSON_NULL) {
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

/* A window that is null is none. */
static fv_err read_window(const fv_json *text, fv_family family, fv_text_shape *out)
{
    int uses = 0;
    const fv_json *given = fv_json_get(text, "sliding_window");
    int64_t window = 4096, n_sliding = 0;
    FV_TRY(fv_json_get_bool(text, "use_sliding_window", &uses));
    FV_TRY(fv_json_get_integer(text, "sliding_window", &window));
    uses &= !given || fv_json_kind_of(given) != FV_JSON_NULL;
    FV_TRY(count_sliding_layers(text, uses, family == FV_FAMILY_QWEN2_5_VL ? 80 : 28, out->n_layers,
                                &n_sliding));
    FV_CHECK(n_sliding == 0 || n_sliding == out->n_layers, FV_ERR_UNSUPPORTED,
             "%lld of %d layers have a sliding window, supported are all or none", (long long)n_sliding,
             out->n_layers);
    FV_CHECK(n_sliding == 0 || (window > 0 && window <= INT_MAX), FV_ERR_FORMAT,
             "\"sliding_window\" is %lld, expected a positive number", (long long)window);
    out->sliding_window = n_sliding ? (int)window : 0;
    return FV_OK;
}

/* Qwen3's heads have a size of their own, Qwen2.5-VL's follow from the others. */
static fv_err read_head_dim(fv_family family, fv_text_shape *out)
{
    if (family == FV_FAMILY_QWEN3 && out->head_dim == 0)
        out->head_dim = 128;
    FV_CHECK(family != FV_FAMILY_QWEN2_5_VL || out->head_dim == 0 ||
                 (int64_t)out->head_dim * out->n_heads == out->hidden,
             FV_ERR_UNSUPPORTED,
             "\"head_dim\" is %d, expected \"hidden_size\" / \"num_attention_heads\", %d / %d", out->head_dim,
             out->hidden, out->n_heads);
    return FV_OK;
}

static fv_err read_text(const fv_json *root, const fv_json *text, fv_model_shape *out)
{
    double eps = out->family == FV_FAMILY_QWEN2_5_VL ? 1e-5 : 1e-6;
    int attention_bias = 0, tied = 0;
    FV_TRY(fv_shape_read_fields(text, fv_text_fields, FV_KEY_CONFIG, &out->text));
    FV_TRY(check_activation(text));
    FV_TRY(read_head_dim(out->family, &out->text));
    FV_TRY(fv_shape_read_rope(root, text, out));
    FV_TRY(read_window(text, out->family, &out->text));
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
    FV_TRY(fv_shape_check_vision_rope(vision));
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
    fv_err err = fv_json_kind_of(root) == FV_JSON_OBJECT ? read_special_ids(root, out)
                                                         : FV_FAIL(FV_ERR_FORMAT, "not a JSON object");
    if (err == FV_OK)
        err = fv_generation_read(root, defaults);
    fv_json_destroy(root);
    return err == FV_OK ? FV_OK : fv_error_prefix(err, "%s", path);
}

fv_err fv_model_shape_load(const char *folder, fv_model_shape *out, fv_generation_defaults *defaults)
{
    char path[PATH_MAX];
    fv_generation_defaults own = fv_generation_usual;
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
