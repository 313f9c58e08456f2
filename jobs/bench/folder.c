#include "jobs/bench/folder.h"

#include "fovea/base/file.h"
#include "fovea/base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

fv_err fv_bench_folder_make(fv_bench_folder *folder)
{
    const char *temporary = getenv("TMPDIR");
    char path[PATH_MAX];
    FV_TRY(
        fv_file_path(path, sizeof path, temporary && *temporary ? temporary : "/tmp", "fovea-bench-XXXXXX"));
    FV_CHECK(mkdtemp(path), FV_ERR_IO, "cannot make the folder %s: %s", path, strerror(errno));
    memcpy(folder->path, path, sizeof path);
    return FV_OK;
}

void fv_bench_folder_remove(fv_bench_folder *folder)
{
    fv_error_kept kept;
    if (!folder->path[0])
        return;
    fv_error_keep(&kept);
    if (fv_file_remove_tree(folder->path) != FV_OK)
        FV_LOG_RANK(WARN, "%s", fv_error_text());
    fv_error_restore(&kept);
    folder->path[0] = '\0';
}
