#include "model/shape/shape_fields.h"

#include "fovea/io/yaml.h"

#include <limits.h>
#include <string.h>

static const char *const root_keys[] = {"family",          "text",          "vision",   "eos_ids",
                                        "pad_id",          "bos_id",        "image_id", "video_id",
                                        "vision_start_id", "vision_end_id", NULL};
static const char *const text_keys[] = {"sliding_window", "mrope_section", "tied",
                                        "rope_theta",     "norm_eps",      NULL};
static const char *const vision_keys[] = {"full_attention", NULL};

static int is_known(const char *key, const fv_shape_field *fields, const char *const *names)
{
    for (; fields && fields->name; fields++)
        if (strcmp(fields->name, key) == 0)
            return 1;
    while (*names && strcmp(*names, key) != 0)
        names++;
    return *names != NULL;
}

static fv_err check_keys(const fv_yaml *yaml, const fv_json *object, const fv_shape_field *fields,
                         const char *const *names)
{
    FV_CHECK(object && fv_json_kind_of(object) == FV_JSON_OBJECT, FV_ERR_FORMAT,
             "a section is missing or not a list of keys");
    for (void *i = fv_json_first(object); i; i = fv_json_next(object, i))
        FV_CHECK(is_known(fv_json_key(i), fields, names), FV_ERR_FORMAT, "line %d: unknown key \"%.64s\"",
                 fv_yaml_line(yaml, object, fv_json_key(i), 0), fv_json_key(i));
    return FV_OK;
}

static fv_err read_int(const fv_json *object, const char *key, int *out)
{
    int64_t value = *out;
    FV_TRY(fv_json_get_integer(object, key, &value));
    FV_CHECK(value >= -1 && value <= INT_MAX, FV_ERR_FORMAT, "\"%s\" is %lld, expected -1 to %d", key,
             (long long)value, INT_MAX);
    *out = (int)value;
    return FV_OK;
}

static fv_err read_text(const fv_json *text, fv_text_shape *out)
{
    double theta = 1e4, eps = 1e-6;
    const fv_json *section = fv_json_get(text, "mrope_section");
    FV_TRY(fv_shape_read_fields(text, fv_text_fields, FV_KEY_YAML, out));
    FV_CHECK(!section || fv_json_size(section) == 3, FV_ERR_FORMAT,
             "\"mrope_section\" has %zu items, expected 3", fv_json_size(section));
    for (size_t i = 0; section && i < 3; i++) {
        int64_t value = 0;
        FV_TRY(fv_json_to_integer(fv_json_at(section, i), "mrope_section", &value));
        FV_CHECK(value >= 0 && value <= FV_SIZE_MAX, FV_ERR_FORMAT, "\"mrope_section\" has %lld",
                 (long long)value);
        out->mrope_section[i] = (int)value;
    }
    FV_TRY(read_int(text, "sliding_window", &out->sliding_window));
    FV_TRY(fv_json_get_bool(text, "tied", &out->tied));
    FV_TRY(fv_json_get_real(text, "rope_theta", &theta));
    FV_TRY(fv_json_get_real(text, "norm_eps", &eps));
    out->rope_theta = (float)theta;
    out->norm_eps = (float)eps;
    return FV_OK;
}

static fv_err read_vision(const fv_json *vision, fv_vision_shape *out)
{
    const fv_json *list = fv_json_get(vision, "full_attention");
    FV_TRY(fv_shape_read_fields(vision, fv_vision_fields, FV_KEY_YAML, out));
    FV_CHECK(list && fv_json_kind_of(list) == FV_JSON_ARRAY, FV_ERR_FORMAT,
             "\"full_attention\" is missing or not a list of blocks");
    for (size_t i = 0; i < fv_json_size(list); i++) {
        int64_t block = 0;
        FV_TRY(fv_json_to_integer(fv_json_at(list, i), "full_attention", &block));
        FV_CHECK(block >= 0 && block < out->depth, FV_ERR_FORMAT,
                 "\"full_attention\" has block %lld, expected 0 to %d", (long long)block, out->depth - 1);
        out->full_attention[block] = 1;
    }
    return FV_OK;
}

static fv_err read_sections(const fv_yaml *yaml, const fv_json *root, fv_model_shape *out)
{
    const fv_json *text = fv_json_get(root, "text"), *vision = fv_json_get(root, "vision");
    fv_err err = check_keys(yaml, text, fv_text_fields, text_keys);
    if (err == FV_OK)
        err = read_text(text, &out->text);
    if (err != FV_OK)
        return fv_error_prefix(err, "text");
    if (!vision)
        return FV_OK;
    err = check_keys(yaml, vision, fv_vision_fields, vision_keys);
    if (err == FV_OK)
        err = read_vision(vision, &out->vision);
    if (err != FV_OK)
        return fv_error_prefix(err, "vision");
    return fv_shape_read_fields(root, fv_vision_id_fields, FV_KEY_YAML, out);
}

static fv_err read_shape(const fv_yaml *yaml, fv_model_shape *out)
{
    const fv_json *root = fv_yaml_root(yaml);
    const char *family = NULL;
    FV_TRY(check_keys(yaml, root, NULL, root_keys));
    FV_TRY(fv_json_to_string(fv_json_get(root, "family"), "family", &family, NULL));
    FV_TRY(fv_family_parse(family, &out->family));
    FV_TRY(read_sections(yaml, root, out));
    FV_TRY(fv_shape_read_eos(root, "eos_ids", out));
    FV_TRY(read_int(root, "pad_id", &out->pad_id));
    FV_TRY(read_int(root, "bos_id", &out->bos_id));
    fv_shape_derive(out);
    return fv_model_shape_check(out);
}

fv_err fv_model_shape_load_yaml(const char *path, fv_model_shape *out)
{
    fv_yaml *yaml = NULL;
    *out = fv_shape_empty;
    FV_TRY(fv_yaml_load(path, &yaml));
    fv_err err = read_shape(yaml, out);
    fv_yaml_destroy(yaml);
    return err == FV_OK ? FV_OK : fv_error_prefix(err, "%s", path);
}
