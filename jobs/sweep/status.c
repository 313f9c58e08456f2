/* fovea sweep status: what has become of every run, as a table. */
#include "jobs/sweep/sweep.h"

#include "fovea/base/file.h"
#include "fovea/run/journal.h"

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

fv_err fv_sweep_figures(const fv_sweep *sweep, const char *name, fv_json **out)
{
    char folder[PATH_MAX];
    fv_json *first;
    FV_TRY(fv_file_path(folder, sizeof folder, sweep->out, name));
    FV_TRY(fv_journal_figures(folder, &first, out));
    fv_json_destroy(first);
    return FV_OK;
}

/* The table. */

static fv_err read_step(const fv_sweep_view *view, const fv_sweep_item *item, int64_t *step)
{
    fv_json *figures;
    *step = 0;
    FV_TRY(fv_sweep_figures(view->sweep, item->name, &figures));
    fv_err err = fv_json_get_integer(figures, "step", step);
    fv_json_destroy(figures);
    return err;
}

static fv_err print_item(const fv_sweep_view *view, const fv_sweep_item *item)
{
    char job[64] = "";
    int64_t step;
    FV_TRY(read_step(view, item, &step));
    if (item->job)
        snprintf(job, sizeof job, "  job %ld_%ld", item->job, item->task);
    printf("%-40s %-14s step %lld%s%s%s%s%s\n", item->name, fv_sweep_state_names[item->state],
           (long long)step, job, item->log ? "  " : "", item->log ? item->log : "", item->reason ? ": " : "",
           item->reason ? item->reason : "");
    return FV_OK;
}

static fv_err print_view(const fv_sweep_view *view)
{
    const char *comma = "";
    const fv_sweep_item *first;
    for (int i = 0; i < view->n; i++)
        FV_TRY(print_item(view, &view->items[i]));
    for (int state = 0; state < FV_SWEEP_N_STATES; state++) {
        int n = fv_sweep_count(view, (fv_sweep_state)state, &first);
        if (n)
            printf("%s%d %s", comma, n, fv_sweep_state_names[state]);
        comma = n ? ", " : comma;
    }
    if (view->n > view->sweep->n_runs)
        printf("; %d more no longer in the sweep", view->n - view->sweep->n_runs);
    printf("\n");
    return FV_OK;
}

fv_err fv_sweep_status(const fv_sweep *sweep, const fv_sweep_options *options)
{
    fv_sweep_view view;
    (void)options;
    FV_TRY(fv_sweep_look(sweep, &view));
    fv_err err = print_view(&view);
    fv_sweep_view_fini(&view);
    return err;
}
