/* The files of the journal. */
#include "loop/journal_internal.h"

#include "fovea/file.h"
#include "fovea/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The first size bytes of the file, as a new file of the same name. */
static fv_err cut(const char *path, uint64_t size, uint64_t *kept)
{
    fv_file_map map = {0};
    if (size > 0)
        FV_TRY(fv_file_open_map(path, &map));
    if (map.size < size)
        FV_LOG_RANK(WARN, "%s has %zu bytes, and had %llu when the run was saved: some lines are lost", path,
                    map.size, (unsigned long long)size);
    *kept = map.size < size ? map.size : size;
    fv_err err = fv_file_write(path, map.data, *kept);
    fv_file_close_map(&map);
    return err;
}

fv_err fv_journal_file_open(fv_journal_file *file, const char *path, uint64_t size)
{
    *file = (fv_journal_file){.path = strdup(path), .descriptor = -1};
    FV_CHECK(file->path, FV_ERR_MEMORY, "no memory for the path %s", path);
    FV_TRY(cut(path, size, &file->written));
    file->descriptor = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    FV_CHECK(file->descriptor >= 0, FV_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    return FV_OK;
}

/* All of the pending lines or nothing. */
static int write_pending(fv_journal_file *file)
{
    size_t done = 0;
    while (done < file->pending.size) {
        ssize_t n = write(file->descriptor, file->pending.data + done, file->pending.size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int reason = errno;
            if (ftruncate(file->descriptor, (off_t)file->written) != 0)
                file->written += done; /* a torn line, which cannot be taken back */
            errno = reason;
            return 0;
        }
        done += (size_t)n;
    }
    file->written += done;
    file->pending.size = 0;
    return 1;
}

static void flush(fv_journal_file *file)
{
    int is_well = write_pending(file);
    if (!is_well && !file->is_failing)
        FV_LOG_RANK(WARN, "cannot write to %s: %s; its lines wait in memory", file->path, strerror(errno));
    if (is_well && file->is_failing)
        FV_LOG_RANK(INFO, "%s is written again", file->path);
    file->is_failing = !is_well;
}

fv_err fv_journal_file_add(fv_journal_file *file, fv_json *object)
{
    fv_err err = object ? fv_json_print(object, 0, &file->pending)
                        : FV_FAIL(FV_ERR_MEMORY, "no memory for a line of %s", file->path);
    fv_json_destroy(object);
    FV_TRY(err);
    FV_TRY(fv_buffer_append(&file->pending, "\n", 1));
    flush(file);
    return FV_OK;
}

fv_err fv_journal_file_close(fv_journal_file *file)
{
    int failed = 0;
    if (file->path && file->descriptor >= 0) {
        failed = !write_pending(file);
        failed |= close(file->descriptor) != 0;
    }
    fv_err err = failed ? FV_FAIL(FV_ERR_IO, "cannot write to %s: %s", file->path, strerror(errno)) : FV_OK;
    free(file->path);
    fv_buffer_fini(&file->pending);
    *file = (fv_journal_file){0};
    return err;
}
