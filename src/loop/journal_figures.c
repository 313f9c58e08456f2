/* What a journal has come to. */
#include "fovea/file.h"
#include "fovea/journal.h"

#include <limits.h>
#include <string.h>

static fv_err merge(const fv_json *object, fv_json *first, fv_json *last)
{
    for (void *i = fv_json_first(object); i; i = fv_json_next(object, i)) {
        const char *key = fv_json_key(i);
        if (!fv_json_get(first, key))
            FV_TRY(fv_json_set(first, key, fv_json_copy(fv_json_member(i))));
        FV_TRY(fv_json_set(last, key, fv_json_copy(fv_json_member(i))));
    }
    return FV_OK;
}

/* A line without its end is being written. */
static fv_err read_lines(const char *path, const fv_file_map *map, fv_json *first, fv_json *last)
{
    const char *at = (const char *)map->data, *end = at + map->size, *newline;
    for (; at < end && (newline = memchr(at, '\n', (size_t)(end - at))); at = newline + 1) {
        fv_json *object;
        FV_TRY(fv_json_parse(at, (size_t)(newline - at), path, &object));
        fv_err err = merge(object, first, last);
        fv_json_destroy(object);
        FV_TRY(err);
    }
    return FV_OK;
}

static fv_err read_all(const char *folder, fv_json *first, fv_json *last)
{
    char path[PATH_MAX];
    fv_file_map map;
    FV_CHECK(first && last, FV_ERR_MEMORY, "no memory for the figures of a run");
    FV_TRY(fv_file_path(path, sizeof path, folder, "metrics.jsonl"));
    if (!fv_file_exists(path))
        return FV_OK;
    FV_TRY(fv_file_open_map(path, &map));
    fv_err err = read_lines(path, &map, first, last);
    fv_file_close_map(&map);
    return err;
}

fv_err fv_journal_figures(const char *folder, fv_json **first, fv_json **last)
{
    *first = fv_json_make_object();
    *last = fv_json_make_object();
    fv_err err = read_all(folder, *first, *last);
    if (err == FV_OK)
        return FV_OK;
    fv_json_destroy(*first);
    fv_json_destroy(*last);
    *first = *last = NULL;
    return err;
}
