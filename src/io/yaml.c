#include "fovea/io/yaml.h"
#include "fovea/base/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { MAX_DEPTH = 64, MAX_BYTES = 1 << 20 };

/* Where a member or an item stands. */
typedef struct place {
    const fv_json *container;
    size_t index; /* in its container */
    int line;
} place;

struct fv_yaml {
    fv_json *root; /* owned */
    place *places; /* owned */
    size_t n_places, capacity;
};

typedef struct reader {
    yaml_parser_t parser;
    const char *name;
    fv_yaml *out;
    int depth;
} reader;

#define CHECK_AT(in, event, condition, ...)                                     \
    do {                                                                        \
        if (!(condition))                                                       \
            return fail_at((in), (event), FV_FAIL(FV_ERR_FORMAT, __VA_ARGS__)); \
    } while (0)

static fv_err fail_at(const reader *in, const yaml_event_t *event, fv_err code)
{
    return fv_error_prefix(code, "%s:%zu:%zu", in->name, event->start_mark.line + 1,
                           event->start_mark.column + 1);
}

static fv_err next_event(reader *in, yaml_event_t *event)
{
    if (yaml_parser_parse(&in->parser, event))
        return FV_OK;
    const yaml_parser_t *parser = &in->parser;
    FV_CHECK(parser->error != YAML_MEMORY_ERROR, FV_ERR_MEMORY, "%s: no memory to read YAML", in->name);
    const yaml_mark_t *mark = &parser->problem_mark;
    FV_CHECK(parser->error != YAML_READER_ERROR, FV_ERR_FORMAT, "%s: not valid YAML: %s at byte %zu",
             in->name, parser->problem, parser->problem_offset);
    return FV_FAIL(FV_ERR_FORMAT, "%s:%zu:%zu: not valid YAML: %s%s%s", in->name, mark->line + 1,
                   mark->column + 1, parser->context ? parser->context : "", parser->context ? ", " : "",
                   parser->problem ? parser->problem : "unknown problem");
}

static fv_err add_place(fv_yaml *yaml, const fv_json *container, size_t index, size_t line)
{
    if (yaml->n_places == yaml->capacity) {
        size_t capacity = yaml->capacity ? 2 * yaml->capacity : 64;
        place *places = realloc(yaml->places, capacity * sizeof *places);
        FV_CHECK(places, FV_ERR_MEMORY, "no memory for %zu lines of YAML", capacity);
        yaml->places = places;
        yaml->capacity = capacity;
    }
    yaml->places[yaml->n_places++] = (place){container, index, (int)line + 1};
    return FV_OK;
}

static int is_one_of(const char *text, const char *const *names)
{
    while (*names && strcmp(text, *names) != 0)
        names++;
    return *names != NULL;
}

/* [-+]? (. [0-9]+ | [0-9]+ (. [0-9]*)?) ([eE] [-+]? [0-9]+)?; *is_integer if it has neither point nor
 * exponent. */
static int is_number(const char *text, int *is_integer)
{
    static const char digits[] = "0123456789";
    text += *text == '-' || *text == '+';
    size_t whole = strspn(text, digits), fraction = 0;
    text += whole;
    *is_integer = *text == '\0';
    if (*text == '.') {
        fraction = strspn(text + 1, digits);
        text += 1 + fraction;
    }
    if (whole + fraction == 0)
        return 0;
    if (*text == 'e' || *text == 'E') {
        text += 1 + (text[1] == '-' || text[1] == '+');
        size_t exponent = strspn(text, digits);
        text += exponent;
        if (exponent == 0)
            return 0;
    }
    return *text == '\0';
}

static int is_based(const char *text, const char *prefix, const char *digits)
{
    size_t n = strlen(prefix);
    return strncmp(text, prefix, n) == 0 && text[n] && text[n + strspn(text + n, digits)] == '\0';
}

static fv_err make_integer(const char *text, int base, fv_json **out)
{
    errno = 0;
    long long value = strtoll(text, NULL, base);
    FV_CHECK(errno == 0, FV_ERR_FORMAT, "the number %.64s does not fit 64 bits", text);
    *out = fv_json_make_integer(value);
    return FV_OK;
}

static fv_err make_real(const char *text, fv_json **out)
{
    *out = fv_json_make_real(strtod(text, NULL));
    FV_CHECK(*out, FV_ERR_FORMAT, "the number %.64s is too large", text);
    return FV_OK;
}

