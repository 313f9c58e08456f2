#include "fovea/base/process/stop.h"

#include "fovea/base/process/launcher.h"
#include "fovea/base/log.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_int is_requested, is_told;
static atomic_int first; /* signal that requested a stop */
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

int fv_stop_signal(void)
{
    return first;
}

void fv_stop_say_no_more(void)
{
    is_told = 1;
}

uint64_t fv_stop_places(void)
{
    return n_places;
}

/* One of all ranks says so; their number is what the launcher tells, for MPI may not have started. */
static int is_first_rank(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *rank = getenv(names[i]);
        if (rank)
            return strcmp(rank, "0") == 0;
    }
    return 1;
}

/* In the handler: what is under way may take minutes, and nobody should wonder meanwhile. */
static void tell(void)
{
    static const char clear[] = "\r\033[K";
    static const char line[] =
        "fovea[0] info: stopping: what is under way is finished and saved first; Ctrl-C again ends "
        "the program now\n";
    int reason = errno;
    if (fv_log_has_status())
        (void)!write(STDERR_FILENO, clear, sizeof clear - 1);
    (void)!write(STDERR_FILENO, line, sizeof line - 1);
    errno = reason;
}

static void request_by(int number)
{
    atomic_compare_exchange_strong(&first, &(int){0}, number);
    fv_stop_request();
}

static void on_signal(int number, siginfo_t *from, void *context)
{
    (void)context;
    if (!atomic_exchange(&is_told, 1))
        tell();
    request_by(number);
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
    signal(SIGPIPE, SIG_IGN); /* who reads what is said may end first */
    is_told = !is_first_rank();
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        FV_CHECK(sigaction(numbers[i], &action, NULL) == 0, FV_ERR_INTERNAL, "cannot handle signal %d: %s",
                 numbers[i], strerror(errno));
    return FV_OK;
}

static struct sigaction before_interrupt, before_term;

static void on_interrupt(int number)
{
    request_by(number);
    sigaction(number, number == SIGINT ? &before_interrupt : &before_term, NULL);
}

static fv_err end_on(int number, struct sigaction *before)
{
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    int failed = sigaction(number, NULL, before);
    if (!failed && before->sa_handler != SIG_IGN)
        failed = sigaction(number, &action, NULL);
    FV_CHECK(!failed, FV_ERR_INTERNAL, "cannot handle signal %d: %s", number, strerror(errno));
    return FV_OK;
}

fv_err fv_stop_on_interrupt(void)
{
    FV_TRY(end_on(SIGINT, &before_interrupt));
    return end_on(SIGTERM, &before_term);
}
