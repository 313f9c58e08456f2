/* What a tokenizer.json may ask for. Anything else is refused: silently different ids would be worse. */
#include "model/tokenizer/tokenizer_internal.h"

#include <string.h>

/* The "type" of a part; "none" if the part is absent or null. */
static fv_err part_type(const fv_json *part, const char *name, const char *key, const char **type)
{
    *type = "none";
    if (!part || fv_json_kind_of(part) == FV_JSON_NULL)
        return FV_OK;
    FV_CHECK(fv_json_kind_of(part) == FV_JSON_OBJECT, FV_ERR_FORMAT, "%s: \"%s\" is not an object", name,
             key);
    *type = "without a type";
    fv_err err = fv_json_get_string(part, "type", type);
    return err ? fv_error_prefix(err, "%s: %s", name, key) : FV_OK;
}

static fv_err expect_type(const fv_json *part, const char *name, const char *key, const char *expected)
{
    const char *type;
    FV_TRY(part_type(part, name, key, &type));
    FV_CHECK(strcmp(type, expected) == 0, FV_ERR_UNSUPPORTED,
             "%s: the %s is %s, supported is %s as in Qwen2, Qwen2.5 and Qwen3", name, key, type, expected);
    return FV_OK;
}

static fv_err expect_false(const fv_json *part, const char *name, const char *key)
{
    int value = 0;
    fv_err err = fv_json_get_bool(part, key, &value);
    if (err)
        return fv_error_prefix(err, "%s", name);
    FV_CHECK(!value, FV_ERR_UNSUPPORTED, "%s: %s is true, supported is false", name, key);
    return FV_OK;
}

static fv_err expect_empty(const fv_json *model, const char *name, const char *key)
{
    const char *value = "";
    fv_err err = fv_json_get_string(model, key, &value);
    if (err)
        return fv_error_prefix(err, "%s: model", name);
    FV_CHECK(!*value, FV_ERR_UNSUPPORTED, "%s: the model's %s is \"%s\", supported is none", name, key,
             value);
    return FV_OK;
}

static fv_err check_model(const fv_json *model, const char *name)
{
    FV_TRY(expect_type(model, name, "model", "BPE"));
    FV_TRY(expect_empty(model, name, "continuing_subword_prefix"));
    FV_TRY(expect_empty(model, name, "end_of_word_suffix"));
    FV_TRY(expect_false(model, name, "ignore_merges"));
    double dropout = 0;
    fv_err err = fv_json_get_real(model, "dropout", &dropout);
    if (err)
        return fv_error_prefix(err, "%s: model", name);
    FV_CHECK(dropout == 0, FV_ERR_UNSUPPORTED, "%s: the model's dropout is %g, supported is none", name,
             dropout);
    return FV_OK;
}

static fv_err check_split(const fv_json *split, const char *name)
{
    const char *regex = "none", *behavior = "none";
    FV_TRY(expect_type(split, name, "first pre-tokenizer", "Split"));
    FV_TRY(fv_json_get_string(fv_json_get(split, "pattern"), "Regex", &regex));
    FV_TRY(fv_json_get_string(split, "behavior", &behavior));
    FV_CHECK(strcmp(regex, FV_QWEN2_SPLIT) == 0, FV_ERR_UNSUPPORTED,
             "%s: the split rule is the regex %.400s, supported is only Qwen2's %s", name, regex,
             FV_QWEN2_SPLIT);
    FV_CHECK(strcmp(behavior, "Isolated") == 0, FV_ERR_UNSUPPORTED,
             "%s: the split behavior is %s, supported is Isolated", name, behavior);
    return expect_false(split, name, "invert");
}

static fv_err check_pre_tokenizer(const fv_json *part, const char *name)
{
    FV_TRY(expect_type(part, name, "pre_tokenizer", "Sequence"));
    const fv_json *steps = fv_json_get(part, "pretokenizers");
    FV_CHECK(fv_json_size(steps) == 2, FV_ERR_UNSUPPORTED,
             "%s: the pre_tokenizer has %zu steps, supported are 2: Split and ByteLevel", name,
             fv_json_size(steps));
    FV_TRY(check_split(fv_json_at(steps, 0), name));
    const fv_json *bytes = fv_json_at(steps, 1);
    FV_TRY(expect_type(bytes, name, "second pre-tokenizer", "ByteLevel"));
    /* The reference takes both as true where the file does not say. */
    FV_CHECK(
        fv_json_get(bytes, "add_prefix_space") && fv_json_get(bytes, "use_regex"), FV_ERR_UNSUPPORTED,
        "%s: the ByteLevel pre-tokenizer lacks add_prefix_space or use_regex, supported is false for both",
        name);
    FV_TRY(expect_false(bytes, name, "add_prefix_space"));
    return expect_false(bytes, name, "use_regex");
}

/* Whether a template gives a text alone as it is. */
static int is_empty_template(const fv_json *single)
{
    return fv_json_size(single) == 1 && fv_json_get(fv_json_at(single, 0), "Sequence");
}

/* Byte levels change offsets alone, and a template may add no token. */
static fv_err check_post_processor(const fv_json *part, const char *name)
{
    const char *type;
    FV_TRY(part_type(part, name, "post_processor", &type));
    if (strcmp(type, "Sequence") == 0) {
        const fv_json *steps = fv_json_get(part, "processors");
        for (size_t i = 0; i < fv_json_size(steps); i++)
            FV_TRY(check_post_processor(fv_json_at(steps, i), name));
        return FV_OK;
    }
    int is_template = strcmp(type, "TemplateProcessing") == 0;
    FV_CHECK(is_template || strcmp(type, "none") == 0 || strcmp(type, "ByteLevel") == 0, FV_ERR_UNSUPPORTED,
             "%s: the post_processor is %s, supported are those that add no token", name, type);
    FV_CHECK(!is_template || is_empty_template(fv_json_get(part, "single")), FV_ERR_UNSUPPORTED,
             "%s: the post_processor adds tokens to a text, supported are those that add none", name);
    return FV_OK;
}

fv_err fv_tokenizer_check(const fv_json *root, const char *name)
{
    FV_CHECK(fv_json_kind_of(root) == FV_JSON_OBJECT, FV_ERR_FORMAT,
             "%s: not a JSON object, expected a tokenizer", name);
    FV_TRY(check_model(fv_json_get(root, "model"), name));
    FV_TRY(expect_type(fv_json_get(root, "normalizer"), name, "normalizer", "NFC"));
    FV_TRY(check_pre_tokenizer(fv_json_get(root, "pre_tokenizer"), name));
    FV_TRY(expect_type(fv_json_get(root, "decoder"), name, "decoder", "ByteLevel"));
    return check_post_processor(fv_json_get(root, "post_processor"), name);
}
