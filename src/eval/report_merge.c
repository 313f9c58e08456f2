#include "fovea/eval/report.h"

#include <stdlib.h>
#include <string.h>

/* The reports on the way: shard number i, once it has been found, at place i - 1. */
typedef struct merge {
    fv_report *shards;
    const char *const *names;
    int n;
    int *order;     /* owned, (n_shards): which of shards; -1: none yet */
    uint8_t *is_in; /* owned, (n_rows): rows that are not left out */
} merge;

static fv_err list_rows(merge *m, int64_t n_rows)
{
    const fv_json *out = fv_json_get(m->shards[0].settings, "left_out");
    FV_CHECK(n_rows > 0 && n_rows < INT64_MAX, FV_ERR_FORMAT, "%s: \"rows\" is %lld", m->names[0],
             (long long)n_rows);
    m->is_in = malloc((size_t)n_rows);
    FV_CHECK(m->is_in, FV_ERR_MEMORY, "cannot allocate a list of %lld rows", (long long)n_rows);
    memset(m->is_in, 1, (size_t)n_rows);
    for (size_t i = 0; out && i < fv_json_size(out); i++) {
        int64_t row;
        FV_TRY(fv_json_to_integer(fv_json_at(out, i), "left_out", &row));
        FV_CHECK(row >= 0 && row < n_rows, FV_ERR_FORMAT, "%s: \"left_out\" has row %lld of %lld",
                 m->names[0], (long long)row, (long long)n_rows);
        m->is_in[row] = 0;
    }
    return FV_OK;
}

/* Shard number i is one of the same evaluation as the first of them. */
static fv_err check_settings(const merge *m, int i)
{
    const fv_report *const both[] = {&m->shards[0], &m->shards[i]};
    const char *const names[] = {m->names[0], m->names[i]};
    return fv_report_compare(both, names);
}

static fv_err find_place(merge *m, int i)
{
    const fv_report *shard = &m->shards[i];
    int *place = &m->order[shard->shard - 1];
    FV_CHECK(*place < 0, FV_ERR_ARGUMENT, "%s and %s are both shard %d/%d", m->names[*place], m->names[i],
             shard->shard, shard->n_shards);
    *place = i;
    return FV_OK;
}

static fv_err check_rows(const merge *m, int i, int64_t n_rows)
{
    const fv_report *shard = &m->shards[i];
    const int64_t n_samples = fv_report_samples(shard);
    size_t n = 0;
    int is_whole = 1;
    for (int64_t row = shard->shard - 1; row < n_rows; row += shard->n_shards)
        for (int64_t s = 0; m->is_in[row] && s < n_samples; s++, n++)
            is_whole = is_whole && n < shard->n && shard->records[n].row == (uint64_t)row &&
                       shard->records[n].sample == (int)s;
    FV_CHECK(is_whole && n == shard->n, FV_ERR_ARGUMENT,
             "%s: its %zu samples are not the %zu rows of shard %d/%d; evaluate that shard again",
             m->names[i], shard->n, n, shard->shard, shard->n_shards);
    return FV_OK;
}

static fv_err check(merge *m, int64_t *n_rows)
{
    int n_shards = m->shards[0].n_shards;
    FV_TRY(fv_json_require_integer(m->shards[0].settings, "rows", n_rows));
    FV_TRY(list_rows(m, *n_rows));
    for (int i = 0; i < m->n; i++) {
        FV_TRY(check_settings(m, i));
        FV_CHECK(m->shards[i].n_shards == n_shards, FV_ERR_ARGUMENT, "%s is one of %d shards, %s one of %d",
                 m->names[0], n_shards, m->names[i], m->shards[i].n_shards);
        FV_TRY(find_place(m, i));
        FV_TRY(check_rows(m, i, *n_rows));
    }
    for (int i = 0; i < n_shards; i++)
        FV_CHECK(m->order[i] >= 0, FV_ERR_ARGUMENT, "shard %d/%d is missing", i + 1, n_shards);
    return FV_OK;
}

static void move_bytes(void *to, void *from, size_t size)
{
    memcpy(to, from, size);
    memset(from, 0, size);
}

static fv_err join(merge *m, int64_t n_rows, fv_report *out)
{
    fv_report *first = &m->shards[m->order[0]];
    out->shard = out->n_shards = 1;
    move_bytes(&out->model, &first->model, sizeof out->model);
    move_bytes(&out->data, &first->data, sizeof out->data);
    move_bytes(&out->settings, &first->settings, sizeof out->settings);
    for (int i = 0; i < m->n; i++)
        out->seconds += m->shards[m->order[i]].seconds;
    size_t *next = calloc((size_t)m->n, sizeof *next);
    fv_err err = next ? FV_OK : FV_FAIL(FV_ERR_MEMORY, "cannot allocate the places of %d shards", m->n);
    for (int64_t row = 0; row < n_rows && err == FV_OK; row++) {
        int of = (int)(row % m->n);
        for (int64_t s = 0; m->is_in[row] && s < fv_report_samples(out) && err == FV_OK; s++)
            err = fv_report_add(out, &m->shards[m->order[of]].records[next[of]++]);
    }
    free(next);
    return err;
}

fv_err fv_report_merge(fv_report *shards, const char *const *names, int n, fv_report *out)
{
    merge m = {.shards = shards, .names = names, .n = n};
    int64_t n_rows;
    fv_err err = FV_OK;
    *out = (fv_report){0};
    FV_CHECK(n >= 1, FV_ERR_ARGUMENT, "there is no shard to merge");
    m.order = malloc((size_t)shards[0].n_shards * sizeof *m.order);
    FV_CHECK(m.order, FV_ERR_MEMORY, "cannot allocate a list of %d shards", shards[0].n_shards);
    for (int i = 0; i < shards[0].n_shards; i++)
        m.order[i] = -1;
    FV_TRY_DONE(check(&m, &n_rows));
    FV_TRY_DONE(join(&m, n_rows, out));
done:
    free(m.order);
    free(m.is_in);
    if (err != FV_OK)
        fv_report_fini(out);
    return err;
}
