/* The file of a selection, while it is written. */
#include "fovea/base/log.h"
#include "fovea/eval/selection.h"

/* What there is goes into the selection. */
static fv_err take_up(fv_selection *s, const char *path)
{
    static const char *const free_members[] = {"data", NULL};
    int64_t n_bad;
    FV_TRY(fv_selection_compare(s, path, free_members));
    FV_TRY(fv_selection_read_rows(s, path, &n_bad));
    if (n_bad)
        FV_LOG_RANK(WARN, "%s has %lld lines that are no rows; they are left", path, (long long)n_bad);
    return FV_OK;
}

static fv_err begin(fv_selection *s, fv_line_file *file)
{
    if (file->written > 0) {
        FV_TRY(take_up(s, file->path));
    } else {
        FV_TRY(fv_json_print(s->what, 0, &file->pending));
        FV_TRY(fv_buffer_append(&file->pending, "\n", 1));
    }
    FV_TRY(fv_line_file_begin(file));
    fv_line_file_flush(file, 1);
    FV_CHECK(!file->is_failing, FV_ERR_IO, "cannot write %s", file->path);
    return FV_OK;
}

fv_err fv_selection_open(fv_selection *selection, const char *path, fv_line_file *out)
{
    FV_TRY(fv_line_file_open(path, "selection", out));
    fv_err err = begin(selection, out);
    if (err != FV_OK) {
        out->pending.size = 0;
        fv_line_file_close(out); /* with nothing to write */
    }
    return err;
}

static fv_err set_right(fv_json *object, const char *key, int right)
{
    if (right == FV_SELECTED_NOT_ASKED)
        return FV_OK;
    return fv_json_set(object, key,
                       right == FV_SELECTED_NO_VERDICT ? fv_json_make_null() : fv_json_make_integer(right));
}

static fv_err fill_line(fv_json *object, uint64_t row, const fv_selected *found)
{
    FV_TRY(fv_json_set(object, "row", fv_json_make_integer((int64_t)row)));
    if (found->low == FV_SELECTED_LEFT_OUT)
        return fv_json_set(object, "left_out", fv_json_make_bool(1));
    FV_TRY(set_right(object, "low", found->low));
    FV_TRY(set_right(object, "high", found->high));
    return fv_json_set(object, "unjudged", fv_json_make_integer(found->unjudged));
}

static fv_err add_line(fv_line_file *file, uint64_t row, const fv_selected *found)
{
    fv_json *object = fv_json_make_object();
    fv_err err = fill_line(object, row, found);
    if (err == FV_OK)
        err = fv_json_print(object, 0, &file->pending);
    fv_json_destroy(object);
    return err == FV_OK ? fv_buffer_append(&file->pending, "\n", 1) : err;
}

fv_err fv_selection_append(fv_selection *selection, fv_line_file *file, const uint64_t *rows,
                           const fv_selected *found, int n)
{
    for (int i = 0; i < n; i++) {
        selection->rows[rows[i]] = found[i];
        FV_TRY(add_line(file, rows[i], &found[i]));
    }
    fv_line_file_flush(file, 1);
    return FV_OK;
}
