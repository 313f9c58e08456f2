#include "fovea/base/thread.h"

#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

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

int fv_thread_cores(void)
{
    cpu_set_t set;
    long n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}
