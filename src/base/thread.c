#include "fovea/base/thread.h"

#include <signal.h>
#include <string.h>

fv_err fv_thread_start(pthread_t *thread, void *(*run)(void *), void *context)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(thread, NULL, run, context);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    FV_CHECK(failed == 0, FV_ERR_MEMORY, "cannot start a thread: %s", strerror(failed));
    return FV_OK;
}
