/* fovea sweep run: the runs of a sweep on this machine, without Slurm.
 *
 * Ends of runs and requests to stop are signals that are waited for, and not handled. A request is passed on
 * to the runs under way as USR1, which launchers pass on to their ranks: they save and end with 75. No other
 * is begun. */
#include "jobs/jobs.h"
#include "jobs/sweep/sweep.h"

#include "fovea/base/file.h"
#include "fovea/base/log.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

typedef struct local {
    const fv_sweep *sweep;
    const fv_sweep_options *options;
    fv_sweep_view view;
    pid_t *processes; /* (n_runs); 0: not under way */
    int n_under_way, n_failed;
    int is_stopping;
} local;

static const int requests[] = {SIGTERM, SIGINT, SIGUSR1};

/* LAUNCHER PROGRAM ARGUMENTS >LOG 2>&1, for the shell. */
static fv_err print_command(const local *l, const fv_sweep_run *run, fv_buffer *out)
{
    char program[PATH_MAX] = "", log[PATH_MAX];
    fv_buffer list = {0};
    FV_CHECK(readlink("/proc/self/exe", program, sizeof program - 1) > 0, FV_ERR_IO,
             "cannot tell where this program is: %s", strerror(errno));
    FV_TRY(fv_buffer_print(out, "SLURM_KILL_BAD_EXIT=1 exec %s ", l->options->launcher));
    FV_TRY(fv_sweep_quote(program, out));
    fv_err err = fv_sweep_arguments(l->sweep, run, '\0', &list);
    for (const char *at = list.data; err == FV_OK && at < list.data + list.size; at += strlen(at) + 1)
        err = fv_sweep_quote(at, out);
    fv_buffer_fini(&list);
    FV_TRY(err);
    FV_TRY(fv_file_path(log, sizeof log, l->sweep->out, run->name));
    FV_TRY(fv_buffer_print(out, ">>"));
    FV_TRY(fv_sweep_quote(log, out));
    out->size -= 2;
    return fv_buffer_print(out, ".log' 2>&1");
}

/* With the signals that are waited for here as they are for any program. */
static int spawn(const char *command, pid_t *process)
{
    char *const argv[] = {"sh", "-c", (char *)command, NULL};
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    int failed = posix_spawnattr_init(&attributes);
    if (failed)
        return failed;
    failed = posix_spawnattr_setsigmask(&attributes, &none);
    failed = failed ? failed : posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    failed = failed ? failed : posix_spawn(process, "/bin/sh", NULL, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    return failed;
}

static fv_err begin(local *l, int i)
{
    fv_buffer command = {0};
    fv_err err = print_command(l, &l->sweep->runs[i], &command);
    if (err == FV_OK && l->options->dry_run)
        printf("%s\n", command.data);
    else if (err == FV_OK) {
        int failed = spawn(command.data, &l->processes[i]);
        if (failed)
            err = FV_FAIL(FV_ERR_IO, "cannot start a shell: %s", strerror(failed));
        else
            l->n_under_way++;
    }
    fv_buffer_fini(&command);
    return err;
}

static void tell_end(local *l, pid_t ended, int status)
{
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), i = 0;
    while (i < l->sweep->n_runs && l->processes[i] != ended)
        i++;
    if (i == l->sweep->n_runs)
        return;
    printf("%s: %s (status %d)\n", l->sweep->runs[i].name,
           code == 0               ? "done"
           : code == FV_EXIT_AGAIN ? "stopped; run the sweep again to go on"
                                   : "failed",
           code);
    fflush(stdout);
    l->processes[i] = 0;
    l->n_under_way--;
    l->n_failed += code != 0;
}

static void stop(local *l)
{
    l->is_stopping = 1;
    FV_LOG_ROOT(INFO, "stopping: the runs under way save and end");
    for (int i = 0; i < l->sweep->n_runs; i++)
        if (l->processes[i])
            kill(l->processes[i], SIGUSR1);
}

/* Until something has happened. */
static fv_err await(local *l, const sigset_t *signals)
{
    int status, number = sigwaitinfo(signals, NULL);
    FV_CHECK(number > 0 || errno == EINTR, FV_ERR_IO, "cannot wait for a run: %s", strerror(errno));
    if (number > 0 && number != SIGCHLD)
        stop(l);
    for (pid_t ended; (ended = waitpid(-1, &status, WNOHANG)) > 0;)
        tell_end(l, ended, status);
    return FV_OK;
}

static fv_err wait_for_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGCHLD);
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
        sigaddset(signals, requests[i]);
    FV_CHECK(sigprocmask(SIG_BLOCK, signals, NULL) == 0, FV_ERR_INTERNAL, "cannot wait for signals: %s",
             strerror(errno));
    return FV_OK;
}

static int is_open(const local *l, int i)
{
    fv_sweep_state state = l->view.items[i].state;
    return state == FV_SWEEP_NEW || state == FV_SWEEP_FAILED;
}

static fv_err go(local *l)
{
    int limit = l->options->max_parallel ? l->options->max_parallel : 1;
    sigset_t signals;
    FV_TRY(wait_for_signals(&signals));
    for (int i = 0; i < l->sweep->n_runs && !l->is_stopping; i++) {
        if (!is_open(l, i))
            continue;
        while (l->n_under_way >= limit)
            FV_TRY(await(l, &signals));
        if (!l->is_stopping)
            FV_TRY(begin(l, i));
    }
    while (l->n_under_way > 0)
        FV_TRY(await(l, &signals));
    return FV_OK;
}

static fv_err run_all(local *l)
{
    FV_TRY(fv_sweep_look(l->sweep, &l->view));
    fv_sweep_warn(&l->view);
    if (!l->options->dry_run)
        FV_TRY(fv_file_make_folders(l->sweep->out));
    FV_TRY(go(l));
    FV_CHECK(!l->is_stopping, FV_STOPPED, "stopped; run the sweep again to go on");
    FV_CHECK(l->n_failed == 0, FV_ERR_ARGUMENT, "%d runs are not done; see their logs in %s", l->n_failed,
             l->sweep->out);
    return FV_OK;
}

fv_err fv_sweep_run_here(const fv_sweep *sweep, const fv_sweep_options *options)
{
    size_t n = (size_t)sweep->n_runs;
    local l = {.sweep = sweep, .options = options, .processes = calloc(n, sizeof *l.processes)};
    fv_err err = l.processes ? run_all(&l) : FV_FAIL(FV_ERR_MEMORY, "no memory for %zu runs", n);
    fv_sweep_view_fini(&l.view);
    free(l.processes);
    return err;
}
