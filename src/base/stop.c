#include "fovea/stop.h"

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

static void on_signal(int number)
{
    fv_stop_request();
    if (number == SIGINT)
        signal(SIGINT, SIG_DFL);
}

fv_err fv_stop_on_signals(void)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGUSR1};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        FV_CHECK(sigaction(numbers[i], &action, NULL) == 0, FV_ERR_INTERNAL, "cannot handle signal %d: %s",
                 numbers[i], strerror(errno));
    return FV_OK;
}
