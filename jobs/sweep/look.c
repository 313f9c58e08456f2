/* fovea sweep: what has become of every run. */
#include "jobs/sweep/sweep.h"

#include "fovea/run/config.h"
#include "fovea/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

fv_err fv_sweep_tell(char **text, const char *format, ...)
{
    char *told = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&told, format, args);
    va_end(args);
    FV_CHECK(n >= 0, FV_ERR_MEMORY, "no memory for what is told of a run");
    free(*text);
    *text = told;
    return FV_OK;
}

/* Items. */

fv_err fv_sweep_item_of(fv_sweep_view *view, const char *name, size_t size, int *index)
{
    for (int i = 0; i < view->n; i++)
        if (strlen(view->items[i].name) == size && memcmp(view->items[i].name, name, size) == 0)
            return *index = i, FV_OK;
    fv_sweep_item *grown = realloc(view->items, ((size_t)view->n + 1) * sizeof *grown);
    FV_CHECK(grown, FV_ERR_MEMORY, "no memory for %d runs", view->n + 1);
    view->items = grown;
    grown[view->n] = (fv_sweep_item){.name = strndup(name, size), .state = FV_SWEEP_FAILED};
    FV_CHECK(grown[view->n].name, FV_ERR_MEMORY, "no memory for the name of a run");
    *index = view->n++;
    return FV_OK;
}

void fv_sweep_view_fini(fv_sweep_view *view)
{
    for (int i = 0; i < view->n; i++) {
        free(view->items[i].name);
        free(view->items[i].log);
        free(view->items[i].reason);
    }
    free(view->items);
    *view = (fv_sweep_view){0};
}

int fv_sweep_count(const fv_sweep_view *view, fv_sweep_state state, const fv_sweep_item **first)
{
    int n = 0;
    for (int i = 0; i < view->n; i++) {
        const fv_sweep_item *item = &view->items[i];
        if (!item->run || item->state != state)
            continue;
        if (n++ == 0)
            *first = item;
    }
    return n;
}

static fv_err add_runs(fv_sweep_view *view)
{
    for (int i = 0; i < view->sweep->n_runs; i++) {
        int index;
        const fv_sweep_run *run = &view->sweep->runs[i];
        FV_TRY(fv_sweep_item_of(view, run->name, strlen(run->name), &index));
        view->items[index].run = run;
        view->items[index].state = FV_SWEEP_NEW;
    }
    return FV_OK;
}

/* Folders. */

static fv_err path_in(const fv_sweep_view *view, const char *name, const char *file, char out[PATH_MAX])
{
    char folder[PATH_MAX];
    FV_TRY(fv_file_path(folder, sizeof folder, view->sweep->out, name));
    return fv_file_path(out, PATH_MAX, folder, file);
}

