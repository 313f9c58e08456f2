#include "model/shape/shape_fields.h"

#include <limits.h>
#include <string.h>

#define TEXT(member, key, absent, min, max)                             \
    {                                                                   \
#        member, key, offsetof(fv_text_shape, member), absent, min, max \
    }
const fv_shape_field fv_text_fields[] = {
    TEXT(n_layers, "num_hidden_layers", FV_FIELD_REQUIRED, 1, FV_MAX_LAYERS),
    TEXT(hidden, "hidden_size", FV_FIELD_REQUIRED, 1, FV_SIZE_MAX),
    TEXT(n_heads, "num_attention_heads", FV_FIELD_REQUIRED, 1, FV_SIZE_MAX),
    TEXT(n_kv_heads, "num_key_value_heads", 0, 1, FV_SIZE_MAX),
    TEXT(head_dim, "head_dim", 0, 1, FV_SIZE_MAX),
    TEXT(intermediate, "intermediate_size", FV_FIELD_REQUIRED, 1, FV_SIZE_MAX),
    TEXT(vocab, "vocab_size", FV_FIELD_REQUIRED, 1, FV_VOCAB_MAX),
    TEXT(max_positions, "max_position_embeddings", 32768, 1, INT_MAX),
    {0},
};

#define VISION(member, key, absent, min, max)                             \
    {                                                                     \
#        member, key, offsetof(fv_vision_shape, member), absent, min, max \
    }
const fv_shape_field fv_vision_fields[] = {
    VISION(depth, "depth", FV_FIELD_REQUIRED, 1, FV_MAX_VISION_DEPTH),
    VISION(hidden, "hidden_size", FV_FIELD_REQUIRED, 1, FV_SIZE_MAX),
    VISION(n_heads, "num_heads", FV_FIELD_REQUIRED, 1, FV_SIZE_MAX),
    VISION(intermediate, "intermediate_size", FV_FIELD_REQUIRED, 1, FV_SIZE_MAX),
    VISION(out_hidden, "out_hidden_size", FV_FIELD_REQUIRED, 1, FV_SIZE_MAX),
    VISION(in_channels, "in_channels", 3, 3, 3),
    VISION(patch, "patch_size", 14, 1, 1024),
    VISION(temporal_patch, "temporal_patch_size", 2, 1, 64),
    VISION(merge, "spatial_merge_size", 2, 1, 64),
    VISION(window, "window_size", 112, 1, FV_SIZE_MAX),
    VISION(tokens_per_second, "tokens_per_second", 4, 1, FV_SIZE_MAX),
    {0},
};

#define ID(member, key, absent)                                            \
    {                                                                      \
#        member, key, offsetof(fv_model_shape, member), absent, 0, INT_MAX \
    }
const fv_shape_field fv_vision_id_fields[] = {
    ID(image_id, "image_token_id", 151655),
    ID(video_id, "video_token_id", 151656),
    ID(vision_start_id, "vision_start_token_id", 151652),
    ID(vision_end_id, "vision_end_token_id", 151653),
    {0},
};

const fv_model_shape fv_shape_empty = {
    .pad_id = -1, .bos_id = -1, .image_id = -1, .video_id = -1, .vision_start_id = -1, .vision_end_id = -1};

static const struct {
    const char *name;
    fv_family family;
} families[] = {{"qwen2", FV_FAMILY_QWEN2}, {"qwen3", FV_FAMILY_QWEN3}, {"qwen2_5_vl", FV_FAMILY_QWEN2_5_VL}};

enum { N_FAMILIES = sizeof families / sizeof families[0] };

const char *fv_family_name(fv_family family)
{
    for (int i = 0; i < N_FAMILIES; i++)
        if (families[i].family == family)
            return families[i].name;
    return "unknown";
}

fv_err fv_family_parse(const char *name, fv_family *out)
{
    for (int i = 0; i < N_FAMILIES; i++) {
        if (strcmp(families[i].name, name) == 0) {
            *out = families[i].family;
            return FV_OK;
        }
    }
    return FV_FAIL(FV_ERR_UNSUPPORTED, "models of type \"%.64s\" are not supported, only %s, %s and %s", name,
                   families[0].name, families[1].name, families[2].name);
}

static fv_err read_field(const fv_json *object, const fv_shape_field *field, const char *key, int *out)
{
    int64_t value = INT64_MIN; /* stays if the key is absent */
    FV_TRY(fv_json_get_integer(object, key, &value));
    if (value == INT64_MIN && field->absent != FV_FIELD_REQUIRED) {
        *out = field->absent;
        return FV_OK;
    }
    FV_CHECK(value != INT64_MIN, FV_ERR_FORMAT, "\"%s\" is missing", key);
    FV_CHECK(value >= field->min && value <= field->max, FV_ERR_FORMAT, "\"%s\" is %lld, expected %d to %d",
             key, (long long)value, field->min, field->max);
    *out = (int)value;
    return FV_OK;
}

fv_err fv_shape_read_fields(const fv_json *object, const fv_shape_field *fields, fv_key_style style,
                            void *out)
{
    for (const fv_shape_field *field = fields; field->name; field++) {
        int *member = (int *)((char *)out + field->offset);
        FV_TRY(read_field(object, field, style == FV_KEY_CONFIG ? field->key : field->name, member));
    }
    return FV_OK;
}

static fv_err append_eos(const fv_json *value, const char *key, fv_model_shape *out)
{
    int64_t id = -1;
    FV_TRY(fv_json_to_integer(value, key, &id));
    FV_CHECK(id >= 0 && id <= INT_MAX, FV_ERR_FORMAT, "\"%s\" has %lld, expected a token id", key,
             (long long)id);
    out->eos_ids[out->n_eos++] = (int32_t)id;
    return FV_OK;
}

fv_err fv_shape_read_eos(const fv_json *object, const char *key, fv_model_shape *out)
{
    const fv_json *value = fv_json_get(object, key);
    if (!value || fv_json_kind_of(value) == FV_JSON_NULL)
        return FV_OK;
    out->n_eos = 0;
    if (fv_json_kind_of(value) != FV_JSON_ARRAY)
        return append_eos(value, key, out);
    FV_CHECK(fv_json_size(value) <= FV_MAX_EOS, FV_ERR_UNSUPPORTED, "\"%s\" lists %zu tokens, at most %d",
             key, fv_json_size(value), FV_MAX_EOS);
    for (size_t i = 0; i < fv_json_size(value); i++)
        FV_TRY(append_eos(fv_json_at(value, i), key, out));
    return FV_OK;
}

void fv_shape_derive(fv_model_shape *shape)
{
    fv_text_shape *text = &shape->text;
    text->has_qkv_bias = shape->family != FV_FAMILY_QWEN3;
    text->has_qk_norm = shape->family == FV_FAMILY_QWEN3;
    if (text->n_kv_heads == 0)
        text->n_kv_heads = text->n_heads;
    if (text->head_dim == 0 && text->n_heads > 0 && text->hidden % text->n_heads == 0)
        text->head_dim = text->hidden / text->n_heads;
    if (shape->family != FV_FAMILY_QWEN2_5_VL)
        text->mrope_section[0] = text->head_dim / 2;
}
