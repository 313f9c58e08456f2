/* fovea sweep submit and retry: runs into the queue, as one job array. */
#include "sweep.h"

#include "fovea/file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOT_FOUND = 127, MAX_SUBMISSIONS = 10000 };

/* The list: a run a line, its name and then its arguments, separated by tabs. */

static fv_err print_list(const fv_sweep *sweep, const fv_sweep_state *states, fv_sweep_state which, int *n,
                         fv_buffer *out)
{
    *n = 0;
    for (int i = 0; i < sweep->n_runs; i++) {
        if (states[i] != which)
            continue;
        FV_TRY(fv_buffer_print(out, "%s\t", sweep->runs[i].name));
        FV_TRY(fv_sweep_arguments(sweep, &sweep->runs[i], '\t', out));
        out->data[out->size - 1] = '\n';
        ++*n;
    }
    return FV_OK;
}

static fv_err make_folders(const char *path)
{
    char part[PATH_MAX];
    for (const char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", slash ? (int)(slash - path) : (int)strlen(path), path);
        FV_TRY(fv_file_make_folder(part));
        if (!slash)
            return FV_OK;
    }
}

/* A list of its own for every submission, as an absolute path. The folder's name is taken by whoever makes
 * it. */
static fv_err write_list(const fv_sweep *sweep, const fv_buffer *list, char path[PATH_MAX])
{
    char folder[PATH_MAX], whole[PATH_MAX], name[32];
    FV_TRY(fv_file_path(folder, sizeof folder, sweep->out, "submissions"));
    FV_TRY(make_folders(folder));
    FV_CHECK(realpath(folder, whole), FV_ERR_IO, "cannot find %s: %s", folder, strerror(errno));
    for (int i = 1; i < MAX_SUBMISSIONS; i++) {
        snprintf(name, sizeof name, "%04d", i);
        FV_TRY(fv_file_path(folder, sizeof folder, whole, name));
        if (mkdir(folder, 0777) == 0)
            break;
        FV_CHECK(errno == EEXIST, FV_ERR_IO, "cannot create %s: %s", folder, strerror(errno));
    }
    FV_TRY(fv_file_path(path, PATH_MAX, folder, "runs"));
    return fv_file_write(path, list->data, list->size);
}

/* The command. */

static fv_err print_options(const fv_sweep_options *options, const char *list, int n, fv_buffer *out)
{
    FV_TRY(fv_buffer_print(out, "sbatch --parsable --array=1-%d", n));
    if (options->max_parallel)
        FV_TRY(fv_buffer_print(out, "%%%d", options->max_parallel));
    FV_TRY(fv_buffer_print(out, " --comment="));
    FV_TRY(fv_sweep_quote(list, out));
    FV_TRY(fv_buffer_print(out, "--output="));
    FV_TRY(fv_sweep_quote(list, out));
    out->size -= 2; /* the log stands beside the list */
    FV_TRY(fv_buffer_print(out, "-%%a.log' "));
    if (options->dependency) {
        FV_TRY(fv_buffer_print(out, "--kill-on-invalid-dep=yes --dependency="));
        FV_TRY(fv_sweep_quote(options->dependency, out));
    }
    for (int i = 0; i < options->n_others; i++)
        FV_TRY(fv_sweep_quote(options->others[i], out));
    return FV_OK;
}

static fv_err print_command(const fv_sweep_options *options, const char *list, int n, fv_buffer *out)
{
    char script[PATH_MAX];
    const char *home = getenv("FOVEA_HOME");
    FV_TRY(fv_file_path(script, sizeof script, home ? home : ".", "slurm/sweep.sbatch"));
    FV_CHECK(fv_file_exists(script), FV_ERR_ARGUMENT,
             "there is no %s: submit from the project's folder, or set FOVEA_HOME to it", script);
    FV_TRY(print_options(options, list, n, out));
    FV_TRY(fv_sweep_quote(script, out));
    return fv_sweep_quote(list, out);
}

/* The jobs run this very program, unless FOVEA names another. */
static fv_err name_program(void)
{
    char path[PATH_MAX] = "";
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    FV_CHECK(n > 0 && setenv("FOVEA", path, 0) == 0, FV_ERR_IO, "cannot tell where this program is: %s",
             strerror(errno));
    return FV_OK;
}

static fv_err queue(const char *command, int n)
{
    fv_buffer answer = {0};
    int status;
    FV_TRY(name_program());
    fv_err err = fv_sweep_shell(command, &answer, &status);
    if (err == FV_OK && status == NOT_FOUND)
        err = FV_FAIL(FV_ERR_UNSUPPORTED,
                      "there is no sbatch here: submit where the cluster's Slurm is, or let "
                      "`fovea sweep run` do without");
    else if (err == FV_OK && status != 0)
        err = FV_FAIL(FV_ERR_ARGUMENT, "sbatch has refused the runs, with status %d; its reason is above",
                      status);
    if (err == FV_OK)
        printf("job %.*s: %d runs\n", (int)strcspn(answer.data, "\n;"), answer.data, n);
    fv_buffer_fini(&answer);
    return err;
}

static fv_err submit_list(const fv_sweep *sweep, const fv_sweep_options *options, const fv_buffer *list,
                          int n)
{
    char path[PATH_MAX];
    fv_buffer command = {0};
    if (options->dry_run)
        strcpy(path, "RUNS");
    else
        FV_TRY(write_list(sweep, list, path));
    fv_err err = print_command(options, path, n, &command);
    if (err == FV_OK && options->dry_run)
        printf("%s\n\n%s", command.data, list->data);
    else if (err == FV_OK)
        err = queue(command.data, n);
    fv_buffer_fini(&command);
    return err;
}

static fv_err submit(const fv_sweep *sweep, const fv_sweep_options *options, fv_sweep_state which)
{
    fv_sweep_state *states = calloc((size_t)sweep->n_runs, sizeof *states);
    fv_buffer list = {0};
    int n = 0;
    fv_err err = FV_OK;
    FV_CHECK(states, FV_ERR_MEMORY, "no memory for the states of %d runs", sweep->n_runs);
    FV_TRY_DONE(fv_sweep_look(sweep, states));
    FV_TRY_DONE(print_list(sweep, states, which, &n, &list));
    if (n == 0)
        printf("nothing to do: of %d runs none is %s\n", sweep->n_runs, fv_sweep_state_names[which]);
    else
        FV_TRY_DONE(submit_list(sweep, options, &list, n));
done:
    fv_buffer_fini(&list);
    free(states);
    return err;
}

fv_err fv_sweep_submit(const fv_sweep *sweep, const fv_sweep_options *options)
{
    return submit(sweep, options, FV_SWEEP_NEW);
}

fv_err fv_sweep_retry(const fv_sweep *sweep, const fv_sweep_options *options)
{
    return submit(sweep, options, FV_SWEEP_FAILED);
}