/* Whether a run has that file, or with "" that folder. */
static int has(const fv_sweep_view *view, const fv_sweep_item *item, const char *file)
{
    char path[PATH_MAX];
    return path_in(view, item->name, file, path) == FV_OK && fv_file_exists(path);
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* A folder with a configuration is one of a run. */
static fv_err add_folder(fv_sweep_view *view, const char *name)
{
    char path[PATH_MAX];
    int index;
    FV_TRY(path_in(view, name, "config.yaml", path));
    return fv_file_exists(path) ? fv_sweep_item_of(view, name, strlen(name), &index) : FV_OK;
}

static fv_err add_folders(fv_sweep_view *view)
{
    struct dirent **entries;
    fv_err err = FV_OK;
    int n = scandir(view->sweep->out, &entries, is_visible, alphasort);
    FV_CHECK(n >= 0 || errno == ENOENT, FV_ERR_IO, "cannot read folder %s: %s", view->sweep->out,
             strerror(errno));
    for (int i = 0; i < n; i++) {
        if (err == FV_OK)
            err = add_folder(view, entries[i]->d_name);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    return err;
}

/* Where a run prints: beside its submission, or as `fovea sweep run` has it; else the log in its folder. */
static fv_err find_log(const fv_sweep_view *view, fv_sweep_item *item)
{
    char path[PATH_MAX], name[NAME_MAX + 8];
    if (item->log && fv_file_exists(item->log))
        return FV_OK;
    snprintf(name, sizeof name, "%s.log", item->name);
    FV_TRY(fv_file_path(path, sizeof path, view->sweep->out, name));
    if (fv_file_exists(path))
        return fv_sweep_tell(&item->log, "%s", path);
    FV_TRY(path_in(view, item->name, "log", path));
    return fv_file_exists(path) ? fv_sweep_tell(&item->log, "%s", path) : FV_OK;
}

static fv_err begin_with_folder(const fv_sweep_view *view, fv_sweep_item *item)
{
    FV_TRY(find_log(view, item));
    if (item->log || has(view, item, ""))
        item->state = FV_SWEEP_FAILED; /* unless more is known */
    return FV_OK;
}

/* Settings. */

static fv_err print_effective(const fv_sweep *sweep, const fv_sweep_run *run, fv_buffer *out, int *takes_any)
{
    fv_train_config config;
    FV_TRY(fv_sweep_settings(sweep, run, &config));
    *takes_any = config.run.backend == FV_BACKEND_AUTO;
    fv_err err = fv_settings_print(&fv_train_settings, &config, 0, out);
    fv_settings_fini(&fv_train_settings, &config);
    return err;
}

/* takes_any: the file leaves the back end to the run, whose folder holds the one that it took. */
static int is_of_run(const void *takes_any, const char *key)
{
    if (*(const int *)takes_any && strcmp(key, "backend") == 0)
        return 0;
    return strcmp(key, "out") != 0 && strncmp(key, "resume", strlen("resume")) != 0;
}

/* Append in what the settings of a run's folder differ from those that the file gives it now. */
static fv_err compare_settings(const fv_sweep_view *view, const fv_sweep_item *item, fv_buffer *out)
{
    char path[PATH_MAX];
    fv_file_map map;
    fv_buffer before = {0}, now = {0};
    int takes_any;
    fv_err err = FV_OK;
    FV_TRY(path_in(view, item->name, "config.yaml", path));
    if (!fv_file_exists(path))
        return FV_OK;
    FV_TRY(fv_file_open_map(path, &map));
    FV_TRY_DONE(fv_buffer_append(&before, map.data ? (const char *)map.data : "", map.size));
    FV_TRY_DONE(print_effective(view->sweep, item->run, &now, &takes_any));
    FV_TRY_DONE(fv_settings_compare(before.data, now.data, is_of_run, &takes_any, out));
done:
    fv_file_close_map(&map);
    fv_buffer_fini(&before);
    fv_buffer_fini(&now);
    return err;
}

/* All together. */

static fv_err settle_done(const fv_sweep_view *view, fv_sweep_item *item)
{
    fv_buffer difference = {0};
    item->state = FV_SWEEP_DONE;
    free(item->reason);
    item->reason = NULL;
    fv_err err = item->run ? compare_settings(view, item, &difference) : FV_OK;
    if (err == FV_OK && difference.size > 0) {
        item->state = FV_SWEEP_CHANGED;
        err = fv_sweep_tell(&item->reason, "%s", difference.data);
    }
    fv_buffer_fini(&difference);
    return err;
}

/* What Slurm calls its end, and what the log says. */
static fv_err settle_failed(fv_sweep_item *item)
{
    char *line = NULL;
    fv_err err = item->log && fv_file_exists(item->log) ? fv_sweep_read_log(item->log, &line) : FV_OK;
    if (err == FV_OK && line)
        err = item->reason ? fv_sweep_tell(&item->reason, "%s: %s", item->reason, line)
                           : fv_sweep_tell(&item->reason, "%s", line);
    free(line);
    return err;
}

static fv_err settle(const fv_sweep_view *view, fv_sweep_item *item)
{
    const char *note = !item->run       ? "no longer in the sweep"
                       : item->is_other ? "submitted with other settings than the sweep has now"
                                        : NULL;
    FV_TRY(find_log(view, item));
    if (has(view, item, "model/config.json"))
        FV_TRY(settle_done(view, item));
    else if (item->state == FV_SWEEP_FAILED)
        FV_TRY(settle_failed(item));
    if (!note || (item->run && item->state >= FV_SWEEP_FAILED))
        return FV_OK;
    return item->reason ? fv_sweep_tell(&item->reason, "%s; %s", note, item->reason)
                        : fv_sweep_tell(&item->reason, "%s", note);
}

static fv_err find_states(fv_sweep_view *view)
{
    FV_TRY(add_runs(view));
    FV_TRY(add_folders(view));
    for (int i = 0; i < view->n; i++)
        FV_TRY(begin_with_folder(view, &view->items[i]));
    FV_TRY(fv_sweep_read_queue(view));
    for (int i = 0; i < view->n; i++)
        FV_TRY(settle(view, &view->items[i]));
    return FV_OK;
}

fv_err fv_sweep_look(const fv_sweep *sweep, fv_sweep_view *out)
{
    *out = (fv_sweep_view){.sweep = sweep};
    fv_err err = find_states(out);
    if (err != FV_OK)
        fv_sweep_view_fini(out);
    return err;
}
