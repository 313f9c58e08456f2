/* fovea sweep: which runs were submitted, and what the queue says of them. */
#include "jobs/sweep/sweep.h"

#include "fovea/base/process/allocation.h"
#include "fovea/base/file.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A task of a submission. */
typedef struct task {
    long job, index;
    int item; /* of the view */
} task;

typedef struct tasks {
    task *list; /* owned, (n) */
    size_t n;
} tasks;

/* Submissions, the oldest first. */

static fv_err note_task(tasks *all, fv_sweep_view *view, const task *t, const char *folder)
{
    fv_sweep_item *item = &view->items[t->item];
    task *grown = realloc(all->list, (all->n + 1) * sizeof *grown);
    FV_CHECK(grown, FV_ERR_MEMORY, "no memory for %zu tasks", all->n + 1);
    all->list = grown;
    grown[all->n++] = *t;
    item->job = t->job;
    item->task = t->index;
    item->state = FV_SWEEP_FAILED; /* unless more is known */
    return fv_sweep_tell(&item->log, "%s/runs-%ld.log", folder, t->index);
}

/* Of a run that has not begun yet, what it was submitted with. line: "NAME\tARGUMENT\tARGUMENT". */
static fv_err compare_arguments(const fv_sweep *sweep, fv_sweep_item *item, const char *line, size_t size)
{
    fv_buffer now = {0};
    if (!item->run)
        return FV_OK;
    fv_err err = fv_buffer_print(&now, "%s\t", item->name);
    if (err == FV_OK)
        err = fv_sweep_arguments(sweep, item->run, '\t', &now);
    item->is_other = err == FV_OK && (now.size != size + 1 || memcmp(now.data, line, size) != 0);
    fv_buffer_fini(&now);
    return err;
}

static fv_err read_list(fv_sweep_view *view, const char *folder, long job, tasks *all)
{
    char path[PATH_MAX];
    fv_file_map map;
    FV_TRY(fv_file_path(path, sizeof path, folder, "runs"));
    FV_TRY(fv_file_open_map(path, &map));
    const char *at = (const char *)map.data, *end = at + map.size, *newline;
    fv_err err = FV_OK;
    task t = {.job = job, .index = 1};
    for (; at < end && err == FV_OK; at = newline + 1, t.index++) {
        newline = memchr(at, '\n', (size_t)(end - at));
        const char *tab = newline ? memchr(at, '\t', (size_t)(newline - at)) : NULL;
        if (!tab)
            break;
        err = fv_sweep_item_of(view, at, (size_t)(tab - at), &t.item);
        if (err == FV_OK)
            err = note_task(all, view, &t, folder);
        if (err == FV_OK)
            err = compare_arguments(view->sweep, &view->items[t.item], at, (size_t)(newline - at));
    }
    fv_file_close_map(&map);
    return err;
}

