/* Taking a run's folder, and why no two programs can both commit to it.
 *
 * 1. Lock RUN/lock, or be a later start of the job that has it: that copy may live on where nobody reaches
 * it.
 * 2. Make .epoch_N with an N above all that there were. Only one program can make a folder: N is ours alone.
 * 3. Rename away the folders of earlier epochs, then remove them. What an older copy commits, it renames out
 * of its own epoch's folder. Either it did so before step 3, and we find it whole; or it fails, and the copy
 * learns that it was taken over.
 * 4. Put a new lock file under the old name, by a rename as well. Who still has the old file locked has
 * nothing: after locking, everybody looks whether the file that has the name is the one that he has locked.
 */
#include "fovea/run/lease.h"

#include "fovea/base/process/allocation.h"
#include "fovea/base/clock.h"
#include "fovea/base/file.h"
#include "fovea/base/log.h"
#include "fovea/base/phase.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_S = 10, NOTICE_S = 2, FACT_BYTES = 128, TEXT_BYTES = 1024 };

/* What is written in the lock. */
typedef struct holder {
    char host[FACT_BYTES], job[FACT_BYTES], since[FACT_BYTES];
    long process;
    uint64_t restart, epoch;
} holder;

static const char lock_format[] =
    "host: %s\nprocess: %ld\njob: %s\nrestart: %" PRIu64 "\nsince: %s\nepoch: %" PRIu64 "\n";

static const char *or_none(const char *text)
{
    return text && *text ? text : "none";
}

static holder myself(void)
{
    holder h = {.process = (long)getpid()};
    const char *restart = getenv("SLURM_RESTART_COUNT");
    time_t now = time(NULL);
    struct tm when;
    if (gethostname(h.host, sizeof h.host - 1) != 0)
        snprintf(h.host, sizeof h.host, "unknown");
    fv_allocation_job(h.job, sizeof h.job);
    if (!h.job[0])
        snprintf(h.job, sizeof h.job, "none");
    h.restart = restart ? strtoull(restart, NULL, 10) : 0;
    strftime(h.since, sizeof h.since, "%Y-%m-%d %H:%M:%S UTC", gmtime_r(&now, &when));
    return h;
}

/* {0} if the lock has nothing, or nothing of ours. Read, not mapped: whoever wrote it may be of a version
 * that writes it in place. */
static holder read_holder(const char *path)
{
    char text[TEXT_BYTES] = "";
    holder h = {0};
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0)
        return h;
    ssize_t size = read(descriptor, text, sizeof text - 1);
    close(descriptor);
    if (size <= 0)
        return h;
    int n = sscanf(text,
                   "host: %127[^\n]\nprocess: %ld\njob: %127[^\n]\nrestart: %" SCNu64
                   "\nsince: %127[^\n]\nepoch: %" SCNu64,
                   h.host, &h.process, h.job, &h.restart, h.since, &h.epoch);
    return n == 6 ? h : (holder){0};
}

static fv_err write_holder(const fv_lease *lease, const holder *h)
{
    char text[TEXT_BYTES];
    int n =
        snprintf(text, sizeof text, lock_format, h->host, h->process, h->job, h->restart, h->since, h->epoch);
    FV_CHECK(pwrite(lease->descriptor, text, (size_t)n, 0) == n && fsync(lease->descriptor) == 0, FV_ERR_IO,
             "cannot write %s: %s", lease->lock, strerror(errno));
    return FV_OK;
}

/* The lock. */

static int try_lock(int descriptor)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(descriptor, F_OFD_SETLK, &whole) == 0 ? 0 : errno;
}

/* An earlier start of this job holds it. */
static int is_predecessor(const holder *other, const holder *self)
{
    return strcmp(self->job, "none") != 0 && strcmp(other->job, self->job) == 0 &&
           other->restart < self->restart;
}

static fv_err refuse(const fv_lease *lease, const holder *other)
{
    return FV_FAIL(
        FV_ERR_ARGUMENT,
        "%s says that process %ld on %s (job %s) has been writing this run since %s: wait until it "
        "ends, end it, or give another folder as out",
        lease->lock, other->process, other->host, or_none(other->job), or_none(other->since));
}

