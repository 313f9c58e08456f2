#include "fovea/stop.h"

#include "fovea/launcher.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

static atomic_int is_requested;
static atomic_uint_fast64_t n_places;

void fv_stop_request(void)
{
    is_requested = 1;
}

int fv_stop_requested(void)
{
    n_places++;
    return is_requested;
}

uint64_t fv_stop_places(void)
{
    return n_places;
}

static void on_signal(int number, siginfo_t *from, void *context)
{
    (void)context;
    fv_stop_request();
    if (number == SIGTERM)
        fv_launcher_hold(from->si_pid);
    if (number == SIGINT)
        signal(SIGINT, SIG_DFL);
}

fv_err fv_stop_on_signals(void)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGUSR1};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_RESTART | SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    fv_launcher_find();
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        FV_CHECK(sigaction(numbers[i], &action, NULL) == 0, FV_ERR_INTERNAL, "cannot handle signal %d: %s",
                 numbers[i], strerror(errno));
    return FV_OK;
}
