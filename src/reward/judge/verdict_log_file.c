/* The files of the verdict log. */
#include "fovea/base/clock.h"
#include "fovea/base/file.h"
#include "fovea/io/hdf5/hdf5.h"
#include "fovea/base/log.h"
#include "reward/judge/verdict_log_internal.h"
#include "base/hash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

static const char file_name[] = "verdicts.h5";
static const double patience_s = 5;

enum { MAX_WAITING = 64 << 20 /* bytes */ };

/* verdicts.h5. */

static int is_score(double score)
{
    return score >= 0 && score <= 1;
}

static fv_err put_all(fv_verdict_log *log, const char *path, const uint64_t *keys, size_t n_keys,
                      const double *scores, size_t n)
{
    FV_CHECK(n_keys == 2 * n, FV_ERR_FORMAT, "%s: %zu numbers as keys of %zu verdicts", path, n_keys, n);
    for (size_t i = 0; i < n; i++)
        FV_CHECK(is_score(scores[i]), FV_ERR_FORMAT, "%s: verdict %zu is %g, expected 0 to 1", path, i,
                 scores[i]);
    for (size_t i = 0; i < n; i++) {
        const fv_logged verdict = {{keys[2 * i], keys[2 * i + 1]}, scores[i]};
        FV_TRY(fv_verdict_log_put(log, &verdict));
    }
    return FV_OK;
}

static fv_err read_sets(fv_verdict_log *log, const char *path, fv_hdf5 *file)
{
    void *keys = NULL, *scores = NULL;
    size_t n_keys, n;
    fv_err err = FV_OK;
    FV_TRY_DONE(fv_hdf5_read(file, "key", FV_U64, &keys, &n_keys));
    FV_TRY_DONE(fv_hdf5_read(file, "score", FV_F64, &scores, &n));
    FV_TRY_DONE(put_all(log, path, keys, n_keys, scores, n));
done:
    free(keys);
    free(scores);
    return err;
}

static fv_err read_hdf5(fv_verdict_log *log, const char *path)
{
    fv_hdf5 *file;
    FV_TRY(fv_hdf5_open(path, &file));
    fv_err err = read_sets(log, path, file), closed = fv_hdf5_close(file);
    return err != FV_OK ? err : closed;
}

/* It is only a cache: one that is damaged is put where a person may look at it. Another process may have done
 * so. */
static fv_err set_aside(const char *path)
{
    char aside[PATH_MAX];
    FV_CHECK(snprintf(aside, sizeof aside, "%s.damaged", path) < (int)sizeof aside, FV_ERR_ARGUMENT,
             "path too long: %s", path);
    FV_LOG_RANK(WARN, "%s; it is set aside as %s, and what it knew is asked again", fv_error_text(), aside);
    FV_CHECK(rename(path, aside) == 0 || errno == ENOENT, FV_ERR_IO, "cannot rename %s to %s: %s", path,
             aside, strerror(errno));
    return FV_OK;
}

static fv_err read_file(fv_verdict_log *log)
{
    char path[PATH_MAX];
    FV_TRY(fv_file_path(path, sizeof path, log->folder, file_name));
    fv_err err = fv_file_exists(path) ? read_hdf5(log, path) : FV_OK;
    return err == FV_ERR_FORMAT || err == FV_ERR_IO ? set_aside(path) : err;
}

static fv_err write_sets(const fv_verdict_log *log, fv_hdf5 *file)
{
    uint64_t *keys = malloc((size_t)(2 * log->n + 1) * sizeof *keys);
    double *scores = malloc((size_t)(log->n + 1) * sizeof *scores);
    fv_err err = FV_OK;
    FV_CHECK_DONE(keys && scores, FV_ERR_MEMORY, "cannot allocate %lld verdicts", (long long)log->n);
    for (int64_t i = 0; i < log->n; i++) {
        keys[2 * i] = log->items[i].key.low;
        keys[2 * i + 1] = log->items[i].key.high;
        scores[i] = log->items[i].score;
    }
    FV_TRY_DONE(fv_hdf5_write(file, "key", FV_U64, 2, (int64_t[]){log->n, 2}, keys));
    FV_TRY_DONE(fv_hdf5_write(file, "score", FV_F64, 1, &log->n, scores));
done:
    free(keys);
    free(scores);
    return err;
}

fv_err fv_verdict_log_write(fv_verdict_log *log)
{
    char path[PATH_MAX], temporary[PATH_MAX];
    fv_hdf5 *file;
    FV_TRY(fv_file_path(path, sizeof path, log->folder, file_name));
    FV_TRY(fv_file_path(temporary, sizeof temporary, log->folder, "verdicts.h5.tmp"));
    FV_TRY(fv_hdf5_create(temporary, &file));
    fv_err err = write_sets(log, file), closed = fv_hdf5_close(file);
    FV_TRY(err != FV_OK ? err : closed);
    FV_TRY(fv_file_sync(temporary));
    FV_CHECK(rename(temporary, path) == 0, FV_ERR_IO, "cannot rename %s to %s: %s", temporary, path,
             strerror(errno));
    return fv_file_sync(log->folder);
}

/* Journals. */

static uint64_t check_of(const fv_logged *verdict)
{
    return XXH3_64bits(verdict, sizeof *verdict);
}

/* A whole record; 0 at the end, also at a torn one. Read, not mapped: its owner may cut it short meanwhile.
 */
static int read_record(int descriptor, fv_logged *out)
{
    fv_logged_record record;
    if (read(descriptor, &record, sizeof record) != (ssize_t)sizeof record ||
        record.check != check_of(&record.verdict) || !is_score(record.verdict.score))
        return 0;
    *out = record.verdict;
    return 1;
}