/* The file of that name may be a newer lease's by now. */
static int is_current(const fv_lease *lease)
{
    struct stat ours, named;
    return fstat(lease->descriptor, &ours) == 0 && stat(lease->lock, &named) == 0 &&
           ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

static fv_err open_lock(fv_lease *lease)
{
    if (lease->descriptor >= 0)
        close(lease->descriptor);
    lease->descriptor = open(lease->lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    FV_CHECK(lease->descriptor >= 0, FV_ERR_IO, "cannot open %s: %s", lease->lock, strerror(errno));
    return FV_OK;
}

static fv_err lock(fv_lease *lease, const holder *self)
{
    double from = fv_clock_now();
    int is_noticed = 0;
    for (;; fv_phase_move()) {
        FV_TRY(open_lock(lease));
        int reason = try_lock(lease->descriptor);
        if (reason == 0 && is_current(lease))
            return FV_OK;
        if (reason == 0)
            continue;
        if (reason != EAGAIN && reason != EACCES) {
            FV_LOG_RANK(WARN, "%s cannot be locked (%s): only epochs keep two programs apart here",
                        lease->lock, strerror(reason));
            return FV_OK;
        }
        holder other = read_holder(lease->lock);
        if (is_predecessor(&other, self)) {
            FV_LOG_RANK(INFO, "taking %s from process %ld on %s, an earlier start of job %s", lease->lock,
                        other.process, other.host, other.job);
            return FV_OK;
        }
        double waited = fv_clock_now() - from;
        if (waited > PATIENCE_S)
            return refuse(lease, &other);
        if (waited > NOTICE_S && !is_noticed++)
            FV_LOG_RANK(INFO, "waiting for process %ld on %s to let %s go", other.process, other.host,
                        lease->lock);
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
}

/* Epochs. */

static const char epoch_prefix[] = ".epoch_";

static int is_epoch(const struct dirent *entry)
{
    return strncmp(entry->d_name, epoch_prefix, strlen(epoch_prefix)) == 0;
}

static uint64_t epoch_of(const char *name)
{
    return strtoull(name + strlen(epoch_prefix), NULL, 10);
}

/* Call each for the folders of all epochs. */
static fv_err for_epochs(fv_lease *lease, fv_err (*each)(fv_lease *lease, const char *name))
{
    struct dirent **entries;
    int n = scandir(lease->checkpoints, &entries, is_epoch, alphasort);
    fv_err err = FV_OK;
    FV_CHECK(n >= 0, FV_ERR_IO, "cannot read folder %s: %s", lease->checkpoints, strerror(errno));
    for (int i = 0; i < n; i++) {
        if (err == FV_OK)
            err = each(lease, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return err;
}

static fv_err pass(fv_lease *lease, const char *name)
{
    if (epoch_of(name) >= lease->epoch)
        lease->epoch = epoch_of(name) + 1;
    return FV_OK;
}

/* First its name goes, at once, then what is in it. */
static fv_err fence(fv_lease *lease, const char *name)
{
    char path[PATH_MAX], gone[PATH_MAX], gone_name[NAME_MAX + 16];
    if (epoch_of(name) >= lease->epoch)
        return FV_OK;
    snprintf(gone_name, sizeof gone_name, ".fenced_%s", name + strlen(epoch_prefix));
    FV_TRY(fv_file_path(path, sizeof path, lease->checkpoints, name));
    FV_TRY(fv_file_path(gone, sizeof gone, lease->checkpoints, gone_name));
    FV_TRY(fv_file_remove_tree(gone));
    FV_CHECK(rename(path, gone) == 0 || errno == ENOENT, FV_ERR_IO, "cannot rename %s to %s: %s", path, gone,
             strerror(errno));
    return fv_file_remove_tree(gone);
}

/* A folder that was not there: whoever makes it has this epoch. */
static fv_err begin_epoch(fv_lease *lease)
{
    char name[64];
    FV_TRY(for_epochs(lease, pass));
    for (;; lease->epoch++) {
        snprintf(name, sizeof name, "%s%" PRIu64, epoch_prefix, lease->epoch);
        FV_TRY(fv_file_path(lease->own, sizeof lease->own, lease->checkpoints, name));
        if (mkdir(lease->own, 0777) == 0)
            return for_epochs(lease, fence);
        FV_CHECK(errno == EEXIST, FV_ERR_IO, "cannot create folder %s: %s", lease->own, strerror(errno));
    }
}

/* A new file under the old name, locked before it has it; then the file before is let go. */
static fv_err name_holder(fv_lease *lease, const holder *h)
{
    char made[PATH_MAX];
    int before = lease->descriptor;
    fv_err err = FV_OK;
    FV_TRY(fv_file_path(made, sizeof made, lease->own, "lock"));
    lease->descriptor = open(made, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    FV_CHECK_DONE(lease->descriptor >= 0, FV_ERR_IO, "cannot create %s: %s", made, strerror(errno));
    (void)try_lock(lease->descriptor); /* where there are no locks, the log has said so */
    FV_TRY_DONE(write_holder(lease, h));
    FV_TRY_DONE(fv_lease_publish(lease, "lock", lease->lock));
done:
    close(before);
    return err;
}

static fv_err acquire(const char *run, fv_lease *lease)
{
    holder self = myself();
    FV_TRY(fv_file_make_folders(run));
    FV_TRY(fv_file_path(lease->lock, sizeof lease->lock, run, "lock"));
    FV_TRY(fv_file_path(lease->checkpoints, sizeof lease->checkpoints, run, "checkpoints"));
    FV_TRY(fv_file_make_folder(lease->checkpoints));
    FV_TRY(lock(lease, &self));
    lease->epoch = read_holder(lease->lock).epoch + 1;
    FV_TRY(begin_epoch(lease));
    self.epoch = lease->epoch;
    return name_holder(lease, &self);
}

fv_err fv_lease_take(const char *run, fv_lease *out)
{
    *out = (fv_lease){.descriptor = -1};
    fv_err err = acquire(run, out);
    if (err != FV_OK)
        fv_lease_release(out);
    return err;
}

fv_err fv_lease_check(const fv_lease *lease)
{
    if (fv_file_exists(lease->own))
        return FV_OK;
    holder now = read_holder(lease->lock);
    return FV_FAIL(FV_ERR_ARGUMENT,
                   "%s was taken over by process %ld on %s (job %s, restart %" PRIu64 ") at %s: this copy of "
                   "the run, of epoch %" PRIu64 ", ends here and has committed nothing since",
                   lease->lock, now.process, or_none(now.host), or_none(now.job), now.restart,
                   or_none(now.since), lease->epoch);
}

static fv_err publish(const char *made, const char *path)
{
    struct stat info;
    FV_CHECK(stat(made, &info) == 0, FV_ERR_IO, "cannot examine %s: %s", made, strerror(errno));
    if (S_ISDIR(info.st_mode)) {
        FV_TRY(fv_file_replace_folder(made, path));
        return fv_file_remove_tree(made); /* what was at path */
    }
    FV_CHECK(rename(made, path) == 0, FV_ERR_IO, "cannot rename %s to %s: %s", made, path, strerror(errno));
    return fv_file_sync_folder_of(path);
}

fv_err fv_lease_publish(const fv_lease *lease, const char *name, const char *path)
{
    char made[PATH_MAX];
    FV_TRY(fv_file_path(made, sizeof made, lease->own, name));
    fv_err err = publish(made, path);
    if (err != FV_OK)
        FV_TRY(fv_lease_check(lease));
    return err;
}

void fv_lease_release(fv_lease *lease)
{
    if (lease->descriptor >= 0) {
        if (lease->own[0])
            fv_file_remove_tree(lease->own); /* what is left is no part of the run */
        close(lease->descriptor);
    }
    *lease = (fv_lease){.descriptor = -1};
}
