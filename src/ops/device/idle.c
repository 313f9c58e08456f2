#include "fovea/ops/idle.h"

#include "fovea/base/thread.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum { INTERVAL_NS = 500000 };

struct fv_idle {
    fv_backend *backend; /* borrowed */
    pthread_t thread;
    atomic_int is_over;
    atomic_llong n, n_idle;
};

static void *ask(void *context)
{
    static const struct timespec interval = {.tv_nsec = INTERVAL_NS};
    fv_idle *idle = context;
    while (!atomic_load(&idle->is_over)) {
        int answer = idle->backend->table->is_idle(idle->backend);
        atomic_fetch_add(&idle->n_idle, answer > 0);
        atomic_fetch_add(&idle->n, answer >= 0);
        nanosleep(&interval, NULL);
    }
    return NULL;
}

fv_err fv_idle_start(fv_backend *backend, fv_idle **out)
{
    *out = NULL;
    if (!backend->table->is_idle)
        return FV_OK;
    fv_idle *idle = calloc(1, sizeof *idle);
    FV_CHECK(idle, FV_ERR_MEMORY, "cannot allocate a watch over a device");
    idle->backend = backend;
    fv_err err = fv_thread_start(&idle->thread, ask, idle);
    if (err == FV_OK)
        *out = idle;
    else
        free(idle);
    return err;
}

void fv_idle_stop(fv_idle *idle)
{
    if (!idle)
        return;
    atomic_store(&idle->is_over, 1);
    pthread_join(idle->thread, NULL);
    free(idle);
}

fv_idle_counts fv_idle_look(fv_idle *idle)
{
    if (!idle)
        return (fv_idle_counts){0};
    return (fv_idle_counts){.n = atomic_load(&idle->n), .n_idle = atomic_load(&idle->n_idle)};
}

double fv_idle_share(fv_idle_counts from, fv_idle_counts to)
{
    return to.n > from.n ? (double)(to.n_idle - from.n_idle) / (double)(to.n - from.n) : (double)NAN;
}
