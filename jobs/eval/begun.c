#include "jobs/eval/begun.h"

#include "fovea/base/file.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char file_name[] = "begun.h5", groups[] = "groups", settings[] = "settings";

/* All that the samples follow from, as one text. */
static fv_err describe(const fv_report *asked, fv_buffer *out)
{
    FV_TRY(fv_buffer_print(out, "format %d, shard %d/%d, ", FV_REPORT_FORMAT, asked->shard, asked->n_shards));
    return fv_json_print(asked->settings, 0, out);
}

static fv_err write_groups(fv_hdf5 *file, const fv_batch *begun, const fv_report *asked)
{
    fv_buffer text = {0};
    fv_err err = describe(asked, &text);
    if (err == FV_OK)
        err = fv_hdf5_write(file, settings, FV_HDF5_TEXT, 1, &(int64_t){1}, &(const char *){text.data});
    fv_buffer_fini(&text);
    return err == FV_OK ? fv_batch_write(begun, file, groups) : err;
}

fv_err fv_begun_write(const fv_batch *begun, const fv_report *asked, const char *folder)
{
    char path[PATH_MAX];
    fv_file_writer target;
    fv_hdf5 *file = NULL;
    FV_TRY(fv_file_make_folder(folder));
    FV_TRY(fv_file_path(path, sizeof path, folder, file_name));
    FV_TRY(fv_file_create(path, &target));
    fv_err err = fv_hdf5_create(target.temporary, &file);
    if (err == FV_OK)
        err = write_groups(file, begun, asked);
    fv_err closed = fv_hdf5_close(file);
    if (err == FV_OK && closed == FV_OK)
        return fv_file_commit(&target);
    fv_file_abandon(&target);
    return err != FV_OK ? err : closed;
}

static fv_err compare(const fv_hdf5 *file, const fv_report *asked, const char *path)
{
    fv_buffer text = {0};
    char *before = NULL;
    fv_err err = describe(asked, &text);
    if (err == FV_OK)
        err = fv_hdf5_read_range(file, settings, FV_HDF5_TEXT, 0, 1, &before);
    if (err == FV_OK && strcmp(before, text.data) != 0)
        err = FV_FAIL(FV_ERR_ARGUMENT,
                      "%s is of an evaluation with other settings that was interrupted: give another folder "
                      "for --out, or remove the file",
                      path);
    free(before);
    fv_buffer_fini(&text);
    return err;
}

fv_err fv_begun_read(const char *folder, const fv_report *asked, fv_batch *out)
{
    char path[PATH_MAX];
    fv_hdf5 *file;
    *out = (fv_batch){0};
    FV_TRY(fv_file_path(path, sizeof path, folder, file_name));
    if (!fv_file_exists(path))
        return FV_OK;
    FV_TRY(fv_hdf5_open(path, &file));
    fv_err err = compare(file, asked, path);
    if (err == FV_OK)
        err = fv_batch_read(file, groups, out);
    fv_err closed = fv_hdf5_close(file);
    return err != FV_OK ? err : closed;
}

void fv_begun_remove(const char *folder)
{
    char path[PATH_MAX];
    if (fv_file_path(path, sizeof path, folder, file_name) == FV_OK)
        (void)unlink(path);
}
