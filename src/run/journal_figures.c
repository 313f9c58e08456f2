/* What a journal has come to. */
#include "fovea/base/file.h"
#include "run/journal_internal.h"

#include <limits.h>
#include <string.h>

typedef struct figures {
    fv_json *first, *last;
} figures;

static fv_err merge(const fv_json *object, const figures *f)
{
    for (void *i = fv_json_first(object); i; i = fv_json_next(object, i)) {
        const char *key = fv_json_key(i);
        if (!fv_json_get(f->first, key))
            FV_TRY(fv_json_set(f->first, key, fv_json_copy(fv_json_member(i))));
        FV_TRY(fv_json_set(f->last, key, fv_json_copy(fv_json_member(i))));
    }
    return FV_OK;
}

static fv_err merge_line(void *context, const fv_line *line)
{
    fv_json *object;
    FV_TRY(fv_journal_parse(line, &object));
    fv_err err = merge(object, context);
    fv_json_destroy(object);
    return err;
}

static fv_err read_all(const char *folder, figures *f)
{
    char path[PATH_MAX];
    FV_CHECK(f->first && f->last, FV_ERR_MEMORY, "no memory for the figures of a run");
    FV_TRY(fv_file_path(path, sizeof path, folder, "metrics.jsonl"));
    return fv_file_exists(path) ? fv_lines_read(path, merge_line, f) : FV_OK;
}

fv_err fv_journal_figures(const char *folder, fv_json **first, fv_json **last)
{
    figures f = {fv_json_make_object(), fv_json_make_object()};
    fv_err err = read_all(folder, &f);
    if (err != FV_OK) {
        fv_json_destroy(f.first);
        fv_json_destroy(f.last);
        f = (figures){0};
    }
    *first = f.first;
    *last = f.last;
    return err;
}
