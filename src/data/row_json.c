#include "fovea/data/row.h"
#include "fovea/base/text/base64.h"
#include "fovea/base/file.h"
#include "fovea/reward/format.h"
#include "fovea/io/json.h"
#include "data/row_internal.h"
#include "reward/verifier/verifier_internal.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const char white[] = " \t\r\n";
static const char placeholder[] = "<image>";

/* The name of the first field of a list that is there and not null; NULL if none is. */
static const char *present(const fv_json *object, const char *const *names)
{
    for (; *names; names++) {
        const fv_json *value = fv_json_get(object, *names);
        if (value && fv_json_kind_of(value) != FV_JSON_NULL)
            return *names;
    }
    return NULL;
}

/* Move the first field of a list that is there from the object to *out, and its name to *name. */
static fv_err take_text(fv_json *object, const char *const *names, const char **name, char **out)
{
    *name = present(object, names);
    FV_CHECK(*name, FV_ERR_FORMAT, "there is no \"%s\"", names[0]);
    FV_TRY(fv_row_copy_text(fv_json_get(object, *name), *name, out));
    fv_json_remove(object, *name);
    return FV_OK;
}

static fv_err check_not_empty(const char *text, const char *name)
{
    FV_CHECK(text[strspn(text, white)], FV_ERR_FORMAT, "\"%s\" is empty", name);
    return FV_OK;
}

/* Take the placeholders out, and white space off both ends; returns how many there were. */
static size_t strip(char *text)
{
    size_t n = 0, length = strlen(placeholder);
    char *end = text;
    for (const char *from = text; *from;) {
        if (strncmp(from, placeholder, length) != 0) {
            *end++ = *from++;
            continue;
        }
        n++;
        from += length;
    }
    *end = '\0';
    const char *front = text + strspn(text, white);
    while (end > front && strchr(white, end[-1]))
        end--;
    *end = '\0';
    memmove(text, front, (size_t)(end - front) + 1);
    return n;
}

static int has_one_of(fv_slice text, const char *const *parts)
{
    for (; *parts; parts++)
        if (fv_slice_find(text, fv_slice_of(*parts)) != FV_SLICE_NONE)
            return 1;
    return 0;
}

/* The answer proper of a worked solution: behind its thought, between its tags, in its box. */
static fv_slice answer_proper(fv_slice text)
{
    static const char *const marks[] = {"<answer>", "</answer>", "</think>", "\\boxed", "\\fbox", NULL};
    const fv_slice end_of_thought = fv_slice_of("</think>");
    if (!has_one_of(text, marks))
        return text;
    size_t thought = fv_slice_find_last(text, end_of_thought);
    if (thought != FV_SLICE_NONE)
        text = fv_slice_cut(text, thought + end_of_thought.size, text.size);
    text = fv_answer_extract(FV_EXTRACT_SPLIT, text);
    fv_text_unbox(&text);
    return fv_slice_trim(text);
}

static fv_err add_answer(const fv_json *value, const char *name, fv_buffer *out)
{
    static const char *const tags[] = {"<think>", "</think>", "<answer>", "</answer>", "<tool_call>", NULL};
    char *text;
    FV_TRY(fv_row_copy_text(value, name, &text));
    fv_slice whole = fv_slice_of(text), proper = answer_proper(whole);
    fv_err err = FV_OK;
    FV_CHECK_DONE(fv_slice_trim(proper).size > 0, FV_ERR_FORMAT, "\"%s\" is empty%s", name,
                  fv_slice_trim(whole).size > 0 ? " without its tags" : "");
    FV_CHECK_DONE(
        !has_one_of(proper, tags), FV_ERR_FORMAT,
        "\"%s\" holds tags that enclose no answer; expected the answer alone, or <answer>it</answer>", name);
    FV_TRY_DONE(fv_truths_add(out, proper));
done:
    free(text);
    return err;
}

