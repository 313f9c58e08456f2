#include "jobs/eval/output.h"

#include "jobs/eval/begun.h"

#include "fovea/base/file.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

static fv_err print_figures(const fv_report *report, fv_buffer *out)
{
    fv_results figures;
    FV_TRY(fv_report_results(report, &figures));
    fv_err err = fv_results_print(&figures, out);
    if (err == FV_OK)
        err = fv_report_print_published(report, out);
    fv_results_fini(&figures);
    return err;
}

static fv_err print_table(const fv_report *report)
{
    fv_summary summary;
    fv_buffer table = {0};
    FV_TRY(fv_summary_init(&summary, report));
    fv_err err = fv_summary_print(&summary, report->seconds, &table);
    if (err == FV_OK)
        err = print_figures(report, &table);
    if (err == FV_OK && fv_report_left_out(report) > 0)
        err =
            fv_buffer_print(&table, "left out, too long: %lld rows\n", (long long)fv_report_left_out(report));
    if (err == FV_OK)
        fwrite(table.data, 1, table.size, stdout); /* main sees whether it was written */
    fv_buffer_fini(&table);
    fv_summary_fini(&summary);
    return err;
}

fv_err fv_output_write(const fv_report *report, const char *folder)
{
    FV_TRY(fv_file_make_folder(folder));
    FV_TRY(fv_report_write(report, folder));
    fv_begun_remove(folder);
    return print_table(report);
}

static fv_err compare(const fv_report *asked, const fv_report *there, const char *folder)
{
    const fv_report *const both[] = {there, asked};
    const char *const names[] = {folder, "what is asked for"};
    FV_TRY(fv_report_compare(both, names));
    FV_CHECK(there->shard == asked->shard && there->n_shards == asked->n_shards, FV_ERR_ARGUMENT,
             "%s is shard %d/%d of the evaluation, what is asked for %d/%d", folder, there->shard,
             there->n_shards, asked->shard, asked->n_shards);
    return FV_OK;
}

/* The results that are in the folder, if they are those of the evaluation that is asked for. */
static fv_err keep_results(const fv_report *asked, const char *folder)
{
    fv_report there;
    FV_TRY(fv_report_load(folder, &there));
    fv_err err = compare(asked, &there, folder);
    if (err != FV_OK)
        err = fv_error_prefix(err, "%s is there already, give another folder", folder);
    else
        err = print_table(&there);
    fv_report_fini(&there);
    return err;
}

/* That the folder can be made, now and not after the work; but one without results is not left if the work is
 * stopped. */
static fv_err try_folder(const char *folder)
{
    if (fv_file_exists(folder))
        return fv_file_make_folder(folder);
    FV_TRY(fv_file_make_folder(folder));
    FV_CHECK(rmdir(folder) == 0, FV_ERR_IO, "cannot remove folder %s: %s", folder, strerror(errno));
    return FV_OK;
}

fv_err fv_output_begin(const fv_report *asked, const char *folder, int keeps, int *is_kept)
{
    char path[PATH_MAX];
    FV_TRY(fv_file_path(path, sizeof path, folder, "summary.json"));
    *is_kept = fv_file_exists(path);
    if (!*is_kept)
        return try_folder(folder);
    FV_CHECK(keeps, FV_ERR_ARGUMENT,
             "%s is there already: give another folder for --out, or --keep to see it again", path);
    return keep_results(asked, folder);
}