static fv_err make_plain(const char *text, size_t size, fv_json **out)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const yes[] = {"true", "True", "TRUE", NULL};
    static const char *const no[] = {"false", "False", "FALSE", NULL};
    static const char *const endless[] = {".inf",  ".Inf",  ".INF", "+.inf", "+.Inf", "+.INF", "-.inf",
                                          "-.Inf", "-.INF", ".nan", ".NaN",  ".NAN",  NULL};
    int is_integer;
    if (is_one_of(text, nulls))
        *out = fv_json_make_null();
    else if (is_one_of(text, yes) || is_one_of(text, no))
        *out = fv_json_make_bool(is_one_of(text, yes));
    else if (is_number(text, &is_integer))
        return is_integer ? make_integer(text, 10, out) : make_real(text, out);
    else if (is_based(text, "0o", "01234567"))
        return make_integer(text + 2, 8, out);
    else if (is_based(text, "0x", "0123456789abcdefABCDEF"))
        return make_integer(text + 2, 16, out);
    else if (is_one_of(text, endless))
        return FV_FAIL(FV_ERR_FORMAT, "%s is not a finite number", text);
    else
        *out = fv_json_make_string(text, size);
    return FV_OK;
}

static fv_err read_scalar(const reader *in, const yaml_event_t *event, fv_json **out)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t size = event->data.scalar.length;
    CHECK_AT(in, event, !event->data.scalar.anchor && !event->data.scalar.tag,
             "anchors and tags are not supported");
    fv_err err = FV_OK;
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && strlen(text) == size)
        err = make_plain(text, size, out);
    else
        *out = fv_json_make_string(text, size);
    if (err != FV_OK)
        return fail_at(in, event, err);
    FV_CHECK(*out, FV_ERR_MEMORY, "%s: no memory for a scalar", in->name);
    return FV_OK;
}

static fv_err read_value(reader *in, const yaml_event_t *event, fv_json **out);

static fv_err read_items(reader *in, fv_json *array)
{
    for (size_t index = 0;; index++) {
        yaml_event_t event;
        fv_json *item = NULL;
        FV_TRY(next_event(in, &event));
        size_t line = event.start_mark.line;
        int ended = event.type == YAML_SEQUENCE_END_EVENT;
        fv_err err = ended ? FV_OK : read_value(in, &event, &item);
        yaml_event_delete(&event);
        if (ended || err != FV_OK)
            return err;
        FV_TRY(fv_json_append(array, item));
        FV_TRY(add_place(in->out, array, index, line));
    }
}

/* The value of a key, whose event is given. */
static fv_err read_member(reader *in, const yaml_event_t *key, fv_json *object)
{
    CHECK_AT(in, key, key->type == YAML_SCALAR_EVENT, "a key must be one word or a quoted text");
    const char *text = (const char *)key->data.scalar.value;
    CHECK_AT(in, key, !key->data.scalar.anchor && !key->data.scalar.tag,
             "anchors and tags are not supported");
    CHECK_AT(in, key, strlen(text) == key->data.scalar.length, "a key holds a NUL");
    CHECK_AT(in, key, !fv_json_get(object, text), "key \"%.64s\" is there twice", text);
    yaml_event_t event;
    fv_json *value = NULL;
    FV_TRY(next_event(in, &event));
    fv_err err = read_value(in, &event, &value);
    yaml_event_delete(&event);
    FV_TRY(err);
    FV_TRY(fv_json_set(object, text, value));
    return add_place(in->out, object, fv_json_size(object) - 1, key->start_mark.line);
}

static fv_err read_members(reader *in, fv_json *object)
{
    for (;;) {
        yaml_event_t key;
        FV_TRY(next_event(in, &key));
        int ended = key.type == YAML_MAPPING_END_EVENT;
        fv_err err = ended ? FV_OK : read_member(in, &key, object);
        yaml_event_delete(&key);
        if (ended || err != FV_OK)
            return err;
    }
}

