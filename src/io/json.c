#include "fovea/io/json.h"
#include "fovea/base/file.h"
#include "fovea/base/text/slice.h"
#include "fovea/base/text/utf8.h"
#include "io/json_mend.h"

#include <jansson.h>
#include <string.h>

enum { MAX_DEPTH = 512, MAX_BYTES = 1 << 30 };

/* fv_json is jansson's json_t under another name. */
static json_t *own(const fv_json *value)
{
    return (json_t *)value;
}

static const char *kind_name(const json_t *value)
{
    static const char *const names[] = {"null",     "a boolean", "an integer", "a real number",
                                        "a string", "an array",  "an object"};
    return value ? names[fv_json_kind_of((const fv_json *)value)] : "nothing";
}

/* jansson's own bound on nesting (2048) leaves no room for other code on a small stack. */
static fv_err check_depth(const char *text, size_t size, const char *name)
{
    int depth = 0, in_string = 0;
    size_t line = 1;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        line += c == '\n';
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '{' || c == '['))
            FV_CHECK(++depth <= MAX_DEPTH, FV_ERR_FORMAT, "%s:%zu: nested more than %d levels deep", name,
                     line, MAX_DEPTH);
        else if (!in_string && (c == '}' || c == ']'))
            depth--;
    }
    return FV_OK;
}

