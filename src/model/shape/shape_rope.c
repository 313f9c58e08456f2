/* Rotary positions as config.json states them: transformers 5 has all in "rope_parameters", transformers 4
 * the base beside "rope_scaling", and edited files have both. Read as transformers 5.24 reads them; where two
 * places state different values the file is refused, for it may not mean what is then computed. */
#include "model/shape/shape_fields.h"

#include <math.h>
#include <string.h>

enum { MAX_KEYS = 9 };

static const struct kind {
    const char *name;
    fv_rope_kind kind;
    const char *keys[MAX_KEYS]; /* besides the common ones */
} kinds[] = {
    {"default", FV_ROPE_DEFAULT, {NULL}},
    {"mrope", FV_ROPE_DEFAULT, {NULL}},
    {"linear", FV_ROPE_LINEAR, {"factor"}},
    {"dynamic", FV_ROPE_DYNAMIC, {"factor", "original_max_position_embeddings"}},
    {"yarn",
     FV_ROPE_YARN,
     {"factor", "original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow", "mscale",
      "mscale_all_dim", "truncate"}},
    {"llama3",
     FV_ROPE_LLAMA3,
     {"factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor"}},
};

enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

const char *fv_rope_kind_name(fv_rope_kind kind)
{
    for (int i = 0; i < N_KINDS; i++)
        if (kinds[i].kind == kind)
            return kinds[i].name;
    return "unknown";
}

/* What one place states. */
typedef struct rope {
    const char *name; /* of the place */
    int has_theta, has_section;
    double theta;
    int section[3];
    fv_rope_scaling scaling;
} rope;

static int states(const fv_json *object, const char *key)
{
    const fv_json *value = fv_json_get(object, key);
    return value && fv_json_kind_of(value) != FV_JSON_NULL;
}

/* A place that is absent, null or empty states nothing. */
static fv_err find_place(const fv_json *text, const char *name, const fv_json **out)
{
    const fv_json *place = fv_json_get(text, name);
    *out = NULL;
    if (!states(text, name))
        return FV_OK;
    FV_CHECK(fv_json_kind_of(place) == FV_JSON_OBJECT, FV_ERR_FORMAT, "\"%s\" is not an object", name);
    *out = fv_json_size(place) ? place : NULL;
    return FV_OK;
}

static fv_err find_kind(const char *name, fv_family family, const struct kind **out)
{
    *out = NULL;
    for (int i = 0; i < N_KINDS; i++)
        if (strcmp(kinds[i].name, name) == 0 && (i != 1 || family == FV_FAMILY_QWEN2_5_VL))
            *out = &kinds[i];
    FV_CHECK(
        *out, FV_ERR_UNSUPPORTED,
        "rotary positions of type \"%.64s\" are not supported here, only default, linear, dynamic, yarn, "
        "llama3 and, for Qwen2.5-VL, mrope",
        name);
    return FV_OK;
}

/* Newer files say "rope_type", older ones "type", some both: mrope beside another says nothing about rates.
 */
static fv_err read_kind(const fv_json *place, fv_family family, const struct kind **out)
{
    const char *type = NULL, *name = NULL;
    FV_TRY(fv_json_get_string(place, "type", &type));
    FV_TRY(fv_json_get_string(place, "rope_type", &name));
    name = name ? name : type ? type : "default";
    FV_TRY(find_kind(name, family, out));
    FV_CHECK(!type || strcmp(type, name) == 0 || strcmp(type, "mrope") == 0 ||
                 (strcmp(name, "mrope") == 0 && strcmp(type, "default") == 0),
             FV_ERR_FORMAT, "\"rope_type\" is \"%.64s\" but \"type\" \"%.64s\": remove the wrong one", name,
             type);
    return FV_OK;
}

