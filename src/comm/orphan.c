#include "comm/orphan.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EVERY_MS = 500 };

static void *keep_guard(void *context)
{
    const fv_orphan_guard *guard = context;
    struct pollfd bell = {guard->bell[0], POLLIN, 0};
    while (poll(&bell, 1, EVERY_MS) <= 0)
        if (getppid() != guard->parent) {
            fprintf(stderr, "fovea: the launcher ended while MPI was starting\n");
            _exit(EXIT_FAILURE);
        }
    return NULL;
}

/* Signals are for the main thread. */
fv_err fv_orphan_guard_start(fv_orphan_guard *guard)
{
    sigset_t all, before;
    guard->parent = getppid();
    FV_CHECK(pipe2(guard->bell, O_CLOEXEC) == 0, FV_ERR_IO, "cannot make a pipe: %s", strerror(errno));
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&guard->thread, NULL, keep_guard, guard);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failed)
        return FV_OK;
    for (int i = 0; i < 2; i++)
        close(guard->bell[i]);
    return FV_FAIL(FV_ERR_MEMORY, "cannot start a thread: %s", strerror(failed));
}

void fv_orphan_guard_stop(fv_orphan_guard *guard)
{
    close(guard->bell[1]);
    pthread_join(guard->thread, NULL);
    close(guard->bell[0]);
}
