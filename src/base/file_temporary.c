/* Files that are not whole yet. Their names cannot be foreseen and are taken by nobody else, so that nothing
 * is written through a link that waits in a shared folder; a signal that ends the process removes them. */
#include "file_temporary.h"

#include "fovea/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { MAX_TEMPORARIES = 64, ATTEMPTS = 100 };

static _Atomic(const char *) temporaries[MAX_TEMPORARIES];

/* A file beyond the number that fits is written all the same. */
static void remember(const char *path)
{
    for (int i = 0; i < MAX_TEMPORARIES; i++) {
        const char *none = NULL;
        if (atomic_compare_exchange_strong(&temporaries[i], &none, path))
            return;
    }
}

void fv_temporary_forget(const char *path)
{
    for (int i = 0; i < MAX_TEMPORARIES; i++) {
        const char *known = path;
        if (atomic_compare_exchange_strong(&temporaries[i], &known, NULL))
            return;
    }
}

static int create(const char *path, char **temporary)
{
    uint64_t number;
    if (getrandom(&number, sizeof number, 0) != sizeof number)
        return -1;
    if (asprintf(temporary, "%s.tmp.%016llx", path, (unsigned long long)number) < 0) {
        *temporary = NULL;
        errno = ENOMEM;
        return -1;
    }
    return open(*temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
}

fv_err fv_temporary_create(const char *path, char **temporary, int *descriptor)
{
    *descriptor = -1;
    for (int i = 0; i < ATTEMPTS && *descriptor < 0; i++) {
        *temporary = NULL;
        *descriptor = create(path, temporary);
        int reason = errno;
        if (*descriptor >= 0)
            break;
        free(*temporary);
        *temporary = NULL;
        FV_CHECK(reason == EEXIST, FV_ERR_IO, "cannot create %s: %s", path, strerror(reason));
    }
    FV_CHECK(*descriptor >= 0, FV_ERR_IO, "cannot create %s: every name beside it is taken", path);
    remember(*temporary);
    return FV_OK;
}

void fv_file_end_by_signal(int number)
{
    for (int i = 0; i < MAX_TEMPORARIES; i++) {
        const char *path = temporaries[i];
        if (path)
            unlink(path);
    }
    signal(number, SIG_DFL);
    raise(number);
}

fv_err fv_file_clean_on_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = fv_file_end_by_signal}, before;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        int failed = sigaction(numbers[i], NULL, &before);
        if (!failed && before.sa_handler == SIG_DFL) /* what was ignored for this process stays so */
            failed = sigaction(numbers[i], &action, NULL);
        FV_CHECK(!failed, FV_ERR_INTERNAL, "cannot handle signal %d: %s", numbers[i], strerror(errno));
    }
    return FV_OK;
}
