#include "fovea/eval/selection.h"

#include "fovea/base/file.h"
#include "fovea/io/settings/settings.h"
#include "fovea/train/changeable_settings.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static int matters(const void *context, const char *key)
{
    (void)context;
    return !fv_setting_may_change(key, FV_CHANGE_IN_SELECTION);
}

static fv_err read_number(const fv_json *what, const char *key, int64_t low, int64_t high, int *out)
{
    int64_t value;
    FV_TRY(fv_json_require_integer(what, key, &value));
    FV_CHECK(value >= low && value <= high, FV_ERR_FORMAT, "\"%s\" is %lld, expected %lld to %lld", key,
             (long long)value, (long long)low, (long long)high);
    *out = (int)value;
    return FV_OK;
}

static fv_err read_numbers(fv_selection *s)
{
    int64_t n_rows;
    const char *shard = "";
    int end = 0;
    FV_TRY(fv_json_require_integer(s->what, "rows", &n_rows));
    FV_CHECK(n_rows == s->n_rows, FV_ERR_FORMAT, "\"rows\" is %lld, but the data set has %lld",
             (long long)n_rows, (long long)s->n_rows);
    FV_TRY(read_number(s->what, "samples", 1, INT_MAX / 2, &s->n_samples));
    FV_TRY(read_number(s->what, "gain", 1, s->n_samples, &s->gain));
    FV_TRY(fv_json_get_string(s->what, "shard", &shard));
    FV_CHECK(sscanf(shard, "%9d/%9d%n", &s->shard, &s->n_shards, &end) == 2 && !shard[end] && s->shard >= 1 &&
                 s->shard <= s->n_shards,
             FV_ERR_FORMAT, "\"shard\" is \"%s\", expected \"I/N\"", shard);
    return FV_OK;
}

fv_err fv_selection_init(fv_selection *out, fv_json *what, int64_t n_rows)
{
    *out = (fv_selection){.what = what, .n_rows = n_rows};
    fv_err err = FV_OK;
    FV_TRY_DONE(read_numbers(out));
    out->rows = malloc(((size_t)n_rows + 1) * sizeof *out->rows);
    FV_CHECK_DONE(out->rows, FV_ERR_MEMORY, "cannot allocate %lld rows", (long long)n_rows);
    for (int64_t i = 0; i < n_rows; i++)
        out->rows[i] = (fv_selected){FV_SELECTED_OPEN, FV_SELECTED_NOT_ASKED, 0};
done:
    if (err != FV_OK)
        fv_selection_fini(out);
    return err;
}

void fv_selection_fini(fv_selection *selection)
{
    fv_json_destroy(selection->what);
    free(selection->rows);
    *selection = (fv_selection){0};
}

/* What is selected. */

static fv_err parse_what(const fv_file_map *map, const char *path, fv_json **out)
{
    const uint8_t *end = map->size ? memchr(map->data, '\n', map->size) : NULL;
    *out = NULL;
    fv_err err = end ? fv_json_parse((const char *)map->data, (size_t)(end - map->data), path, out) : FV_OK;
    int64_t format = 1; /* which did not say so */
    int is_one = err == FV_OK && *out && fv_json_get(*out, "gain") && fv_json_get(*out, "shard") &&
                 fv_json_get_integer(*out, "format", &format) == FV_OK;
    if (is_one && format == FV_SELECTION_FORMAT)
        return FV_OK;
    fv_json_destroy(*out);
    *out = NULL;
    FV_CHECK(is_one, FV_ERR_FORMAT, "%s is not the file of a selection (fovea pack --select)", path);
    return FV_FAIL(
        FV_ERR_FORMAT,
        "%s is a selection of format %lld, this program reads %d: end it with the fovea that began "
        "it, or remove the file and select again",
        path, (long long)format, FV_SELECTION_FORMAT);
}

fv_err fv_selection_read_what(const char *path, fv_json **out)
{
    fv_file_map map;
    *out = NULL;
    FV_TRY(fv_file_open_map(path, &map));
    fv_err err = parse_what(&map, path, out);
    fv_file_close_map(&map);
    return err;
}

static fv_err print_member(const fv_json *what, const char *key, fv_buffer *out)
{
    const fv_json *value = fv_json_get(what, key);
    return value ? fv_json_print(value, 0, out) : fv_buffer_print(out, "absent");
}

