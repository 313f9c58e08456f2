/* fovea sweep submit and retry: runs into the queue, as one job array. */
#include "jobs/sweep/sweep.h"

#include "fovea/base/file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOT_FOUND = 127, MAX_SUBMISSIONS = 10000 };

static const char script_name[] = "slurm/sweep.sbatch";

/* The list: a run a line, its name and then its arguments, separated by tabs. */

/* What a verb submits. */
typedef struct selection {
    int takes[FV_SWEEP_N_STATES];
    const char *none; /* what it says if there is nothing of that */
} selection;

static fv_err print_list(const fv_sweep_view *view, const selection *which, int limit, int *n, fv_buffer *out)
{
    *n = 0;
    for (int i = 0; i < view->n && (limit == 0 || *n < limit); i++) {
        const fv_sweep_item *item = &view->items[i];
        if (!item->run || !which->takes[item->state])
            continue;
        FV_TRY(fv_buffer_print(out, "%s\t", item->name));
        FV_TRY(fv_sweep_arguments(view->sweep, item->run, '\t', out));
        out->data[out->size - 1] = '\n';
        ++*n;
    }
    return FV_OK;
}

/* A folder of its own for every submission, as an absolute path, with its list. The folder's name is taken by
 * whoever makes it. */
static fv_err write_list(const fv_sweep *sweep, const fv_buffer *list, char folder[PATH_MAX])
{
    char path[PATH_MAX], whole[PATH_MAX], name[32];
    FV_TRY(fv_file_path(path, sizeof path, sweep->out, "submissions"));
    FV_TRY(fv_file_make_folders(path));
    FV_CHECK(realpath(path, whole), FV_ERR_IO, "cannot find %s: %s", path, strerror(errno));
    for (int i = 1; i < MAX_SUBMISSIONS; i++) {
        snprintf(name, sizeof name, "%04d", i);
        FV_TRY(fv_file_path(folder, PATH_MAX, whole, name));
        if (mkdir(folder, 0777) == 0)
            break;
        FV_CHECK(errno == EEXIST, FV_ERR_IO, "cannot create %s: %s", folder, strerror(errno));
    }
    FV_TRY(fv_file_path(path, sizeof path, folder, "runs"));
    return fv_file_write(path, list->data, list->size);
}

/* The command. */

static fv_err print_options(const fv_sweep_options *options, const char *folder, int n, fv_buffer *out)
{
    FV_TRY(fv_buffer_print(out, "sbatch --parsable --array=1-%d", n));
    if (options->max_parallel)
        FV_TRY(fv_buffer_print(out, "%%%d", options->max_parallel));
    FV_TRY(fv_buffer_print(out, " --output="));
    FV_TRY(fv_sweep_quote(folder, out));
    out->size -= 2; /* the log stands beside the list */
    FV_TRY(fv_buffer_print(out, "/runs-%%a.log' "));
    if (options->dependency) {
        FV_TRY(fv_buffer_print(out, "--kill-on-invalid-dep=yes --dependency="));
        FV_TRY(fv_sweep_quote(options->dependency, out));
    }
    for (int i = 0; i < options->n_others; i++)
        FV_TRY(fv_sweep_quote(options->others[i], out));
    return FV_OK;
}

/* The project's folder is where the jobs' scripts are: FOVEA_HOME, here, or above the program's own folder.
 */
static fv_err find_script(const char *program, char out[PATH_MAX])
{
    char folder[PATH_MAX];
    const char *home = getenv("FOVEA_HOME");
    snprintf(folder, sizeof folder, "%s", home ? home : ".");
    FV_TRY(fv_file_path(out, PATH_MAX, folder, script_name));
    if (!home && !fv_file_exists(out))
        snprintf(folder, sizeof folder, "%s", program);
    for (char *slash; !fv_file_exists(out) && !home && (slash = strrchr(folder, '/')) != NULL;) {
        *slash = '\0';
        FV_TRY(fv_file_path(out, PATH_MAX, folder, script_name));
    }
    FV_CHECK(fv_file_exists(out), FV_ERR_ARGUMENT,
             "there is no %s/%s: submit from the project's folder, or set FOVEA_HOME to it",
             home ? home : ".", script_name);
    return FV_OK;
}

/* The jobs run this very program, unless FOVEA names another. */
static fv_err print_command(const fv_sweep_options *options, const char *folder, int n, fv_buffer *out)
{
    char script[PATH_MAX], list[PATH_MAX], program[PATH_MAX] = "";
    FV_CHECK(readlink("/proc/self/exe", program, sizeof program - 1) > 0, FV_ERR_IO,
             "cannot tell where this program is: %s", strerror(errno));
    FV_TRY(find_script(program, script));
    FV_TRY(print_options(options, folder, n, out));
    FV_TRY(fv_sweep_quote(script, out));
    FV_TRY(fv_file_path(list, sizeof list, folder, "runs"));
    FV_TRY(fv_sweep_quote(list, out));
    return fv_sweep_quote(program, out);
}

