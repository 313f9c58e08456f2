/* The end of a run at fault: who did what, and out. */
#include "comm/watch/watch_internal.h"

#include "fovea/base/clock.h"
#include "fovea/base/process/launcher.h"
#include "fovea/base/log.h"
#include "fovea/base/phase.h"

#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum { MAX_FRAMES = 32, MAX_RANKS_TOLD = 64, STACK_US = 300000 };

/* On the main thread: it is stopped where it is. */
static void print_stack(int number)
{
    void *frames[MAX_FRAMES];
    (void)number;
    backtrace_symbols_fd(frames, backtrace(frames, MAX_FRAMES), STDERR_FILENO);
    for (;;)
        pause();
}

static void tell_ranks(const fv_watch *watch)
{
    double now = fv_clock_now();
    for (int rank = 1; rank < watch->world->size && rank < MAX_RANKS_TOLD; rank++) {
        const fv_peer *peer = &watch->peers[rank];
        const fv_beat *last = &peer->last;
        FV_LOG_RANK(ERROR, "rank %d (%s, process %d): %s%s%s, heard of %.1f s ago", rank, last->host,
                    last->process, last->phase, last->inside[0] ? ", in " : "", last->inside,
                    now - peer->heard);
    }
}

void fv_watch_end(fv_watch *watch, const char *sentence, double grace_s)
{
    void *frame;
    const fv_phase phase = fv_phase_get();
    if (sentence)
        FV_LOG_RANK(ERROR, "%s", sentence);
    if (watch->world->rank == 0) {
        tell_ranks(watch);
        fv_beat_send(watch, FV_BEAT_END);
    }
    FV_LOG_RANK(ERROR, "phase %s%s%s%s%s; the main thread's stack:", phase.name, phase.inside ? ", in " : "",
                phase.inside ? phase.inside : "", phase.operation ? ", last operation " : "",
                phase.operation ? phase.operation : "");
    (void)backtrace(&frame, 1); /* loads what it needs now, not in the handler */
    signal(SIGUSR2, print_stack);
    pthread_kill(watch->main_thread, SIGUSR2);
    usleep(STACK_US);
    fv_launcher_release(); /* it may end this process first */
    usleep((useconds_t)(1e6 * grace_s));
    _exit(watch->status);
}