static fv_err read_container(reader *in, const yaml_event_t *event, fv_json **out)
{
    int is_list = event->type == YAML_SEQUENCE_START_EVENT;
    const yaml_char_t *anchor =
        is_list ? event->data.sequence_start.anchor : event->data.mapping_start.anchor;
    const yaml_char_t *tag = is_list ? event->data.sequence_start.tag : event->data.mapping_start.tag;
    CHECK_AT(in, event, !anchor && !tag, "anchors and tags are not supported");
    CHECK_AT(in, event, in->depth < MAX_DEPTH, "nested more than %d levels deep", MAX_DEPTH);
    fv_json *made = is_list ? fv_json_make_array() : fv_json_make_object();
    FV_CHECK(made, FV_ERR_MEMORY, "%s: no memory", in->name);
    in->depth++;
    fv_err err = is_list ? read_items(in, made) : read_members(in, made);
    in->depth--;
    if (err != FV_OK)
        fv_json_destroy(made);
    else
        *out = made;
    return err;
}

static fv_err read_value(reader *in, const yaml_event_t *event, fv_json **out)
{
    if (event->type == YAML_SCALAR_EVENT)
        return read_scalar(in, event, out);
    CHECK_AT(in, event, event->type != YAML_ALIAS_EVENT, "aliases (\"*%.64s\") are not supported",
             (const char *)event->data.alias.anchor);
    return read_container(in, event, out);
}

/* The events around the value: stream start, document start, value, document end, stream end. */
static fv_err read_document(reader *in)
{
    for (;;) {
        yaml_event_t event;
        FV_TRY(next_event(in, &event));
        yaml_event_type_t type = event.type;
        fv_err err = FV_OK;
        if (type == YAML_DOCUMENT_START_EVENT && in->out->root)
            err = fail_at(in, &event, FV_FAIL(FV_ERR_FORMAT, "a second document begins, expected one"));
        else if (type != YAML_STREAM_START_EVENT && type != YAML_DOCUMENT_START_EVENT &&
                 type != YAML_DOCUMENT_END_EVENT && type != YAML_STREAM_END_EVENT)
            err = read_value(in, &event, &in->out->root);
        yaml_event_delete(&event);
        if (err != FV_OK || type == YAML_STREAM_END_EVENT)
            return err;
    }
}

fv_err fv_yaml_parse(const char *text, size_t size, const char *name, fv_yaml **out)
{
    *out = NULL;
    FV_CHECK(size <= MAX_BYTES, FV_ERR_FORMAT, "%s: %zu bytes of YAML, at most %d are read", name, size,
             MAX_BYTES);
    reader in = {.name = name, .out = calloc(1, sizeof *in.out)};
    FV_CHECK(in.out, FV_ERR_MEMORY, "%s: no memory", name);
    fv_err err;
    if (yaml_parser_initialize(&in.parser)) {
        yaml_parser_set_input_string(&in.parser, (const unsigned char *)(text ? text : ""), size);
        err = read_document(&in);
        yaml_parser_delete(&in.parser);
    } else {
        err = FV_FAIL(FV_ERR_MEMORY, "%s: no memory", name);
    }
    if (err == FV_OK && !in.out->root)
        in.out->root = fv_json_make_null();
    if (err != FV_OK)
        fv_yaml_destroy(in.out);
    else
        *out = in.out;
    return err;
}

fv_err fv_yaml_load(const char *path, fv_yaml **out)
{
    fv_file_map map;
    *out = NULL;
    FV_TRY(fv_file_open_map(path, &map));
    fv_err err = fv_yaml_parse((const char *)map.data, map.size, path, out);
    fv_file_close_map(&map);
    return err;
}

void fv_yaml_destroy(fv_yaml *yaml)
{
    if (!yaml)
        return;
    fv_json_destroy(yaml->root);
    free(yaml->places);
    free(yaml);
}

const fv_json *fv_yaml_root(const fv_yaml *yaml)
{
    return yaml->root;
}

/* Members keep the order of the file, so a key's place is its rank among them. */
static size_t rank_of(const fv_json *object, const char *key)
{
    size_t rank = 0;
    for (void *i = fv_json_first(object); i && strcmp(fv_json_key(i), key) != 0; i = fv_json_next(object, i))
        rank++;
    return rank;
}

int fv_yaml_line(const fv_yaml *yaml, const fv_json *container, const char *key, size_t index)
{
    if (key)
        index = rank_of(container, key);
    for (size_t i = 0; i < yaml->n_places; i++)
        if (yaml->places[i].container == container && yaml->places[i].index == index)
            return yaml->places[i].line;
    return 0;
}