/* Move the accepted answers of the first field of a list that is there from the object to the row. */
static fv_err take_answers(fv_json *object, const char *const *names, fv_row *row)
{
    fv_buffer truths = {0};
    fv_err err = FV_OK;
    const char *name = present(object, names);
    FV_CHECK(name, FV_ERR_FORMAT, "there is no \"%s\"", names[0]);
    const fv_json *value = fv_json_get(object, name);
    int is_list = fv_json_kind_of(value) == FV_JSON_ARRAY;
    size_t n = is_list ? fv_json_size(value) : 1;
    FV_CHECK(n > 0, FV_ERR_FORMAT, "\"%s\" is an empty list", name);
    for (size_t i = 0; i < n && err == FV_OK; i++)
        err = add_answer(is_list ? fv_json_at(value, i) : value, name, &truths);
    row->answer = truths.data;
    row->more_bytes = truths.size - (truths.data ? strlen(truths.data) : 0);
    fv_json_remove(object, name);
    return err;
}

static fv_err read_texts(fv_json *object, const fv_row_fields *fields, fv_row *row)
{
    const char *const questions[] = {fields->question_name ? fields->question_name : "problem",
                                     fields->question_name ? NULL : "question", NULL};
    const char *const answers[] = {fields->answer_name ? fields->answer_name : "original_answer",
                                   fields->answer_name ? NULL : "solution", "answer", NULL};
    const char *const sources[] = {"data_source", "source", NULL};
    const char *name = "the question of all rows";
    if (!fields->question) {
        FV_TRY(take_text(object, questions, &name, &row->question));
    } else {
        row->question = strdup(fields->question);
        FV_CHECK(row->question, FV_ERR_MEMORY, "no memory for a question");
    }
    FV_TRY(check_not_empty(row->question, name));
    FV_TRY(fv_row_surround(object, fields, &row->question));
    size_t n_places = strip(row->question);
    FV_TRY(check_not_empty(row->question, name));
    FV_CHECK(n_places == 0 || n_places == row->n_images, FV_ERR_FORMAT,
             "\"%s\" has %zu %s, but there are %zu images", name, n_places, placeholder, row->n_images);
    FV_TRY(take_answers(object, answers, row));
    if (present(object, sources))
        return take_text(object, sources, &name, &row->source);
    row->source = strdup("");
    FV_CHECK(row->source, FV_ERR_MEMORY, "no memory for a source");
    return FV_OK;
}

static fv_err read_target(const fv_json *object, fv_view_size *out)
{
    const fv_json *info = fv_json_get(object, "info");
    int64_t width = 0, height = 0;
    if (!info || fv_json_kind_of(info) == FV_JSON_NULL)
        return FV_OK;
    FV_CHECK(fv_json_kind_of(info) == FV_JSON_OBJECT, FV_ERR_FORMAT, "\"info\" is not an object");
    FV_TRY(fv_json_get_integer(info, "tgt_width", &width));
    FV_TRY(fv_json_get_integer(info, "tgt_height", &height));
    int is_size = (width == 0) == (height == 0) && width >= 0 && height >= 0 && width <= INT_MAX / 2 &&
                  height <= INT_MAX / 2;
    FV_CHECK(is_size, FV_ERR_FORMAT, "\"info\": a target size of %lld x %lld pixels", (long long)width,
             (long long)height);
    *out = (fv_view_size){(int)width, (int)height};
    return FV_OK;
}

static fv_err read_file(const char *folder, const char *path, fv_buffer *out)
{
    char full[PATH_MAX];
    fv_file_map map;
    if (path[0] != '/') {
        FV_TRY(fv_file_path(full, sizeof full, folder, path));
        path = full;
    }
    FV_TRY(fv_file_open_map(path, &map));
    fv_err err = fv_buffer_append(out, map.data, map.size);
    fv_file_close_map(&map);
    return err;
}