/* It is in the last line that begins with a number. */
fv_err fv_sweep_read_job(const char *folder, long *job)
{
    char path[PATH_MAX], text[4096];
    fv_file_map map;
    *job = 0;
    FV_TRY(fv_file_path(path, sizeof path, folder, "job"));
    if (!fv_file_exists(path))
        return FV_OK;
    FV_TRY(fv_file_open_map(path, &map));
    snprintf(text, sizeof text, "%.*s", (int)(map.size < sizeof text ? map.size : sizeof text - 1),
             map.data ? (const char *)map.data : "");
    fv_file_close_map(&map);
    for (const char *line = text; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
        if (isdigit((unsigned char)*line))
            *job = strtol(line, NULL, 10);
    return FV_OK;
}

static int is_number(const struct dirent *entry)
{
    return isdigit((unsigned char)entry->d_name[0]);
}

static fv_err read_submission(fv_sweep_view *view, const char *folder, tasks *all)
{
    long job;
    FV_TRY(fv_sweep_read_job(folder, &job));
    return job > 0 ? read_list(view, folder, job, all) : FV_OK;
}

static fv_err read_submissions(fv_sweep_view *view, tasks *all)
{
    char folder[PATH_MAX], path[PATH_MAX];
    struct dirent **entries;
    fv_err err = FV_OK;
    FV_TRY(fv_file_path(folder, sizeof folder, view->sweep->out, "submissions"));
    int n = scandir(folder, &entries, is_number, alphasort);
    FV_CHECK(n >= 0 || errno == ENOENT, FV_ERR_IO, "cannot read folder %s: %s", folder, strerror(errno));
    for (int i = 0; i < n; i++) {
        if (err == FV_OK)
            err = fv_file_path(path, sizeof path, folder, entries[i]->d_name);
        if (err == FV_OK)
            err = read_submission(view, path, all);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    return err;
}

/* The queue. */

static int compare_tasks(const void *a, const void *b)
{
    const task *left = a, *right = b;
    if (left->job != right->job)
        return left->job < right->job ? -1 : 1;
    return (left->index > right->index) - (left->index < right->index);
}

/* What Slurm calls a job that will not run again. */
static int is_over(const char *state)
{
    static const char *const all[] = {"COMPLETED", "FAILED",        "CANCELLED", "TIMEOUT",   "NODE_FAIL",
                                      "PREEMPTED", "OUT_OF_MEMORY", "DEADLINE",  "BOOT_FAIL", "REVOKED"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(state, all[i]) == 0)
            return 1;
    return 0;
}

static fv_err take_state(fv_sweep_item *item, const task *t, const char *state, long restarts,
                         const char *why)
{
    int is_held = strncmp(state, "REQUEUE", strlen("REQUEUE")) == 0 || strcmp(state, "SPECIAL_EXIT") == 0;
    int is_pending = is_held || strcmp(state, "PENDING") == 0;
    if (is_over(state)) {
        int tells = strcmp(state, "COMPLETED") != 0 && strcmp(state, "FAILED") != 0;
        return tells && item->job == t->job ? fv_sweep_tell(&item->reason, "%s", state) : FV_OK;
    }
    item->state = !is_pending ? FV_SWEEP_RUNNING : restarts > 0 ? FV_SWEEP_REQUEUED : FV_SWEEP_WAITING;
    item->job = t->job;
    item->task = t->index;
    return strcmp(why, "None") != 0 ? fv_sweep_tell(&item->reason, "%s", why) : FV_OK;
}

/* "ARRAY INDEX STATE RESTARTS REASON"; jobs that are no arrays have no number as their index. */
static fv_err take_line(fv_sweep_view *view, const tasks *all, char *line)
{
    char state[64];
    long restarts;
    int why = 0;
    task t = {0};
    if (sscanf(line, "%ld %ld %63s %ld %n", &t.job, &t.index, state, &restarts, &why) != 4 || why == 0)
        return FV_OK;
    const task *ours = bsearch(&t, all->list, all->n, sizeof t, compare_tasks);
    for (size_t n = strlen(line); n > 0 && isspace((unsigned char)line[n - 1]);)
        line[--n] = '\0';
    return ours ? take_state(&view->items[ours->item], ours, state, restarts, line + why) : FV_OK;
}

/* All jobs of all users are listed: one that is asked for by its number, and has been forgotten, is an error.
 */
static fv_err look_at_queue(fv_sweep_view *view, const tasks *all)
{
    fv_buffer text = {0};
    int status;
    fv_err err = FV_OK;
    FV_TRY_DONE(fv_sweep_shell(
        "command -v squeue >/dev/null || { echo 'fovea: there is no squeue here: runs that are "
        "in the queue are told of as failed' >&2; exit 0; }; " FV_SLURM_PLAIN
        "squeue --noheader --array --all --states=all "
        "--Format=ArrayJobID:20,ArrayTaskID:20,State:20,RestartCnt:12,Reason:128",
        &text, &status));
    FV_CHECK_DONE(status == 0, FV_ERR_IO,
                  "squeue failed with status %d: without the queue nobody knows which runs are under way",
                  status);
    char *rest = text.data;
    for (char *line = rest ? strsep(&rest, "\n") : NULL; line && err == FV_OK; line = strsep(&rest, "\n"))
        err = take_line(view, all, line);
done:
    fv_buffer_fini(&text);
    return err;
}

fv_err fv_sweep_read_queue(fv_sweep_view *view)
{
    tasks all = {0};
    fv_err err = read_submissions(view, &all);
    if (err == FV_OK && all.n > 0) {
        qsort(all.list, all.n, sizeof *all.list, compare_tasks);
        err = look_at_queue(view, &all);
    }
    free(all.list);
    return err;
}
