/* fovea sweep run: the runs of a sweep on this machine, without Slurm. */
#include "jobs/jobs.h"
#include "jobs/sweep/sweep.h"

#include "fovea/base/file.h"

#include <errno.h>
#include <limits.h>
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
} local;

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

static fv_err begin(local *l, int i)
{
    fv_buffer command = {0};
    fv_err err = print_command(l, &l->sweep->runs[i], &command);
    if (err == FV_OK && l->options->dry_run)
        printf("%s\n", command.data);
    else if (err == FV_OK) {
        char *const argv[] = {"sh", "-c", command.data, NULL};
        int failed = posix_spawn(&l->processes[i], "/bin/sh", NULL, NULL, argv, environ);
        if (failed)
            err = FV_FAIL(FV_ERR_IO, "cannot start a shell: %s", strerror(failed));
        else
            l->n_under_way++;
    }
    fv_buffer_fini(&command);
    return err;
}

static fv_err await_one(local *l)
{
    int status, i = 0;
    pid_t ended = wait(&status);
    FV_CHECK(ended > 0 || errno == EINTR, FV_ERR_IO, "cannot wait for a run: %s", strerror(errno));
    while (i < l->sweep->n_runs && l->processes[i] != ended)
        i++;
    if (ended <= 0 || i == l->sweep->n_runs)
        return FV_OK;
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    printf("%s: %s (status %d)\n", l->sweep->runs[i].name,
           code == 0               ? "done"
           : code == FV_EXIT_AGAIN ? "stopped; run the sweep again to go on"
                                   : "failed",
           code);
    fflush(stdout);
    l->processes[i] = 0;
    l->n_under_way--;
    l->n_failed += code != 0;
    return FV_OK;
}

static fv_err run_all(local *l)
{
    int limit = l->options->max_parallel ? l->options->max_parallel : 1;
    FV_TRY(fv_sweep_look(l->sweep, &l->view));
    fv_sweep_warn(&l->view);
    if (!l->options->dry_run)
        FV_TRY(fv_file_make_folders(l->sweep->out));
    for (int i = 0; i < l->sweep->n_runs; i++) {
        if (l->view.items[i].state != FV_SWEEP_NEW && l->view.items[i].state != FV_SWEEP_FAILED)
            continue;
        while (l->n_under_way >= limit)
            FV_TRY(await_one(l));
        FV_TRY(begin(l, i));
    }
    while (l->n_under_way > 0)
        FV_TRY(await_one(l));
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
