/* The files of the journal. */
#include "run/journal_internal.h"

#include "fovea/base/file.h"
#include "fovea/base/log.h"
#include "fovea/base/patience.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

fv_err fv_journal_parse(const fv_line *line, fv_json **out)
{
    FV_TRY(fv_json_parse(line->text, line->size, line->name, out));
    if (fv_json_kind_of(*out) == FV_JSON_OBJECT)
        return FV_OK;
    fv_json_destroy(*out);
    *out = NULL;
    return FV_FAIL(FV_ERR_FORMAT, "%s: not a JSON object", line->name);
}

/* Beginning: the whole lines of the file as it was. */

typedef struct copying {
    fv_file_writer to;
    uint64_t size;       /* bytes of the file that count */
    uint64_t seen, kept; /* of lines that end in them */
} copying;

static fv_err copy_line(void *context, const fv_line *line)
{
    copying *c = context;
    fv_json *object;
    if (line->end > c->size)
        return FV_OK;
    c->seen = line->end;
    FV_TRY(fv_journal_parse(line, &object));
    fv_json_destroy(object);
    FV_TRY(fv_file_append(&c->to, line->text, line->size));
    FV_TRY(fv_file_append(&c->to, "\n", 1));
    c->kept += line->size + 1;
    return FV_OK;
}

static fv_err copy(const fv_journal_file *file, const char *made, uint64_t *kept)
{
    copying c = {.size = file->written};
    FV_TRY(fv_file_create(made, &c.to));
    fv_err err = c.size > 0 && fv_file_exists(file->path) ? fv_lines_read(file->path, copy_line, &c) : FV_OK;
    if (err != FV_OK) {
        fv_file_abandon(&c.to);
        return err;
    }
    if (c.seen < c.size)
        FV_LOG_RANK(WARN,
                    "%s has %llu bytes of whole lines, and had %llu when the run was saved: some are lost",
                    file->path, (unsigned long long)c.seen, (unsigned long long)c.size);
    *kept = c.kept;
    return fv_file_commit(&c.to);
}

/* It is open before it has its name: what has the name later may be another's. */
static fv_err begin(fv_journal_file *file)
{
    char made[PATH_MAX];
    uint64_t kept = 0;
    FV_TRY(fv_file_path(made, sizeof made, file->lease->own, file->name));
    FV_TRY(copy(file, made, &kept));
    int descriptor = open(made, O_WRONLY | O_APPEND | O_CLOEXEC);
    FV_CHECK(descriptor >= 0, FV_ERR_IO, "cannot open %s: %s", made, strerror(errno));
    fv_err err = fv_lease_publish(file->lease, file->name, file->path);
    if (err != FV_OK) {
        close(descriptor);
        return err;
    }
    file->descriptor = descriptor;
    file->written = kept;
    return FV_OK;
}

/* Writing. */

/* All of the pending lines or nothing. */
static fv_err write_pending(fv_journal_file *file)
{
    size_t done = 0;
    while (done < file->pending.size) {
        ssize_t n = write(file->descriptor, file->pending.data + done, file->pending.size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int reason = errno;
            if (done > 0 && ftruncate(file->descriptor, (off_t)file->written) != 0)
                file->written += done; /* a torn line, which cannot be taken back */
            return FV_FAIL(FV_ERR_IO, "cannot write to %s: %s", file->path, strerror(reason));
        }
        done += (size_t)n;
    }
    file->written += done;
    file->pending.size = 0;
    return FV_OK;
}

static fv_err try_write(fv_journal_file *file)
{
    fv_err err = file->descriptor < 0 ? begin(file) : FV_OK;
    if (err == FV_OK)
        err = write_pending(file);
    if (err != FV_OK)
        FV_TRY(fv_lease_check(file->lease));
    return err;
}

static void tell(fv_journal_file *file, int is_well)
{
    if (!is_well && !file->is_failing)
        FV_LOG_RANK(WARN, "%s; what is to be written waits in memory", fv_error_text());
    if (is_well && file->is_failing)
        FV_LOG_RANK(INFO, "%s is written again", file->path);
    if (is_well && file->n_lost > 0)
        FV_LOG_RANK(WARN, "%s: %lld lines are lost: more had to wait than %d bytes", file->path,
                    (long long)file->n_lost, FV_JOURNAL_PENDING);
    file->is_failing = !is_well;
    file->n_lost = is_well ? 0 : file->n_lost;
}

/* Fails if the folder is another's now. */
static fv_err flush(fv_journal_file *file)
{
    fv_err err = try_write(file);
    if (err != FV_OK && err != FV_ERR_IO)
        return err;
    tell(file, err == FV_OK);
    return FV_OK;
}

fv_err fv_journal_file_open(fv_journal_file *file, const fv_lease *lease, const char *folder,
                            const char *name, uint64_t size)
{
    char path[PATH_MAX];
    FV_TRY(fv_file_path(path, sizeof path, folder, name));
    *file = (fv_journal_file){
        .lease = lease, .path = strdup(path), .name = strdup(name), .descriptor = -1, .written = size};
    FV_CHECK(file->path && file->name, FV_ERR_MEMORY, "no memory for the path %s", path);
    return flush(file);
}

fv_err fv_journal_file_add(fv_journal_file *file, fv_json *object)
{
    size_t before = file->pending.size;
    fv_err err = object ? fv_json_print(object, 0, &file->pending)
                        : FV_FAIL(FV_ERR_MEMORY, "no memory for a line of %s", file->path);
    fv_json_destroy(object);
    FV_TRY(err);
    FV_TRY(fv_buffer_append(&file->pending, "\n", 1));
    if (file->pending.size > FV_JOURNAL_PENDING) {
        file->pending.size = before;
        file->n_lost++;
    }
    return flush(file);
}

fv_err fv_journal_file_close(fv_journal_file *file, int is_patient)
{
    fv_patience patience = {0};
    fv_err err = FV_OK;
    while (file->name && (file->pending.size > 0 || file->descriptor < 0)) {
        err = try_write(file);
        if (err != FV_ERR_IO || !is_patient || !fv_patience_wait(&patience))
            break;
    }
    if (file->name && file->descriptor >= 0 && close(file->descriptor) != 0 && err == FV_OK)
        err = FV_FAIL(FV_ERR_IO, "cannot write to %s: %s", file->path, strerror(errno));
    free(file->path);
    free(file->name);
    fv_buffer_fini(&file->pending);
    *file = (fv_journal_file){0};
    return err;
}
