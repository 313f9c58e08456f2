#include "fovea/base/line_file.h"

#include "fovea/base/file.h"
#include "fovea/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* All of the pending lines or none. */
static int write_pending(fv_line_file *file, int to_disk)
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
    if (to_disk && fdatasync(file->descriptor) != 0)
        return 0;
    file->written += file->pending.size;
    file->pending.size = 0;
    return 1;
}

void fv_line_file_flush(fv_line_file *file, int to_disk)
{
    int is_well = write_pending(file, to_disk);
    if (!is_well && !file->is_failing)
        FV_LOG_RANK(WARN, "cannot write to %s: %s; its lines wait in memory", file->path, strerror(errno));
    if (is_well && file->is_failing)
        FV_LOG_RANK(INFO, "%s is written again", file->path);
    file->is_failing = !is_well;
}

static fv_err find_end(fv_line_file *file, const char *kind)
{
    fv_file_map map;
    FV_CHECK(flock(file->descriptor, LOCK_EX | LOCK_NB) == 0, FV_ERR_ARGUMENT,
             "%s is written by another %s: wait for its end, or give another --out", file->path, kind);
    FV_TRY(fv_file_open_map(file->path, &map));
    const uint8_t *last = map.size ? memrchr(map.data, '\n', map.size) : NULL;
    file->written = last ? (uint64_t)(last - map.data) + 1 : 0;
    fv_file_close_map(&map);
    return FV_OK;
}

fv_err fv_line_file_open(const char *path, const char *kind, fv_line_file *out)
{
    *out = (fv_line_file){.descriptor = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666),
                          .path = strdup(path)};
    fv_err err = FV_OK;
    FV_CHECK_DONE(out->descriptor >= 0, FV_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    FV_CHECK_DONE(out->path, FV_ERR_MEMORY, "no memory for the path %s", path);
    FV_TRY_DONE(find_end(out, kind));
done:
    if (err != FV_OK)
        fv_line_file_close(out);
    return err;
}

fv_err fv_line_file_begin(fv_line_file *file)
{
    FV_CHECK(ftruncate(file->descriptor, (off_t)file->written) == 0, FV_ERR_IO, "cannot shorten %s: %s",
             file->path, strerror(errno));
    return fv_file_sync_folder_of(file->path);
}

fv_err fv_line_file_close(fv_line_file *file)
{
    if (!file->path && file->descriptor <= 0)
        return FV_OK;
    int failed = file->pending.size && !write_pending(file, 1);
    fv_err err = failed ? FV_FAIL(FV_ERR_IO, "cannot write to %s: %s", file->path, strerror(errno)) : FV_OK;
    if (file->descriptor >= 0)
        close(file->descriptor);
    free(file->path);
    fv_buffer_fini(&file->pending);
    *file = (fv_line_file){.descriptor = -1};
    return err;
}
