/* The file of a selection, while it is written. */
#include "fovea/base/file.h"
#include "fovea/base/log.h"
#include "fovea/eval/selection.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* All of the pending lines or none. */
static int write_pending(fv_selection_file *file)
{
    for (size_t done = 0; done < file->pending.size;) {
        ssize_t n = write(file->descriptor, file->pending.data + done, file->pending.size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int reason = errno;
            if (ftruncate(file->descriptor, (off_t)file->written) != 0)
                FV_LOG_RANK(WARN, "cannot shorten %s: %s", file->path, strerror(errno));
            errno = reason;
            return 0;
        }
        done += (size_t)n;
    }
    if (fdatasync(file->descriptor) != 0)
        return 0;
    file->written += file->pending.size;
    file->pending.size = 0;
    return 1;
}

static void flush(fv_selection_file *file)
{
    int is_well = write_pending(file);
    if (!is_well && !file->is_failing)
        FV_LOG_RANK(WARN, "cannot write to %s: %s; its lines wait in memory", file->path, strerror(errno));
    if (is_well && file->is_failing)
        FV_LOG_RANK(INFO, "%s is written again", file->path);
    file->is_failing = !is_well;
}

/* What there is goes into the selection; *size: up to its last whole line. */
static fv_err take_up(fv_selection *s, const char *path, uint64_t *size)
{
    static const char *const free_members[] = {"data", NULL};
    fv_file_map map;
    int64_t n_bad;
    FV_TRY(fv_file_open_map(path, &map));
    const uint8_t *last = map.size ? memrchr(map.data, '\n', map.size) : NULL;
    *size = last ? (uint64_t)(last - map.data) + 1 : 0;
    fv_file_close_map(&map);
    if (*size == 0)
        return FV_OK;
    FV_TRY(fv_selection_compare(s, path, free_members));
    FV_TRY(fv_selection_read_rows(s, path, &n_bad));
    if (n_bad)
        FV_LOG_RANK(WARN, "%s has %lld lines that are no rows; they are left", path, (long long)n_bad);
    return FV_OK;
}

static fv_err begin(fv_selection *s, fv_selection_file *file)
{
    FV_CHECK(flock(file->descriptor, LOCK_EX | LOCK_NB) == 0, FV_ERR_ARGUMENT,
             "%s is written by another selection: wait for its end, or give another --out", file->path);
    FV_TRY(take_up(s, file->path, &file->written));
    FV_CHECK(ftruncate(file->descriptor, (off_t)file->written) == 0, FV_ERR_IO, "cannot shorten %s: %s",
             file->path, strerror(errno));
    if (file->written == 0) {
        FV_TRY(fv_json_print(s->what, 0, &file->pending));
        FV_TRY(fv_buffer_append(&file->pending, "\n", 1));
    }
    FV_CHECK(write_pending(file), FV_ERR_IO, "cannot write %s: %s", file->path, strerror(errno));
    return fv_file_sync_folder_of(file->path);
}

fv_err fv_selection_open(fv_selection *selection, const char *path, fv_selection_file *out)
{
    *out = (fv_selection_file){.descriptor = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666),
                               .path = strdup(path)};
    fv_err err = FV_OK;
    FV_CHECK_DONE(out->descriptor >= 0, FV_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    FV_CHECK_DONE(out->path, FV_ERR_MEMORY, "no memory for the path %s", path);
    FV_TRY_DONE(begin(selection, out));
done:
    if (err != FV_OK) {
        out->pending.size = 0;
        fv_selection_close(out); /* with nothing to write */
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

static fv_err add_line(fv_selection_file *file, uint64_t row, const fv_selected *found)
{
    fv_json *object = fv_json_make_object();
    fv_err err = fill_line(object, row, found);
    if (err == FV_OK)
        err = fv_json_print(object, 0, &file->pending);
    fv_json_destroy(object);
    return err == FV_OK ? fv_buffer_append(&file->pending, "\n", 1) : err;
}

fv_err fv_selection_append(fv_selection *selection, fv_selection_file *file, const uint64_t *rows,
                           const fv_selected *found, int n)
{
    for (int i = 0; i < n; i++) {
        selection->rows[rows[i]] = found[i];
        FV_TRY(add_line(file, rows[i], &found[i]));
    }
    flush(file);
    return FV_OK;
}

fv_err fv_selection_close(fv_selection_file *file)
{
    if (!file->path && file->descriptor <= 0)
        return FV_OK;
    int failed = file->pending.size && !write_pending(file);
    fv_err err = failed ? FV_FAIL(FV_ERR_IO, "cannot write to %s: %s", file->path, strerror(errno)) : FV_OK;
    if (file->descriptor >= 0)
        close(file->descriptor);
    free(file->path);
    fv_buffer_fini(&file->pending);
    *file = (fv_selection_file){.descriptor = -1};
    return err;
}
