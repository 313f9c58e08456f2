/* Whole folders. */
#include "fovea/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info;
    (void)kind;
    (void)place;
    return remove(path) == 0 || errno == ENOENT ? 0 : errno;
}

fv_err fv_file_remove_tree(const char *path)
{
    enum { DESCRIPTORS = 16 };
    int reason = nftw(path, remove_entry, DESCRIPTORS, FTW_DEPTH | FTW_PHYS);
    if (reason == -1)
        reason = errno;
    FV_CHECK(reason == 0 || reason == ENOENT, FV_ERR_IO, "cannot remove %s: %s", path, strerror(reason));
    return FV_OK;
}

/* For file systems that cannot exchange. */
static fv_err replace_in_steps(const char *made, const char *path)
{
    char aside[PATH_MAX];
    int length = snprintf(aside, sizeof aside, "%s.replaced", made);
    FV_CHECK(length < (int)sizeof aside, FV_ERR_ARGUMENT, "path too long: %s.replaced", made);
    FV_CHECK(rename(path, aside) == 0, FV_ERR_IO, "cannot rename %s to %s: %s", path, aside, strerror(errno));
    int status = rename(made, path), reason = errno;
    if (status != 0 && rename(aside, path) != 0)
        return FV_FAIL(FV_ERR_IO, "cannot rename %s to %s, nor back: %s; it is in %s", path, aside,
                       strerror(errno), aside);
    FV_CHECK(status == 0, FV_ERR_IO, "cannot rename %s to %s: %s", made, path, strerror(reason));
    FV_CHECK(rename(aside, made) == 0, FV_ERR_IO, "cannot rename %s to %s: %s", aside, made, strerror(errno));
    return FV_OK;
}

static fv_err give_name(const char *made, const char *path)
{
    if (!fv_file_exists(path)) {
        FV_CHECK(rename(made, path) == 0, FV_ERR_IO, "cannot rename %s to %s: %s", made, path,
                 strerror(errno));
        return FV_OK;
    }
    if (renameat2(AT_FDCWD, made, AT_FDCWD, path, RENAME_EXCHANGE) == 0)
        return FV_OK;
    FV_CHECK(errno == EINVAL || errno == ENOSYS, FV_ERR_IO, "cannot exchange %s and %s: %s", made, path,
             strerror(errno));
    return replace_in_steps(made, path);
}

fv_err fv_file_replace_folder(const char *made, const char *path)
{
    FV_TRY(give_name(made, path));
    FV_TRY(fv_file_sync_folder_of(made));
    return fv_file_sync_folder_of(path);
}
