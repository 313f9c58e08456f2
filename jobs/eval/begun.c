#include "jobs/eval/begun.h"

#include "fovea/base/file.h"
#include "fovea/base/log.h"
#include "fovea/base/point.h"
#include "fovea/base/text/lines.h"

#include <dirent.h>
#include <errno.h>
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

/* Records. */

/* Whether a name is begun.RANK.jsonl. */
static int is_log(const char *name)
{
    int rank, end = 0;
    return sscanf(name, "begun.%d.jsonl%n", &rank, &end) == 1 && end > 0 && !name[end];
}

/* Call each with the path of every such file of the folder, which may not be there. */
static fv_err for_each_log(const char *folder, fv_err (*each)(void *context, const char *path), void *context)
{
    char path[PATH_MAX];
    fv_err err = FV_OK;
    DIR *list = opendir(folder);
    FV_CHECK(list || errno == ENOENT, FV_ERR_IO, "cannot read folder %s: %s", folder, strerror(errno));
    for (const struct dirent *entry; list && err == FV_OK && (entry = readdir(list));)
        if (is_log(entry->d_name)) {
            err = fv_file_path(path, sizeof path, folder, entry->d_name);
            err = err == FV_OK ? each(context, path) : err;
        }
    if (list)
        closedir(list);
    return err;
}

fv_err fv_begun_head(const fv_report *asked, fv_buffer *out)
{
    char shard[32];
    fv_json *object = fv_json_make_object();
    fv_err err = FV_OK;
    snprintf(shard, sizeof shard, "%d/%d", asked->shard, asked->n_shards);
    FV_TRY_DONE(fv_json_set(object, "format", fv_json_make_integer(FV_REPORT_FORMAT)));
    FV_TRY_DONE(fv_json_set_text(object, "shard", shard));
    FV_TRY_DONE(fv_json_set(object, settings, fv_json_copy(asked->settings)));
    FV_TRY_DONE(fv_json_print(object, 0, out));
    FV_TRY_DONE(fv_buffer_append(out, "\n", 1));
done:
    fv_json_destroy(object);
    return err;
}

typedef struct log_reader {
    const fv_report *asked;
    fv_report *done;
    const char *path;
    int is_begun; /* the first line has been seen */
} log_reader;

/* The first line says of which evaluation the file is. */
static fv_err check_head(const log_reader *r, const fv_line *line)
{
    fv_report there = {.shard = 1};
    const char *shard = "";
    fv_json *head;
    fv_err err = fv_json_parse(line->text, line->size, line->name, &head);
    if (err != FV_OK)
        return FV_FAIL(FV_ERR_ARGUMENT, "%s has no first line with settings: remove it to begin anew",
                       r->path);
    there.settings = fv_json_copy(fv_json_get(head, settings));
    FV_TRY_DONE(fv_json_get_string(head, "shard", &shard));
    (void)sscanf(shard, "%d/%d", &there.shard, &there.n_shards);
    const fv_report *const both[] = {&there, r->asked};
    const char *const names[] = {r->path, "what is asked for"};
    FV_TRY_DONE(fv_report_compare(both, names));
    FV_CHECK_DONE(there.shard == r->asked->shard && there.n_shards == r->asked->n_shards, FV_ERR_ARGUMENT,
                  "%s is of shard %d/%d of the evaluation, what is asked for of %d/%d", r->path, there.shard,
                  there.n_shards, r->asked->shard, r->asked->n_shards);
done:
    fv_json_destroy(head);
    fv_report_fini(&there);
    return err == FV_OK
               ? FV_OK
               : fv_error_prefix(FV_ERR_ARGUMENT, "give another folder for --out, or remove the file");
}

static fv_err take_line(void *context, const fv_line *line)
{
    log_reader *r = context;
    fv_record record;
    if (!r->is_begun) {
        r->is_begun = 1;
        return check_head(r, line);
    }
    FV_TRY(fv_record_parse(line->text, line->size, line->name, &record));
    return fv_report_add(r->done, &record);
}

static fv_err read_log(void *context, const char *path)
{
    log_reader *r = context;
    r->path = path;
    r->is_begun = 0;
    return fv_lines_read(path, take_line, r);
}

/* A sample that was kept twice. */
static void drop_doubles(fv_report *done)
{
    size_t n = 0;
    for (size_t i = 0; i < done->n; i++) {
        fv_record *it = &done->records[i], *last = n > 0 ? &done->records[n - 1] : NULL;
        if (last && last->row == it->row && last->sample == it->sample)
            fv_record_fini(it);
        else
            done->records[n++] = *it;
    }
    done->n = n;
}

/* Rows of which a kill has left some samples alone. */
static void drop_parts(fv_report *done, size_t n_samples)
{
    size_t n = 0;
    for (size_t first = 0, end; first < done->n; first = end) {
        for (end = first; end < done->n && done->records[end].row == done->records[first].row;)
            end++;
        int is_whole = end - first == n_samples;
        for (size_t i = first; i < end; i++)
            if (is_whole)
                done->records[n++] = done->records[i];
            else
                fv_record_fini(&done->records[i]);
    }
    done->n = n;
}

fv_err fv_begun_read_records(const char *folder, const fv_report *asked, fv_report *done)
{
    log_reader r = {.asked = asked, .done = done};
    FV_TRY(for_each_log(folder, read_log, &r));
    fv_report_sort(done);
    drop_doubles(done);
    drop_parts(done, (size_t)fv_report_samples(asked));
    return FV_OK;
}

static fv_err open_log(fv_begun_log *log)
{
    char name[64], path[PATH_MAX];
    snprintf(name, sizeof name, "begun.%d.jsonl", log->rank);
    FV_TRY(fv_file_make_folder(log->folder));
    FV_TRY(fv_file_path(path, sizeof path, log->folder, name));
    FV_TRY(fv_line_file_open(path, "evaluation", &log->file));
    if (log->file.written == 0)
        FV_TRY(fv_buffer_print(&log->file.pending, "%s", log->head));
    return fv_line_file_begin(&log->file);
}

fv_err fv_begun_keep(void *context, const fv_record *record)
{
    fv_begun_log *log = context;
    if (!log->file.path && !log->is_off && open_log(log) != FV_OK) {
        log->is_off = 1;
        FV_LOG_RANK(WARN, "%s: a kill of this evaluation would lose its answers", fv_error_text());
    }
    if (log->is_off)
        return FV_OK;
    FV_TRY(fv_record_print(record, &log->file.pending));
    fv_line_file_flush(&log->file, 0);
    return fv_point("answered");
}

void fv_begun_log_close(fv_begun_log *log)
{
    (void)fv_line_file_close(&log->file);
}

static fv_err remove_log(void *context, const char *path)
{
    (void)context;
    (void)unlink(path);
    return FV_OK;
}

void fv_begun_remove(const char *folder)
{
    char path[PATH_MAX];
    if (fv_file_path(path, sizeof path, folder, file_name) == FV_OK)
        (void)unlink(path);
    (void)for_each_log(folder, remove_log, NULL);
}