static int is_key_of(const struct kind *kind, const char *key)
{
    static const char *const common[] = {"rope_type", "type", "rope_theta", "partial_rotary_factor",
                                         "mrope_section"};
    for (size_t i = 0; i < sizeof common / sizeof common[0]; i++)
        if (strcmp(common[i], key) == 0)
            return 1;
    for (int i = 0; i < MAX_KEYS && kind->keys[i]; i++)
        if (strcmp(kind->keys[i], key) == 0)
            return 1;
    return 0;
}

static fv_err check_keys(const fv_json *place, const struct kind *kind)
{
    for (void *i = fv_json_first(place); i; i = fv_json_next(place, i)) {
        fv_json_kind is = fv_json_kind_of(fv_json_member(i));
        FV_CHECK(is != FV_JSON_OBJECT, FV_ERR_UNSUPPORTED,
                 "rotary positions that differ between layers (\"%.64s\") are not supported", fv_json_key(i));
        FV_CHECK(is == FV_JSON_NULL || is_key_of(kind, fv_json_key(i)), FV_ERR_UNSUPPORTED,
                 "\"%.64s\" is not known for rotary positions of type %s", fv_json_key(i), kind->name);
    }
    return FV_OK;
}

static fv_err read_mrope_section(const fv_json *list, int section[3])
{
    FV_CHECK(fv_json_size(list) == 3, FV_ERR_FORMAT,
             "\"mrope_section\" has %zu items, expected a list of 3 numbers", fv_json_size(list));
    for (size_t i = 0; i < 3; i++) {
        int64_t value = 0;
        FV_TRY(fv_json_to_integer(fv_json_at(list, i), "mrope_section", &value));
        FV_CHECK(value >= 0 && value <= FV_SIZE_MAX, FV_ERR_FORMAT, "\"mrope_section\" has %lld",
                 (long long)value);
        section[i] = (int)value;
    }
    return FV_OK;
}

static fv_err check_partial(const fv_json *object)
{
    double partial = 1;
    FV_TRY(fv_json_get_real(object, "partial_rotary_factor", &partial));
    FV_CHECK(partial == 1, FV_ERR_UNSUPPORTED, "\"partial_rotary_factor\" is %g, only 1 is supported",
             partial);
    return FV_OK;
}

/* A number above 0 under key, *out if it is absent or null. */
static fv_err read_positive(const fv_json *object, const char *key, double *out)
{
    FV_TRY(fv_json_get_real(object, key, out));
    FV_CHECK(*out > 0 && isfinite(*out), FV_ERR_FORMAT, "\"%s\" is %g, expected a positive number", key,
             *out);
    return FV_OK;
}

/* The positions that the model was first trained for: beside the place, in it, or all that it has. */
static fv_err read_original(const fv_json *text, const fv_json *place, int max_positions, double *out)
{
    static const char key[] = "original_max_position_embeddings";
    *out = max_positions;
    FV_TRY(read_positive(text, key, out));
    double inside = *out;
    FV_TRY(read_positive(place, key, &inside));
    FV_CHECK(!states(text, key) || inside == *out, FV_ERR_FORMAT,
             "\"%s\" is %g, but %g among the settings of rotary positions: remove the wrong one", key, *out,
             inside);
    *out = inside;
    return FV_OK;
}

static double growth(double factor, double scale)
{
    return factor <= 1 ? 1 : 0.1 * scale * log(factor) + 1;
}