/* The name of the root's member that a place belongs to; empty if there is none. */
static fv_slice member_at(const char *text, size_t place)
{
    int depth = 0, in_string = 0;
    size_t first = 0;
    fv_slice last = {0}, name = {0};
    for (size_t i = 0; i < place; i++) {
        char c = text[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"' && !(in_string = !in_string))
            last = (fv_slice){text + first, i - first};
        else if (c == '"')
            first = i + 1;
        else if (!in_string && depth == 1 && (c == ':' || c == ','))
            name = c == ':' ? last : (fv_slice){0};
        depth += in_string ? 0 : (c == '{' || c == '[') - (c == '}' || c == ']');
    }
    return name;
}

static fv_err parse(const char *text, size_t size, const char *name, size_t flags, fv_json **out)
{
    *out = NULL;
    FV_CHECK(size <= MAX_BYTES, FV_ERR_FORMAT, "%s: %zu bytes of JSON, at most %d are read", name, size,
             MAX_BYTES);
    FV_TRY(check_depth(text, size, name));
    json_error_t reason;
    json_t *root = json_loadb(text ? text : "", size, JSON_ALLOW_NUL | JSON_DECODE_ANY | flags, &reason);
    *out = (fv_json *)root;
    if (root)
        return FV_OK;
    size_t place = reason.position > 0 && (size_t)reason.position < size ? (size_t)reason.position : 0;
    fv_slice member = member_at(text, place);
    return FV_FAIL(FV_ERR_FORMAT, "%s:%d:%d: not valid JSON: %s%s%.*s%s", name, reason.line, reason.column,
                   reason.text, member.size ? ", in \"" : "", (int)(member.size < 64 ? member.size : 64),
                   member.size ? member.data : "", member.size ? "\"" : "");
}

fv_err fv_json_parse(const char *text, size_t size, const char *name, fv_json **out)
{
    return parse(text, size, name, JSON_REJECT_DUPLICATES, out);
}

fv_err fv_json_parse_foreign(const char *text, size_t size, const char *name, fv_json **out)
{
    fv_buffer mended = {0};
    *out = NULL;
    fv_err err = fv_json_mend(text, size, &mended);
    if (err == FV_OK)
        err = parse(mended.data, mended.size, name, 0, out);
    fv_buffer_fini(&mended);
    return err;
}

static fv_err load(const char *path, fv_json **out,
                   fv_err (*read)(const char *text, size_t size, const char *name, fv_json **out))
{
    *out = NULL;
    fv_file_map map;
    FV_TRY(fv_file_open_map(path, &map));
    fv_err err = read((const char *)map.data, map.size, path, out);
    fv_file_close_map(&map);
    return err;
}

fv_err fv_json_load(const char *path, fv_json **out)
{
    return load(path, out, fv_json_parse);
}

fv_err fv_json_load_foreign(const char *path, fv_json **out)
{
    return load(path, out, fv_json_parse_foreign);
}

void fv_json_destroy(fv_json *root)
{
    json_decref(own(root));
}

fv_json_kind fv_json_kind_of(const fv_json *value)
{
    if (!value)
        return FV_JSON_NULL;
    switch (json_typeof(own(value))) {
    case JSON_TRUE:
    case JSON_FALSE:
        return FV_JSON_BOOL;
    case JSON_INTEGER:
        return FV_JSON_INTEGER;
    case JSON_REAL:
        return FV_JSON_REAL;
    case JSON_STRING:
        return FV_JSON_STRING;
    case JSON_ARRAY:
        return FV_JSON_ARRAY;
    case JSON_OBJECT:
        return FV_JSON_OBJECT;
    default:
        return FV_JSON_NULL;
    }
}

fv_json *fv_json_get(const fv_json *object, const char *key)
{
    return (fv_json *)json_object_get(own(object), key);
}

fv_json *fv_json_at(const fv_json *array, size_t index)
{
    return (fv_json *)json_array_get(own(array), index);
}

size_t fv_json_size(const fv_json *value)
{
    return json_is_object(own(value)) ? json_object_size(own(value)) : json_array_size(own(value));
}

void *fv_json_first(const fv_json *object)
{
    return json_object_iter(own(object));
}

void *fv_json_next(const fv_json *object, void *iterator)
{
    return json_object_iter_next(own(object), iterator);
}

const char *fv_json_key(void *iterator)
{
    return json_object_iter_key(iterator);
}

fv_json *fv_json_member(void *iterator)
{
    return (fv_json *)json_object_iter_value(iterator);
}

fv_err fv_json_to_integer(const fv_json *value, const char *what, int64_t *out)
{
    FV_CHECK(json_is_integer(own(value)), FV_ERR_FORMAT, "\"%s\" is %s, expected an integer", what,
             kind_name(own(value)));
    *out = json_integer_value(own(value));
    return FV_OK;
}

fv_err fv_json_to_real(const fv_json *value, const char *what, double *out)
{
    FV_CHECK(json_is_number(own(value)), FV_ERR_FORMAT, "\"%s\" is %s, expected a number", what,
             kind_name(own(value)));
    *out = json_number_value(own(value));
    return FV_OK;
}

fv_err fv_json_to_bool(const fv_json *value, const char *what, int *out)
{
    FV_CHECK(json_is_boolean(own(value)), FV_ERR_FORMAT, "\"%s\" is %s, expected true or false", what,
             kind_name(own(value)));
    *out = json_is_true(own(value));
    return FV_OK;
}

fv_err fv_json_to_string(const fv_json *value, const char *what, const char **out, size_t *size)
{
    FV_CHECK(json_is_string(own(value)), FV_ERR_FORMAT, "\"%s\" is %s, expected a string", what,
             kind_name(own(value)));
    *out = json_string_value(own(value));
    if (size)
        *size = json_string_length(own(value));
    return FV_OK;
}

static const fv_json *present(const fv_json *object, const char *key)
{
    const json_t *value = json_object_get(own(object), key);
    return value && !json_is_null(value) ? (const fv_json *)value : NULL;
}

fv_err fv_json_get_integer(const fv_json *object, const char *key, int64_t *out)
{
    const fv_json *value = present(object, key);
    return value ? fv_json_to_integer(value, key, out) : FV_OK;
}

fv_err fv_json_get_real(const fv_json *object, const char *key, double *out)
{
    const fv_json *value = present(object, key);
    return value ? fv_json_to_real(value, key, out) : FV_OK;
}

fv_err fv_json_get_bool(const fv_json *object, const char *key, int *out)
{
    const fv_json *value = present(object, key);
    return value ? fv_json_to_bool(value, key, out) : FV_OK;
}

fv_err fv_json_get_string(const fv_json *object, const char *key, const char **out)
{
    const fv_json *value = present(object, key);
    return value ? fv_json_to_string(value, key, out, NULL) : FV_OK;
}

fv_err fv_json_require_integer(const fv_json *object, const char *key, int64_t *out)
{
    return fv_json_to_integer(fv_json_get(object, key), key, out);
}

fv_err fv_json_require_real(const fv_json *object, const char *key, double *out)
{
    return fv_json_to_real(fv_json_get(object, key), key, out);
}

fv_json *fv_json_make_null(void)
{
    return (fv_json *)json_null();
}

fv_json *fv_json_make_object(void)
{
    return (fv_json *)json_object();
}

fv_json *fv_json_make_array(void)
{
    return (fv_json *)json_array();
}

fv_json *fv_json_make_integer(int64_t value)
{
    return (fv_json *)json_integer(value);
}

fv_json *fv_json_make_real(double value)
{
    return (fv_json *)json_real(value);
}

fv_json *fv_json_make_bool(int value)
{
    return (fv_json *)json_boolean(value);
}

fv_json *fv_json_make_string(const char *text, size_t size)
{
    fv_buffer valid = {0};
    json_t *value = NULL;
    if (fv_buffer_append_valid(&valid, text, size) == FV_OK)
        value = json_stringn(valid.data ? valid.data : "", valid.size);
    fv_buffer_fini(&valid);
    return (fv_json *)value;
}

fv_json *fv_json_copy(const fv_json *value)
{
    return (fv_json *)json_deep_copy(own(value));
}

fv_err fv_json_set(fv_json *object, const char *key, fv_json *take)
{
    FV_CHECK(json_object_set_new(own(object), key, own(take)) == 0, FV_ERR_MEMORY,
             "cannot set JSON member \"%s\"", key);
    return FV_OK;
}

fv_err fv_json_set_text(fv_json *object, const char *key, const char *text)
{
    return fv_json_set(object, key, fv_json_make_string(text, strlen(text)));
}

fv_err fv_json_set_hash(fv_json *object, const char *key, uint64_t hash)
{
    char text[17];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
    return fv_json_set_text(object, key, text);
}

fv_err fv_json_append(fv_json *array, fv_json *take)
{
    FV_CHECK(json_array_append_new(own(array), own(take)) == 0, FV_ERR_MEMORY,
             "cannot append to a JSON array");
    return FV_OK;
}

void fv_json_remove(fv_json *object, const char *key)
{
    json_object_del(own(object), key);
}

static int append_text(const char *text, size_t size, void *buffer)
{
    return fv_buffer_append(buffer, text, size) == FV_OK ? 0 : -1;
}

fv_err fv_json_print(const fv_json *value, int indent, fv_buffer *out)
{
    int flags = JSON_ENCODE_ANY | JSON_REAL_PRECISION(17) | (indent ? JSON_INDENT(indent) : 0);
    FV_CHECK(json_dump_callback(own(value), append_text, out, (size_t)flags) == 0, FV_ERR_MEMORY,
             "cannot write a JSON document");
    return FV_OK;
}