/* 0: nobody knows. */
static fv_err ask_max_array_size(long *out)
{
    fv_buffer answer = {0};
    int status;
    fv_err err = fv_sweep_shell("scontrol show config 2>/dev/null | sed -n 's/^MaxArraySize *= *//p'",
                                &answer, &status);
    *out = err == FV_OK && answer.size ? strtol(answer.data, NULL, 10) : 0;
    fv_buffer_fini(&answer);
    return err;
}

static fv_err refuse(int status, int n)
{
    long most;
    FV_CHECK(
        status != NOT_FOUND, FV_ERR_UNSUPPORTED,
        "there is no sbatch here: submit where the cluster's Slurm is, or let `fovea sweep run` do without");
    FV_TRY(ask_max_array_size(&most));
    FV_CHECK(
        most == 0 || n < most, FV_ERR_ARGUMENT,
        "%d runs are too many for one job array: MaxArraySize is %ld here; submit --limit %ld, and then the "
        "others in the same way",
        n, most, most - 1);
    return FV_FAIL(FV_ERR_ARGUMENT, "sbatch has refused the runs, with status %d; its reason is above",
                   status);
}

/* sbatch writes its answer itself, so that a job that it has made is known whatever becomes of this program.
 * What people have set for sbatch holds, but that it waits for the runs or takes what they say of errors
 * elsewhere. */
static fv_err queue(const char *command, const char *folder, int n)
{
    fv_buffer whole = {0}, nothing = {0};
    char path[PATH_MAX];
    int status = 0;
    long job = 0;
    fv_err err = FV_OK;
    FV_TRY_DONE(fv_file_path(path, sizeof path, folder, "job"));
    FV_TRY_DONE(fv_buffer_print(&whole, "unset SBATCH_WAIT SBATCH_ERROR; %s>", command));
    FV_TRY_DONE(fv_sweep_quote(path, &whole));
    FV_TRY_DONE(fv_sweep_shell(whole.data, &nothing, &status));
    FV_TRY_DONE(fv_sweep_read_job(folder, &job));
    if (job > 0)
        printf("job %ld: %d runs\n", job, n);
    else
        FV_TRY_DONE(refuse(status, n));
done:
    fv_buffer_fini(&whole);
    fv_buffer_fini(&nothing);
    return err;
}

static fv_err submit_list(const fv_sweep *sweep, const fv_sweep_options *options, const fv_buffer *list,
                          int n)
{
    char folder[PATH_MAX] = "SUBMISSION";
    fv_buffer command = {0};
    if (!options->dry_run)
        FV_TRY(write_list(sweep, list, folder));
    fv_err err = print_command(options, folder, n, &command);
    if (err == FV_OK && options->dry_run)
        printf("%s\n\n%s", command.data, list->data);
    else if (err == FV_OK)
        err = queue(command.data, folder, n);
    if (err != FV_OK && !options->dry_run)
        (void)fv_file_remove_tree(
            folder); /* the reason is told; an empty submission is one that nobody counts */
    fv_buffer_fini(&command);
    return err;
}

void fv_sweep_warn(const fv_sweep_view *view)
{
    const fv_sweep_item *first;
    int n = fv_sweep_count(view, FV_SWEEP_CHANGED, &first);
    if (n)
        printf("%d runs are done with other settings than the sweep has now (%s: %s): `fovea sweep retry` "
               "goes on "
               "with them where a run can, another out makes them anew\n",
               n, first->name, first->reason);
}

static fv_err submit(const fv_sweep *sweep, const fv_sweep_options *options, const selection *which)
{
    fv_sweep_view view;
    fv_buffer list = {0};
    int n = 0;
    FV_TRY(fv_sweep_look(sweep, &view));
    fv_err err = print_list(&view, which, options->limit, &n, &list);
    if (err == FV_OK && !which->takes[FV_SWEEP_CHANGED])
        fv_sweep_warn(&view);
    if (err == FV_OK && n > 0)
        err = submit_list(sweep, options, &list, n);
    else if (err == FV_OK)
        printf("nothing to do: of %d runs none is %s\n", sweep->n_runs, which->none);
    fv_buffer_fini(&list);
    fv_sweep_view_fini(&view);
    return err;
}

fv_err fv_sweep_submit(const fv_sweep *sweep, const fv_sweep_options *options)
{
    const selection new = {{[FV_SWEEP_NEW] = 1}, "not submitted"};
    return submit(sweep, options, &new);
}

fv_err fv_sweep_retry(const fv_sweep *sweep, const fv_sweep_options *options)
{
    const selection failed = {{[FV_SWEEP_FAILED] = 1, [FV_SWEEP_CHANGED] = 1},
                              "failed, or has other settings"};
    return submit(sweep, options, &failed);
}
