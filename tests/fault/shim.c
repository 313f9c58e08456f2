/* Preloaded into a program: system calls that save checkpoints fail now and then.
 *
 * FAULT_SHARE of the calls (0 to 1) that write, sync or rename something below a folder "checkpoints" fail: a
 * disk that is full (ENOSPC) or broken (EIO), a write that stops half-way, an fsync or a rename that fails.
 * FAULT_LOG, if set, is a file that gets a line for each.
 *
 * While the file FAULT_FULL is there the disk is full: all that creates or writes something below the folder
 * FAULT_BELOW fails with ENOSPC. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static const char mark[] = "/checkpoints/";

static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        abort();
    return found;
}
#define REAL(name) ((__typeof__(&name))real(#name))

/* From 0 to 1; other in every process and at every call. */
static double draw(void)
{
    static atomic_ulong n;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    unsigned long x =
        (unsigned long)now.tv_nsec * 2654435761u ^ (unsigned long)getpid() << 20 ^ ++n * 0x9e3779b97f4a7c15u;
    x ^= x >> 31;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 29;
    return (double)(x >> 11) / 9007199254740992.0;
}

static void note(const char *call, const char *path)
{
    char line[PATH_MAX + 64];
    const char *log = getenv("FAULT_LOG");
    if (!log)
        return;
    int length = snprintf(line, sizeof line, "%s %s\n", call, path);
    int descriptor = open(log, O_WRONLY | O_APPEND | O_CREAT, 0666);
    if (descriptor >= 0 && REAL(write)(descriptor, line, (size_t)length) == length)
        close(descriptor);
}

static int is_full(const char *path)
{
    const char *full = getenv("FAULT_FULL"), *below = getenv("FAULT_BELOW");
    return full && below && strncmp(path, below, strlen(below)) == 0 && access(full, F_OK) == 0;
}

static int is_due(const char *call, const char *path)
{
    const char *share = getenv("FAULT_SHARE");
    if (!share || !strstr(path, mark) || draw() >= atof(share))
        return 0;
    note(call, path);
    return 1;
}

/* 0 if it is no file. */
static int path_of(int descriptor, char path[PATH_MAX])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    path[n < 0 ? 0 : n] = '\0';
    return n > 0;
}

static int is_due_for(const char *call, int descriptor)
{
    char path[PATH_MAX];
    return path_of(descriptor, path) && is_due(call, path);
}

static int is_full_for(int descriptor)
{
    char path[PATH_MAX];
    return path_of(descriptor, path) && is_full(path);
}

static int refuse(void)
{
    errno = ENOSPC;
    return -1;
}

/* The call fails: -1. Or it writes some of the bytes: how many it may. */
static ssize_t spoil_write(size_t size)
{
    double kind = draw();
    if (kind < 0.4 && size > 1)
        return (ssize_t)(size / 2);
    errno = kind < 0.7 ? ENOSPC : EIO;
    return -1;
}

ssize_t write(int descriptor, const void *data, size_t size)
{
    if (is_full_for(descriptor))
        return refuse();
    ssize_t n = is_due_for("write", descriptor) ? spoil_write(size) : (ssize_t)size;
    return n < 0 ? -1 : REAL(write)(descriptor, data, (size_t)n);
}

ssize_t pwrite(int descriptor, const void *data, size_t size, off_t place)
{
    if (is_full_for(descriptor))
        return refuse();
    ssize_t n = is_due_for("pwrite", descriptor) ? spoil_write(size) : (ssize_t)size;
    return n < 0 ? -1 : REAL(pwrite)(descriptor, data, (size_t)n, place);
}

ssize_t pwrite64(int descriptor, const void *data, size_t size, off_t place)
{
    if (is_full_for(descriptor))
        return refuse();
    ssize_t n = is_due_for("pwrite", descriptor) ? spoil_write(size) : (ssize_t)size;
    return n < 0 ? -1 : REAL(pwrite64)(descriptor, data, (size_t)n, place);
}

static int spoil(void)
{
    errno = draw() < 0.5 ? EIO : ENOSPC;
    return -1;
}

int fsync(int descriptor)
{
    return is_due_for("fsync", descriptor) ? spoil() : REAL(fsync)(descriptor);
}

int rename(const char *from, const char *to)
{
    return is_due("rename", from) || is_due("rename", to) ? spoil() : REAL(rename)(from, to);
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags)
{
    return is_due("rename", from) ? spoil() : REAL(renameat2)(from_folder, from, to_folder, to, flags);
}

static int creates(const char *path, int flags)
{
    return flags & O_CREAT && access(path, F_OK) != 0 && is_full(path);
}

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return creates(path, flags) ? refuse() : REAL(open)(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return creates(path, flags) ? refuse() : REAL(open64)(path, flags, mode);
}

int mkdir(const char *path, mode_t mode)
{
    return is_full(path) ? refuse() : REAL(mkdir)(path, mode);
}