static fv_err read_journal(fv_verdict_log *log, const char *name)
{
    char path[PATH_MAX];
    fv_logged verdict;
    fv_err err = FV_OK;
    FV_TRY(fv_file_path(path, sizeof path, log->folder, name));
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    FV_CHECK(descriptor >= 0, FV_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    while (err == FV_OK && read_record(descriptor, &verdict)) {
        err = fv_verdict_log_put(log, &verdict);
        log->n_unfolded++;
    }
    close(descriptor);
    return err;
}

static int is_journal(const struct dirent *entry)
{
    int rank, end = 0;
    sscanf(entry->d_name, "verdicts.%d.journal%n", &rank, &end);
    return end > 0 && entry->d_name[end] == '\0';
}

static fv_err read_journals(fv_verdict_log *log)
{
    struct dirent **entries;
    int n = scandir(log->folder, &entries, is_journal, versionsort);
    fv_err err = FV_OK;
    FV_CHECK(n >= 0, FV_ERR_IO, "cannot read folder %s: %s", log->folder, strerror(errno));
    for (int i = 0; i < n; i++) {
        if (err == FV_OK)
            err = read_journal(log, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return err;
}

fv_err fv_verdict_log_read(fv_verdict_log *log)
{
    FV_TRY(read_file(log));
    return read_journals(log);
}

/* One that is killed holds its journal until the system has cleared it away: whoever starts the run again at
 * once waits for that. */
static fv_err lock_journal(const fv_verdict_log *log, const char *path)
{
    const struct timespec pause = {0, 20000000};
    double from = fv_clock_now(), told_s = 1;
    while (flock(log->journal, LOCK_EX | LOCK_NB) != 0) {
        double waited_s = fv_clock_now() - from;
        FV_CHECK(errno == EWOULDBLOCK || errno == EINTR, FV_ERR_IO, "cannot lock %s: %s", path,
                 strerror(errno));
        FV_CHECK(waited_s < patience_s, FV_ERR_ARGUMENT,
                 "%s is in use by another run: give this one a judge.log of its own", path);
        if (waited_s > told_s) {
            FV_LOG_RANK(INFO, "%s is in use: waiting up to %g s for it", path, patience_s);
            told_s = patience_s;
        }
        nanosleep(&pause, NULL);
    }
    return FV_OK;
}

static fv_err open_at_end(fv_verdict_log *log, const char *path)
{
    fv_logged verdict;
    FV_TRY(lock_journal(log, path));
    for (log->whole = 0; read_record(log->journal, &verdict);)
        log->whole += (int64_t)sizeof(fv_logged_record);
    FV_CHECK(ftruncate(log->journal, log->whole) == 0, FV_ERR_IO, "cannot write %s: %s", path,
             strerror(errno));
    return FV_OK;
}

/* Behind its last whole record. */
static fv_err open_journal(fv_verdict_log *log)
{
    char name[64], path[PATH_MAX];
    if (log->journal >= 0)
        return FV_OK;
    snprintf(name, sizeof name, "verdicts.%d.journal", log->rank);
    FV_TRY(fv_file_path(path, sizeof path, log->folder, name));
    log->journal = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    FV_CHECK(log->journal >= 0, FV_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    fv_err err = open_at_end(log, path);
    if (err == FV_OK)
        return FV_OK;
    close(log->journal);
    log->journal = -1;
    return err;
}

/* A record that is torn is written again from its start. */
static fv_err write_waiting(fv_verdict_log *log)
{
    size_t done = 0, record = sizeof(fv_logged_record);
    fv_err err = FV_OK;
    while (done < log->waiting.size && err == FV_OK) {
        ssize_t n = pwrite(log->journal, log->waiting.data + done, log->waiting.size - done,
                           log->whole + (off_t)done);
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            err = FV_FAIL(FV_ERR_IO, "cannot write the journal of verdicts in %s: %s", log->folder,
                          strerror(errno));
    }
    done -= done % record;
    log->whole += (int64_t)done;
    log->waiting.size -= done;
    memmove(log->waiting.data, log->waiting.data + done, log->waiting.size);
    return err;
}

fv_err fv_verdict_log_flush(fv_verdict_log *log)
{
    if (log->waiting.size == 0)
        return FV_OK;
    fv_err err = open_journal(log);
    if (err == FV_OK)
        err = write_waiting(log);
    if (err != FV_OK && err != FV_ERR_IO) {
        log->waiting.size = 0; /* the journal is another's */
        return err;
    }
    if (err == FV_ERR_IO && !log->is_failing)
        FV_LOG_RANK(WARN, "%s; verdicts wait in memory", fv_error_text());
    if (err == FV_OK && log->is_failing)
        FV_LOG_RANK(INFO, "the journal of verdicts in %s is written again", log->folder);
    log->is_failing = err != FV_OK;
    return FV_OK;
}

/* One that is lost for want of memory will be asked for again. */
fv_err fv_verdict_log_append(fv_verdict_log *log, const fv_logged *verdict)
{
    const fv_logged_record record = {*verdict, check_of(verdict)};
    if (log->waiting.size < MAX_WAITING)
        FV_TRY(fv_buffer_append(&log->waiting, &record, sizeof record));
    return fv_verdict_log_flush(log);
}

/* Journals of ranks that there are no more are left: what is in them is known, and read once more is no harm.
 * So it is with what waits: it is in the file by now.
 */
fv_err fv_verdict_log_restart(fv_verdict_log *log)
{
    FV_TRY(open_journal(log));
    FV_CHECK(ftruncate(log->journal, 0) == 0, FV_ERR_IO, "cannot write the journal of verdicts in %s: %s",
             log->folder, strerror(errno));
    log->whole = 0;
    log->waiting.size = 0;
    return FV_OK;
}