static fv_err differ(const fv_json *now, const fv_json *before, const char *key, fv_buffer *out)
{
    fv_buffer left = {0}, right = {0};
    const char *a = NULL, *b = NULL;
    fv_err err = FV_OK;
    if (strcmp(key, "config") == 0) {
        FV_TRY(fv_json_get_string(now, key, &a));
        FV_TRY(fv_json_get_string(before, key, &b));
        return a && b ? fv_settings_compare(b, a, matters, NULL, out) : fv_buffer_print(out, "no \"config\"");
    }
    FV_TRY_DONE(print_member(now, key, &left));
    FV_TRY_DONE(print_member(before, key, &right));
    if (strcmp(left.data, right.data) != 0)
        FV_TRY_DONE(fv_buffer_print(out, "%s is %s, was %s", key, left.data, right.data));
done:
    fv_buffer_fini(&left);
    fv_buffer_fini(&right);
    return err;
}

static int is_listed(const char *const *list, const char *key)
{
    while (*list && strcmp(*list, key) != 0)
        list++;
    return *list != NULL;
}

static fv_err compare(const fv_json *now, const fv_json *before, const char *path,
                      const char *const *free_keys)
{
    fv_buffer differences = {0};
    fv_err err = FV_OK;
    for (void *i = fv_json_first(now); i && err == FV_OK && !differences.size; i = fv_json_next(now, i))
        if (!is_listed(free_keys, fv_json_key(i)))
            err = differ(now, before, fv_json_key(i), &differences);
    if (err == FV_OK && differences.size)
        err = FV_FAIL(FV_ERR_ARGUMENT, "%s is of another selection: %s; give another --out, or remove it",
                      path, differences.data);
    fv_buffer_fini(&differences);
    return err;
}

fv_err fv_selection_compare(const fv_selection *selection, const char *path,
                            const char *const *differing_freely)
{
    fv_json *what;
    FV_TRY(fv_selection_read_what(path, &what));
    fv_err err = compare(selection->what, what, path, differing_freely);
    fv_json_destroy(what);
    return err;
}

/* Rows. */

static int is_right(const fv_selection *s, int64_t right)
{
    return right <= s->n_samples && right >= FV_SELECTED_NOT_ASKED;
}

static fv_err read_right(const fv_json *object, const char *key, int64_t *out)
{
    const fv_json *value = fv_json_get(object, key);
    *out = value ? FV_SELECTED_NO_VERDICT : FV_SELECTED_NOT_ASKED;
    return fv_json_get_integer(object, key, out);
}

static fv_err read_row(const fv_json *object, fv_selection *s)
{
    int64_t row, low, high, unjudged;
    int is_left_out = 0;
    FV_TRY(fv_json_require_integer(object, "row", &row));
    FV_TRY(fv_json_get_bool(object, "left_out", &is_left_out));
    if (is_left_out && row >= 0 && row < s->n_rows) {
        s->rows[row] = (fv_selected){FV_SELECTED_LEFT_OUT, FV_SELECTED_NOT_ASKED, 0};
        return FV_OK;
    }
    FV_TRY(read_right(object, "low", &low));
    FV_TRY(read_right(object, "high", &high));
    FV_TRY(fv_json_require_integer(object, "unjudged", &unjudged));
    FV_CHECK(row >= 0 && row < s->n_rows && low != FV_SELECTED_NOT_ASKED && is_right(s, low) &&
                 is_right(s, high) && unjudged >= 0 && unjudged <= 2LL * s->n_samples,
             FV_ERR_FORMAT, "numbers that make no sense");
    s->rows[row] = (fv_selected){(int)low, (int)high, (int)unjudged};
    return FV_OK;
}

static int take_line(const char *line, size_t size, fv_selection *s)
{
    fv_json *object;
    if (fv_json_parse(line, size, "row", &object) != FV_OK)
        return 0;
    fv_err err = read_row(object, s);
    fv_json_destroy(object);
    return err == FV_OK;
}

fv_err fv_selection_read_rows(fv_selection *selection, const char *path, int64_t *n_bad)
{
    fv_file_map map;
    *n_bad = 0;
    FV_TRY(fv_file_open_map(path, &map));
    const char *at = (const char *)map.data, *end = at + map.size, *stop;
    for (int64_t line = 0; at < end && (stop = memchr(at, '\n', (size_t)(end - at))); line++, at = stop + 1)
        *n_bad += line > 0 && !take_line(at, (size_t)(stop - at), selection);
    fv_file_close_map(&map);
    return FV_OK;
}