/* A missing factor is an error, null means what the positions say. */
static fv_err read_yarn(const fv_json *place, int max_positions, fv_rope_scaling *out)
{
    double scale = 0, scale_all = 0;
    const fv_json *truncate = fv_json_get(place, "truncate");
    out->fast = out->slow = 0;
    out->truncates = 1;
    if (fv_json_kind_of(fv_json_get(place, "factor")) == FV_JSON_NULL)
        out->factor = max_positions / out->original;
    FV_TRY(fv_json_get_real(place, "beta_fast", &out->fast));
    FV_TRY(fv_json_get_real(place, "beta_slow", &out->slow));
    FV_TRY(fv_json_get_real(place, "mscale", &scale));
    FV_TRY(fv_json_get_real(place, "mscale_all_dim", &scale_all));
    if (truncate)
        FV_TRY(fv_json_to_bool(truncate, "truncate", &out->truncates));
    out->fast = out->fast != 0 ? out->fast : 32;
    out->slow = out->slow != 0 ? out->slow : 1;
    FV_CHECK(out->fast > 0 && out->slow > 0, FV_ERR_FORMAT,
             "\"beta_fast\" is %g, \"beta_slow\" %g, expected "
             "positive numbers",
             out->fast, out->slow);
    int has_scales = scale != 0 && scale_all != 0;
    out->attention =
        has_scales ? growth(out->factor, scale) / growth(out->factor, scale_all) : growth(out->factor, 1);
    return read_positive(place, "attention_factor", &out->attention);
}

static fv_err read_llama3(const fv_json *place, fv_rope_scaling *out)
{
    FV_TRY(fv_json_require_real(place, "low_freq_factor", &out->slow));
    FV_TRY(fv_json_require_real(place, "high_freq_factor", &out->fast));
    FV_CHECK(out->slow > 0 && out->fast > out->slow, FV_ERR_FORMAT,
             "\"low_freq_factor\" is %g and \"high_freq_factor\" %g, expected a larger one above 0",
             out->slow, out->fast);
    return FV_OK;
}

static fv_err read_scaling(const fv_json *text, const fv_json *place, fv_rope_kind kind, int max_positions,
                           fv_rope_scaling *out)
{
    out->kind = kind;
    if (kind == FV_ROPE_DEFAULT)
        return FV_OK;
    FV_CHECK(fv_json_get(place, "factor"), FV_ERR_FORMAT, "\"factor\" of rotary positions is missing");
    out->factor = 1;
    FV_TRY(read_positive(place, "factor", &out->factor));
    if (kind != FV_ROPE_YARN && kind != FV_ROPE_LLAMA3)
        return FV_OK;
    FV_TRY(read_original(text, place, max_positions, &out->original));
    return kind == FV_ROPE_YARN ? read_yarn(place, max_positions, out) : read_llama3(place, out);
}

static fv_err read_place(const fv_json *text, const fv_json *place, const fv_model_shape *shape, rope *out)
{
    const struct kind *kind;
    FV_TRY(read_kind(place, shape->family, &kind));
    FV_TRY(check_keys(place, kind));
    FV_TRY(check_partial(place));
    out->has_theta = states(place, "rope_theta");
    FV_TRY(fv_json_get_real(place, "rope_theta", &out->theta));
    out->has_section = states(place, "mrope_section");
    if (out->has_section)
        FV_TRY(read_mrope_section(fv_json_get(place, "mrope_section"), out->section));
    return read_scaling(text, place, kind->kind, shape->text.max_positions, &out->scaling);
}

static int has_same_scaling(const fv_rope_scaling *a, const fv_rope_scaling *b)
{
    return a->kind == b->kind && a->truncates == b->truncates && a->factor == b->factor &&
           a->original == b->original && a->attention == b->attention && a->fast == b->fast &&
           a->slow == b->slow;
}

/* used is what will be computed; other states nothing else. */
static fv_err check_agrees(const rope *used, const rope *other)
{
    FV_CHECK(!other->has_theta || other->theta == used->theta, FV_ERR_FORMAT,
             "\"rope_theta\" is %g by %s%s, but %g by %s: make them equal", used->theta, used->name,
             used->has_theta ? "" : ", which states none", other->theta, other->name);
    FV_CHECK(!other->has_section || memcmp(other->section, used->section, sizeof used->section) == 0,
             FV_ERR_FORMAT,
             "\"mrope_section\" is [%d, %d, %d] by %s, but [%d, %d, %d] by %s: make them equal",
             used->section[0], used->section[1], used->section[2], used->name, other->section[0],
             other->section[1], other->section[2], other->name);
    FV_CHECK(other->scaling.kind == FV_ROPE_DEFAULT || has_same_scaling(&used->scaling, &other->scaling),
             FV_ERR_FORMAT, "%s and %s state different rotary positions (%s, %s): remove one", used->name,
             other->name, fv_rope_kind_name(used->scaling.kind), fv_rope_kind_name(other->scaling.kind));
    return FV_OK;
}

