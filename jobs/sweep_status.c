/* fovea sweep status: what has become of every run. */
#include "sweep.h"

#include "fovea/file.h"
#include "fovea/journal.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { MAX_SHELL_BYTES = 1 << 26 };

const char *const fv_sweep_state_names[FV_SWEEP_N_STATES] = {
#define X(name, text) text,
    FV_SWEEP_STATES(X)
#undef X
};

fv_err fv_sweep_shell(const char *command, fv_buffer *out, int *status)
{
    FILE *stream = popen(command, "re");
    FV_CHECK(stream, FV_ERR_IO, "cannot start a shell: %s", strerror(errno));
    fv_err err = fv_buffer_read(out, stream, "what the shell prints", MAX_SHELL_BYTES);
    int ended = pclose(stream);
    FV_TRY(err);
    FV_CHECK(ended >= 0, FV_ERR_IO, "cannot wait for a shell: %s", strerror(errno));
    *status = WIFEXITED(ended) ? WEXITSTATUS(ended) : 128 + WTERMSIG(ended);
    return FV_OK;
}

fv_err fv_sweep_quote(const char *text, fv_buffer *out)
{
    FV_TRY(fv_buffer_append(out, "'", 1));
    for (; *text; text++)
        FV_TRY(*text == '\'' ? fv_buffer_append(out, "'\\''", 4) : fv_buffer_append(out, text, 1));
    return fv_buffer_append(out, "' ", 2);
}

/* Figures. */

static fv_err path_of(const fv_sweep *sweep, const fv_sweep_run *run, const char *name, char out[PATH_MAX])
{
    char folder[PATH_MAX];
    FV_TRY(fv_file_path(folder, sizeof folder, sweep->out, run->name));
    return fv_file_path(out, PATH_MAX, folder, name);
}

fv_err fv_sweep_figures(const fv_sweep *sweep, const fv_sweep_run *run, fv_json **out)
{
    char folder[PATH_MAX];
    fv_json *first;
    FV_TRY(fv_file_path(folder, sizeof folder, sweep->out, run->name));
    FV_TRY(fv_journal_figures(folder, &first, out));
    fv_json_destroy(first);
    return FV_OK;
}

/* The queue. A task of ours has the list of its submission as its comment, and its place there as its index.
 */

static fv_err run_of_task(const fv_sweep *sweep, const char *list, long index, int *run)
{
    fv_file_map map;
    *run = -1;
    FV_TRY(fv_file_open_map(list, &map));
    const char *at = (const char *)map.data, *end = at + map.size;
    for (long line = 1; at && at < end && line < index; line++) {
        at = memchr(at, '\n', (size_t)(end - at));
        at = at ? at + 1 : NULL;
    }
    const char *tab = at && at < end ? memchr(at, '\t', (size_t)(end - at)) : NULL;
    for (int i = 0; tab && i < sweep->n_runs; i++)
        if (strlen(sweep->runs[i].name) == (size_t)(tab - at) &&
            memcmp(sweep->runs[i].name, at, (size_t)(tab - at)) == 0)
            *run = i;
    fv_file_close_map(&map);
    return FV_OK;
}

/* "INDEX STATE RESTARTS COMMENT" */
static fv_err take_task(const fv_sweep *sweep, const char *folder, char *line, fv_sweep_state *states)
{
    char state[64];
    long index, restarts;
    int run, comment = 0;
    if (sscanf(line, "%ld %63s %ld %n", &index, state, &restarts, &comment) != 3 || comment == 0)
        return FV_OK;
    for (size_t n = strlen(line); n > 0 && isspace((unsigned char)line[n - 1]);)
        line[--n] = '\0';
    if (strncmp(line + comment, folder, strlen(folder)) != 0)
        return FV_OK;
    FV_TRY(run_of_task(sweep, line + comment, index, &run));
    if (run >= 0)
        states[run] = strcmp(state, "PENDING") != 0 ? FV_SWEEP_RUNNING
                      : restarts > 0                ? FV_SWEEP_REQUEUED
                                                    : FV_SWEEP_WAITING;
    return FV_OK;
}

static fv_err look_at_queue(const fv_sweep *sweep, const char *folder, fv_sweep_state *states)
{
    fv_buffer text = {0};
    int status;
    fv_err err = FV_OK;
    FV_TRY_DONE(fv_sweep_shell("command -v squeue >/dev/null || exit 0; squeue --noheader --array "
                               "--user=\"$(id -un)\" "
                               "--Format=ArrayTaskID:12,State:20,RestartCnt:12,Comment:4096",
                               &text, &status));
    FV_CHECK_DONE(status == 0, FV_ERR_IO,
                  "squeue failed with status %d: without the queue nobody knows which runs are under way",
                  status);
    char *rest = text.data;
    for (char *line = rest ? strsep(&rest, "\n") : NULL; line && err == FV_OK; line = strsep(&rest, "\n"))
        err = take_task(sweep, folder, line, states);
done:
    fv_buffer_fini(&text);
    return err;
}

fv_err fv_sweep_look(const fv_sweep *sweep, fv_sweep_state *states)
{
    char path[PATH_MAX], whole[PATH_MAX];
    for (int i = 0; i < sweep->n_runs; i++) {
        FV_TRY(path_of(sweep, &sweep->runs[i], "", path));
        states[i] = fv_file_exists(path) ? FV_SWEEP_FAILED : FV_SWEEP_NEW;
    }
    FV_TRY(fv_file_path(path, sizeof path, sweep->out, "submissions/"));
    if (realpath(path, whole))
        FV_TRY(look_at_queue(sweep, whole, states));
    for (int i = 0; i < sweep->n_runs; i++) {
        FV_TRY(path_of(sweep, &sweep->runs[i], "model/config.json", path));
        if (fv_file_exists(path))
            states[i] = FV_SWEEP_DONE;
    }
    return FV_OK;
}

static fv_err print_states(const fv_sweep *sweep, const fv_sweep_state *states)
{
    int counts[FV_SWEEP_N_STATES] = {0};
    for (int i = 0; i < sweep->n_runs; i++) {
        fv_json *figures;
        int64_t step = 0;
        FV_TRY(fv_sweep_figures(sweep, &sweep->runs[i], &figures));
        fv_err err = fv_json_get_integer(figures, "step", &step);
        fv_json_destroy(figures);
        FV_TRY(err);
        printf("%-40s %-14s step %lld\n", sweep->runs[i].name, fv_sweep_state_names[states[i]],
               (long long)step);
        counts[states[i]]++;
    }
    const char *comma = "";
    for (int i = 0; i < FV_SWEEP_N_STATES; i++)
        if (counts[i]) {
            printf("%s%d %s", comma, counts[i], fv_sweep_state_names[i]);
            comma = ", ";
        }
    printf("\n");
    return FV_OK;
}

fv_err fv_sweep_status(const fv_sweep *sweep, const fv_sweep_options *options)
{
    fv_sweep_state *states = calloc((size_t)sweep->n_runs, sizeof *states);
    (void)options;
    FV_CHECK(states, FV_ERR_MEMORY, "no memory for the states of %d runs", sweep->n_runs);
    fv_err err = fv_sweep_look(sweep, states);
    if (err == FV_OK)
        err = print_states(sweep, states);
    free(states);
    return err;
}
