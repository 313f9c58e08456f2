#include "fovea/stop.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

static atomic_int is_requested;

void fv_stop_request(void)
{
    is_requested = 1;
}

int fv_stop_requested(void)
{
    return is_requested;
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