/* "rope_scaling" counts before "rope_parameters", each before what stands beside it. */
static fv_err resolve(const fv_json *text, const fv_model_shape *shape, rope *out)
{
    int is_vl = shape->family == FV_FAMILY_QWEN2_5_VL;
    const fv_json *scaling, *parameters;
    rope other = {.name = "\"rope_parameters\"", .section = {16, 24, 24}};
    rope beside = {.name = "\"rope_theta\" beside it", .theta = is_vl ? 1e6 : 1e4};
    FV_TRY(find_place(text, "rope_scaling", &scaling));
    FV_TRY(find_place(text, "rope_parameters", &parameters));
    FV_TRY(check_partial(text));
    beside.has_theta = states(text, "rope_theta");
    FV_TRY(fv_json_get_real(text, "rope_theta", &beside.theta));
    if (parameters)
        FV_TRY(read_place(text, parameters, shape, &other));
    *out = (rope){.name = "\"rope_scaling\"", .section = {16, 24, 24}};
    if (scaling)
        FV_TRY(read_place(text, scaling, shape, out));
    else
        *out = other;
    if (!out->has_theta)
        out->theta = beside.theta;
    FV_TRY(check_agrees(out, &beside));
    return check_agrees(out, &other);
}

/* Files of some versions repeat at the top what "text_config" says. */
static fv_err check_top(const fv_json *root, const fv_model_shape *shape, const rope *used)
{
    rope top;
    int states_scaling = fv_json_size(fv_json_get(root, "rope_scaling")) > 0 ||
                         fv_json_size(fv_json_get(root, "rope_parameters")) > 0;
    int states_theta = states(root, "rope_theta");
    if (!states_scaling && !states_theta)
        return FV_OK;
    FV_TRY(resolve(root, shape, &top));
    top.name = "the top of the file";
    top.has_theta |= states_theta;
    FV_TRY(check_agrees(used, &top));
    FV_CHECK(!states_scaling || used->scaling.kind == top.scaling.kind, FV_ERR_FORMAT,
             "\"text_config\" and the top of the file state different rotary positions (%s, %s): remove one",
             fv_rope_kind_name(used->scaling.kind), fv_rope_kind_name(top.scaling.kind));
    return FV_OK;
}

fv_err fv_shape_read_rope(const fv_json *root, const fv_json *text, fv_model_shape *out)
{
    rope used;
    FV_TRY(resolve(text, out, &used));
    if (text != root)
        FV_TRY(check_top(root, out, &used));
    out->text.rope_theta = (float)used.theta;
    out->text.rope = used.scaling;
    if (out->family == FV_FAMILY_QWEN2_5_VL)
        memcpy(out->text.mrope_section, used.section, sizeof used.section);
    return FV_OK;
}

/* The vision tower's, which transformers 5 writes too, are always the same. */
fv_err fv_shape_check_vision_rope(const fv_json *vision)
{
    const fv_json *place;
    const char *type = "default";
    double theta = 1e4;
    FV_TRY(find_place(vision, "rope_parameters", &place));
    FV_TRY(fv_json_get_string(place, "rope_type", &type));
    FV_TRY(fv_json_get_real(place, "rope_theta", &theta));
    FV_TRY(check_partial(place));
    FV_CHECK(theta == 1e4 && (strcmp(type, "default") == 0 || strcmp(type, "axial") == 0), FV_ERR_UNSUPPORTED,
             "the vision tower's rotary positions are of type \"%.64s\" with \"rope_theta\" %g, supported is "
             "axial with 10000",
             type, theta);
    return FV_OK;
}
