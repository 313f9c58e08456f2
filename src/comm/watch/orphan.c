#include "comm/watch/orphan.h"

#include "fovea/base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
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

fv_err fv_orphan_guard_start(fv_orphan_guard *guard)
{
    guard->parent = getppid();
    FV_CHECK(pipe2(guard->bell, O_CLOEXEC) == 0, FV_ERR_IO, "cannot make a pipe: %s", strerror(errno));
    fv_err err = fv_thread_start(&guard->thread, keep_guard, guard);
    for (int i = 0; i < 2 && err != FV_OK; i++)
        close(guard->bell[i]);
    return err;
}

void fv_orphan_guard_stop(fv_orphan_guard *guard)
{
    close(guard->bell[1]);
    pthread_join(guard->thread, NULL);
    close(guard->bell[0]);
}
