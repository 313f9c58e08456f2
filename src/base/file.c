#include "fovea/base/file.h"

#include "base/file_temporary.h"
#include "fovea/base/phase.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static fv_err map_descriptor(const char *path, int descriptor, fv_file_map *out)
{
    struct stat info;
    FV_CHECK(fstat(descriptor, &info) == 0, FV_ERR_IO, "cannot examine %s: %s", path, strerror(errno));
    FV_CHECK(S_ISREG(info.st_mode), FV_ERR_IO, "%s is not a regular file", path);
    *out = (fv_file_map){.size = (size_t)info.st_size};
    if (out->size == 0)
        return FV_OK;
    void *data = mmap(NULL, out->size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    FV_CHECK(data != MAP_FAILED, FV_ERR_IO, "cannot map %s (%zu bytes): %s", path, out->size,
             strerror(errno));
    out->data = data;
    return FV_OK;
}

/* What git leaves in place of a large file that was not fetched. */
static int is_lfs_pointer(const fv_file_map *map)
{
    static const char start[] = "version https://git-lfs.github.com/spec/";
    return map->size >= sizeof start && memcmp(map->data, start, sizeof start - 1) == 0;
}

fv_err fv_file_open_map(const char *path, fv_file_map *out)
{
    *out = (fv_file_map){0};
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe is refused, not waited for */
    FV_CHECK(descriptor >= 0, FV_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    fv_err err = map_descriptor(path, descriptor, out);
    close(descriptor); /* the mapping stays */
    if (err != FV_OK || !is_lfs_pointer(out))
        return err;
    fv_file_close_map(out);
    return FV_FAIL(FV_ERR_FORMAT,
                   "%s is a Git-LFS pointer, not the file that it stands for; fetch that with git lfs pull",
                   path);
}

void fv_file_close_map(fv_file_map *map)
{
    if (map->data)
        munmap((void *)map->data, map->size);
    *map = (fv_file_map){0};
}

fv_err fv_file_sync(const char *path)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    FV_CHECK(descriptor >= 0, FV_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    int failed = fsync(descriptor) != 0;
    close(descriptor);
    FV_CHECK(!failed, FV_ERR_IO, "cannot write %s: %s", path, strerror(errno));
    return FV_OK;
}

fv_err fv_file_sync_folder_of(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int length = slash ? (int)(slash - path) + 1 : 1;
    snprintf(folder, sizeof folder, "%.*s", length, slash ? path : ".");
    return fv_file_sync(folder);
}

fv_err fv_file_create(const char *path, fv_file_writer *out)
{
    *out = (fv_file_writer){.descriptor = -1, .path = strdup(path)};
    FV_CHECK(out->path, FV_ERR_MEMORY, "no memory for the path %s", path);
    fv_err err = fv_temporary_create(path, &out->temporary, &out->descriptor);
    if (err != FV_OK)
        fv_file_abandon(out);
    return err;
}

fv_err fv_file_append(fv_file_writer *writer, const void *data, size_t size)
{
    const char *rest = data;
    fv_phase_move();
    while (size > 0) {
        ssize_t done = write(writer->descriptor, rest, size);
        if (done < 0 && errno == EINTR)
            continue;
        FV_CHECK(done >= 0, FV_ERR_IO, "cannot write %s: %s", writer->path, strerror(errno));
        rest += done;
        size -= (size_t)done;
    }
    return FV_OK;
}

void fv_file_abandon(fv_file_writer *writer)
{
    if (writer->descriptor >= 0 && writer->temporary) {
        close(writer->descriptor);
        unlink(writer->temporary);
        fv_temporary_forget(writer->temporary);
    }
    free(writer->temporary);
    free(writer->path);
    *writer = (fv_file_writer){.descriptor = -1};
}

static fv_err publish(fv_file_writer *writer)
{
    FV_CHECK(fsync(writer->descriptor) == 0, FV_ERR_IO, "cannot write %s: %s", writer->path, strerror(errno));
    FV_CHECK(rename(writer->temporary, writer->path) == 0, FV_ERR_IO, "cannot rename %s to %s: %s",
             writer->temporary, writer->path, strerror(errno));
    return fv_file_sync_folder_of(writer->path);
}

fv_err fv_file_commit(fv_file_writer *writer)
{
    fv_err err = publish(writer);
    fv_file_abandon(writer); /* the temporary name is gone if it was renamed */
    return err;
}

fv_err fv_file_write(const char *path, const void *data, size_t size)
{
    fv_file_writer writer;
    FV_TRY(fv_file_create(path, &writer));
    fv_err err = fv_file_append(&writer, data, size);
    if (err == FV_OK)
        return fv_file_commit(&writer);
    fv_file_abandon(&writer);
    return err;
}

fv_err fv_file_copy(const char *from, const char *to)
{
    fv_file_map map;
    FV_TRY(fv_file_open_map(from, &map));
    fv_err err = fv_file_write(to, map.data, map.size);
    fv_file_close_map(&map);
    return err;
}

fv_err fv_file_size(const char *path, uint64_t *out)
{
    struct stat info;
    FV_CHECK(stat(path, &info) == 0, FV_ERR_IO, "cannot examine %s: %s", path, strerror(errno));
    *out = (uint64_t)info.st_size;
    return FV_OK;
}

int fv_file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

fv_err fv_file_make_folder(const char *path)
{
    if (mkdir(path, 0777) == 0)
        return FV_OK;
    struct stat info;
    int reason = errno;
    FV_CHECK(stat(path, &info) == 0 && S_ISDIR(info.st_mode), FV_ERR_IO, "cannot create folder %s: %s", path,
             strerror(reason));
    return FV_OK;
}

fv_err fv_file_make_folders(const char *path)
{
    char part[PATH_MAX];
    for (const char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", slash ? (int)(slash - path) : (int)strlen(path), path);
        FV_TRY(fv_file_make_folder(part));
        if (!slash)
            return FV_OK;
    }
}

fv_err fv_file_path(char *out, size_t size, const char *folder, const char *name)
{
    int length = snprintf(out, size, "%s/%s", folder, name);
    FV_CHECK(length >= 0 && (size_t)length < size, FV_ERR_ARGUMENT, "path too long: %s/%s", folder, name);
    return FV_OK;
}
