/* fovea pack --merge: the shards of a selection become one pack. */
#include "jobs/jobs.h"
#include "jobs/pack/select.h"
#include "jobs/pack/selected.h"

#include "fovea/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void print(const fv_selection_counts *c, const char *out)
{
    printf("%s: %lld of %lld rows: %lld that the low-resolution view is enough for, %lld that need the "
           "high-resolution one; %lld rows without a verdict",
           out, (long long)(c->low + c->high), (long long)c->rows, (long long)c->low, (long long)c->high,
           (long long)c->unjudged);
    if (c->imageless)
        printf(", %lld without an image", (long long)c->imageless);
    if (c->too_long)
        printf(", %lld too long", (long long)c->too_long);
    printf("\n");
}

fv_err fv_selected_count(const fv_selection *selection, const fv_dataset *dataset, const char *out)
{
    fv_selection_counts counts;
    FV_TRY(fv_selection_pack(selection, dataset, NULL, &counts));
    print(&counts, out);
    return FV_OK;
}

static fv_err write_pack(const fv_selection *selection, const fv_dataset *dataset, const char *out)
{
    fv_selection_counts counts;
    fv_dataset_writer *writer;
    fv_dataset_totals totals;
    FV_TRY(fv_dataset_create(out, &writer));
    fv_err err = fv_selection_pack(selection, dataset, writer, &counts);
    if (err != FV_OK)
        fv_dataset_abandon(writer);
    FV_TRY(err);
    return fv_dataset_commit(writer, &totals);
}

static fv_err remove_file(const char *path)
{
    FV_CHECK(!path || unlink(path) == 0, FV_ERR_IO, "cannot remove %s: %s", path, strerror(errno));
    return FV_OK;
}

fv_err fv_selected_write(const fv_selection *selection, const fv_dataset *dataset, const char *out,
                         const char *done)
{
    fv_selection_counts c;
    FV_TRY(fv_selection_pack(selection, dataset, NULL, &c));
    FV_CHECK(c.open == 0, FV_ERR_INTERNAL, "%lld rows have not been looked at", (long long)c.open);
    if (c.low + c.high == 0) {
        FV_TRY(remove_file(done));
        return FV_FAIL(
            FV_ERR_FORMAT,
            "none of %lld rows is worth keeping (%lld without a verdict, %lld without an image, %lld "
            "too long); nothing was written",
            (long long)c.rows, (long long)c.unjudged, (long long)c.imageless, (long long)c.too_long);
    }
    FV_TRY(write_pack(selection, dataset, out));
    print(&c, out);
    return remove_file(done);
}

typedef struct merge {
    const char **paths; /* (n) */
    int n;
    const char **found; /* owned, (n_shards): the file of each shard */
    fv_dataset *dataset;
    fv_selection selection;
} merge;

/* The first file says what is selected, and from which data set. */
static fv_err open_first(merge *m)
{
    fv_json *what;
    const char *data = "", *hash = "";
    char expected[17];
    FV_TRY(fv_selection_read_what(m->paths[0], &what));
    fv_err err = fv_json_get_string(what, "data", &data);
    if (err == FV_OK)
        err = fv_json_get_string(what, "data_hash", &hash);
    if (err == FV_OK)
        err = fv_dataset_open(data, &m->dataset);
    if (err == FV_OK) {
        snprintf(expected, sizeof expected, "%016llx", (unsigned long long)fv_dataset_hash(m->dataset));
        err = strcmp(hash, expected) == 0
                  ? FV_OK
                  : FV_FAIL(FV_ERR_ARGUMENT, "%s: %s is another data set than when its rows were looked at",
                            m->paths[0], data);
    }
    if (err != FV_OK) {
        fv_json_destroy(what);
        return err;
    }
    err = fv_selection_init(&m->selection, what, (int64_t)fv_dataset_rows(m->dataset));
    return err == FV_OK ? FV_OK : fv_error_prefix(err, "%s", m->paths[0]);
}

static fv_err add_shard(merge *m, const char *path)
{
    static const char *const free_members[] = {"data", "shard", NULL};
    fv_json *what;
    const char *text = "";
    int shard = 0, n = 0;
    FV_TRY(fv_selection_compare(&m->selection, path, free_members));
    FV_TRY(fv_selection_read_what(path, &what));
    fv_err err = fv_json_get_string(what, "shard", &text);
    int is_one = err == FV_OK && sscanf(text, "%9d/%9d", &shard, &n) == 2 && n == m->selection.n_shards &&
                 shard >= 1 && shard <= n;
    if (err == FV_OK && !is_one)
        err = FV_FAIL(FV_ERR_ARGUMENT, "%s is shard %s, %s one of %d", path, text, m->paths[0],
                      m->selection.n_shards);
    fv_json_destroy(what);
    FV_TRY(err);
    FV_CHECK(!m->found[shard - 1], FV_ERR_ARGUMENT, "%s and %s are both shard %d/%d", m->found[shard - 1],
             path, shard, n);
    m->found[shard - 1] = path;
    return FV_OK;
}

static fv_err add_shards(merge *m)
{
    m->found = calloc((size_t)m->selection.n_shards, sizeof *m->found);
    FV_CHECK(m->found, FV_ERR_MEMORY, "cannot allocate a list of %d shards", m->selection.n_shards);
    for (int i = 0; i < m->n; i++)
        FV_TRY(add_shard(m, m->paths[i]));
    for (int i = 0; i < m->selection.n_shards; i++)
        FV_CHECK(m->found[i], FV_ERR_ARGUMENT, "shard %d/%d is missing", i + 1, m->selection.n_shards);
    return FV_OK;
}

/* All rows of a shard are there. */
static fv_err check_shard(merge *m, const char *path, int shard)
{
    fv_selection_counts counts;
    fv_selection alone = m->selection;
    alone.shard = shard;
    FV_TRY(fv_selection_pack(&alone, m->dataset, NULL, &counts));
    FV_CHECK(counts.open == 0, FV_ERR_ARGUMENT,
             "%s: %lld of its %lld rows have not been looked at; start that shard again", path,
             (long long)counts.open, (long long)counts.rows);
    return FV_OK;
}

static fv_err read_shards(merge *m)
{
    for (int i = 0; i < m->selection.n_shards; i++) {
        int64_t n_bad;
        FV_TRY(fv_selection_read_rows(&m->selection, m->found[i], &n_bad));
        if (n_bad)
            FV_LOG_ROOT(WARN, "%s has %lld lines that are no rows", m->found[i], (long long)n_bad);
        FV_TRY(check_shard(m, m->found[i], i + 1));
    }
    m->selection.shard = m->selection.n_shards = 1;
    return FV_OK;
}

static fv_err run(merge *m, const char *out)
{
    FV_TRY(open_first(m));
    FV_TRY(add_shards(m));
    FV_TRY(read_shards(m));
    return fv_selected_write(&m->selection, m->dataset, out, NULL);
}

int fv_pack_merge(const fv_pack_select_options *options)
{
    merge m = {.paths = options->overrides, .n = options->n_overrides};
    fv_err err = run(&m, options->out);
    fv_selection_fini(&m.selection);
    fv_dataset_close(m.dataset);
    free(m.found);
    return fv_job_finish(err);
}