/* Both views of the image must be such that a model can take them. */
static fv_err check_views(fv_view_size image, fv_view_size target)
{
    const fv_view_settings settings = {.min_pixels = 262144, .max_pixels = 4194304};
    fv_processor processor;
    fv_view_sizes sizes;
    fv_grid grid;
    fv_processor_init(&processor);
    FV_TRY(fv_view_sizes_of(&settings, image, target, &sizes));
    FV_TRY(fv_processor_grid(&processor, sizes.low.width, sizes.low.height, &grid));
    return fv_processor_grid(&processor, sizes.high.width, sizes.high.height, &grid);
}

static fv_err check_image(fv_row_image *image, const char *name, fv_view_size target)
{
    const fv_image_file file = {
        .data = image->file.data, .size = image->file.size, .name = name, .max_pixels = FV_IMAGE_MAX_PIXELS};
    FV_TRY(fv_image_check(&file, &image->width, &image->height));
    fv_err err = check_views((fv_view_size){image->width, image->height}, target);
    return err == FV_OK ? FV_OK : fv_error_prefix(err, "%s", name);
}

/* name is for messages. */
static fv_err read_image(const fv_json *value, const fv_row_fields *fields, const char **name, fv_buffer *out)
{
    size_t size;
    const char *text;
    const fv_json *base64 = fields->is_base64 ? value : fv_json_get(value, "base64");
    *name = "image";
    FV_TRY(fv_json_to_string(base64 ? base64 : value, base64 ? "base64" : *name, &text, &size));
    if (base64)
        return fv_base64_decode(text, size, out);
    FV_CHECK(strlen(text) == size, FV_ERR_FORMAT, "the path of an image holds a NUL");
    *name = text;
    return read_file(fields->folder, text, out);
}

static fv_err read_images(fv_json *object, const fv_row_fields *fields, fv_row *row)
{
    const char *const names[] = {fields->image_name ? fields->image_name : "images",
                                 fields->image_name ? NULL : "image", NULL};
    const char *field = present(object, names), *name;
    FV_CHECK(field || !fields->image_name, FV_ERR_FORMAT, "there is no \"%s\"", fields->image_name);
    FV_CHECK(field, FV_ERR_FORMAT, "there is neither \"images\" nor \"image\"");
    const fv_json *value = fv_json_get(object, field);
    int is_list = fv_json_kind_of(value) == FV_JSON_ARRAY;
    size_t n = is_list ? fv_json_size(value) : 1;
    row->images = calloc(n + 1, sizeof *row->images);
    FV_CHECK(row->images, FV_ERR_MEMORY, "no memory for %zu images", n);
    row->n_images = n;
    for (size_t i = 0; i < n; i++) {
        fv_row_image *image = &row->images[i];
        FV_TRY(read_image(is_list ? fv_json_at(value, i) : value, fields, &name, &image->file));
        FV_TRY(check_image(image, name, row->target));
    }
    fv_json_remove(object, field);
    return FV_OK;
}

static fv_err print_extra(const fv_json *object, fv_row *row)
{
    fv_buffer text = {0};
    fv_err err = fv_json_print(object, 0, &text);
    row->extra = text.data;
    return err;
}

static fv_err build_row(fv_json *object, const fv_row_fields *fields, fv_row *row)
{
    FV_CHECK(fv_json_kind_of(object) == FV_JSON_OBJECT, FV_ERR_FORMAT, "not a JSON object");
    FV_TRY(read_target(object, &row->target));
    FV_TRY(read_images(object, fields, row));
    FV_TRY(read_texts(object, fields, row));
    FV_CHECK(row->n_images <= 1, FV_ERR_UNSUPPORTED,
             "%zu images; a prompt shows one: keep one of them, or join them into one", row->n_images);
    return print_extra(object, row);
}

fv_err fv_row_parse(const char *text, size_t size, const fv_row_fields *fields, fv_row *out)
{
    fv_json *object;
    *out = (fv_row){0};
    FV_TRY(fv_json_parse(text, size, "row", &object));
    fv_err err = build_row(object, fields, out);
    fv_json_destroy(object);
    if (err != FV_OK)
        fv_row_fini(out);
    return err;
}
