/* A batch as columns of an HDF5 file. */
#include "fovea/train/batch.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 64 };

/* A member that is a whole number, int or int64_t, or a double: a column. */
typedef struct column {
    const char *name;
    size_t offset, size;
    int is_real;
} column;
#define AT(type, member) offsetof(type, member), sizeof(((type *)0)->member)

static const column group_columns[] = {{"prompt_index", AT(fv_group, prompt_index), 0},
                                       {"row", AT(fv_group, row), 0},
                                       {"prompt_tokens", AT(fv_group, prompt.n), 0},
                                       {"n_samples", AT(fv_group, n_samples), 0},
                                       {"has_greedy", AT(fv_group, has_greedy), 0},
                                       {"has_image", AT(fv_group, has_image), 0},
                                       {"is_high_first", AT(fv_group, is_high_first), 0},
                                       {"low_t", AT(fv_group, low.t), 0},
                                       {"low_h", AT(fv_group, low.h), 0},
                                       {"low_w", AT(fv_group, low.w), 0},
                                       {"high_t", AT(fv_group, high.t), 0},
                                       {"high_h", AT(fv_group, high.h), 0},
                                       {"high_w", AT(fv_group, high.w), 0},
                                       {0}};

static const column response_columns[] = {{"sample", AT(fv_response, sample), 0},
                                          {"tokens", AT(fv_response, ids.n), 0},
                                          {"n_turns", AT(fv_response, n_turns), 0},
                                          {"n_shown", AT(fv_response, n_shown), 0},
                                          {"is_done", AT(fv_response, is_done), 0},
                                          {"is_called", AT(fv_response, is_called), 0},
                                          {"has_verdict", AT(fv_response, reward.has_verdict), 0},
                                          {"unjudged_why", AT(fv_response, reward.why), 0},
                                          {"accuracy", AT(fv_response, reward.accuracy), 1},
                                          {"format", AT(fv_response, reward.format), 1},
                                          {"tool_penalty", AT(fv_response, reward.tool_penalty), 1},
                                          {"overlong", AT(fv_response, reward.overlong), 1},
                                          {"kl", AT(fv_response, reward.kl), 1},
                                          {0}};

static const column turn_columns[] = {
    {"first", AT(fv_turn, first), 0}, {"n", AT(fv_turn, n), 0}, {"is_cut", AT(fv_turn, is_cut), 0}, {0}};

/* Structs of one kind, wherever they are: the rows of a table. */
typedef struct rows {
    void **at; /* owned, (n) */
    size_t n;
} rows;

typedef struct tables {
    rows groups, responses, turns;
} tables;

static void tables_fini(tables *t)
{
    free(t->groups.at);
    free(t->responses.at);
    free(t->turns.at);
}

static fv_err allocate(rows *r, size_t n)
{
    r->at = malloc((n + 1) * sizeof *r->at);
    FV_CHECK(r->at, FV_ERR_MEMORY, "cannot allocate a table of %zu rows", n);
    return FV_OK;
}

static fv_err list_groups(const fv_batch *batch, tables *t)
{
    size_t responses = 0;
    FV_TRY(allocate(&t->groups, (size_t)batch->n));
    for (int g = 0; g < batch->n; g++) {
        t->groups.at[t->groups.n++] = &batch->groups[g];
        responses += (size_t)fv_group_size(&batch->groups[g]);
    }
    FV_TRY(allocate(&t->responses, responses));
    for (int g = 0; g < batch->n; g++)
        for (int i = 0; i < fv_group_size(&batch->groups[g]); i++)
            t->responses.at[t->responses.n++] = &batch->groups[g].responses[i];
    return FV_OK;
}

static fv_err list_turns(tables *t)
{
    FV_TRY(allocate(&t->turns, t->responses.n * FV_MAX_TURNS));
    for (size_t i = 0; i < t->responses.n; i++) {
        fv_response *response = t->responses.at[i];
        for (int r = 0; r < response->n_turns; r++)
            t->turns.at[t->turns.n++] = &response->turns[r];
    }
    return FV_OK;
}

/* Tokens of all rows, one behind the other. */

typedef struct run {
    const char *name;
    fv_dtype type;
    size_t element;
    void **(*of)(void *row, size_t *n); /* the row's array */
} run;

static void **prompt_ids(void *row, size_t *n)
{
    *n = ((fv_group *)row)->prompt.n;
    return (void **)&((fv_group *)row)->prompt.ids;
}

static void **response_ids(void *row, size_t *n)
{
    *n = ((fv_response *)row)->ids.n;
    return (void **)&((fv_response *)row)->ids.ids;
}

static void **response_logprobs(void *row, size_t *n)
{
    *n = ((fv_response *)row)->ids.n;
    return (void **)&((fv_response *)row)->logprobs;
}

static void **response_mask(void *row, size_t *n)
{
    *n = ((fv_response *)row)->ids.n;
    return (void **)&((fv_response *)row)->loss_mask;
}

static const run group_runs[] = {{"prompt_ids", FV_I32, sizeof(int32_t), prompt_ids}, {0}};
static const run response_runs[] = {{"ids", FV_I32, sizeof(int32_t), response_ids},
                                    {"logprobs", FV_F32, sizeof(float), response_logprobs},
                                    {"loss_mask", FV_U8, sizeof(uint8_t), response_mask},
                                    {0}};

static size_t count_run(const rows *r, const run *of)
{
    size_t total = 0, n;
    for (size_t i = 0; i < r->n; i++, total += n)
        of->of(r->at[i], &n);
    return total;
}

/* Writing. */

static const char *path_of(const char *table, const char *name, char out[NAME_BYTES])
{
    snprintf(out, NAME_BYTES, "%s_%s", table, name);
    return out;
}

static int64_t get_whole(const column *c, const void *row)
{
    const char *at = (const char *)row + c->offset;
    return c->size == sizeof(int) ? *(const int *)at : *(const int64_t *)at;
}

static fv_err write_column(fv_hdf5 *file, const char *table, const column *c, const rows *r, uint64_t *values)
{
    char name[NAME_BYTES];
    const int64_t n = (int64_t)r->n;
    for (size_t i = 0; i < r->n; i++)
        if (c->is_real)
            memcpy(&values[i], (const char *)r->at[i] + c->offset, sizeof *values);
        else
            values[i] = (uint64_t)get_whole(c, r->at[i]);
    return fv_hdf5_write(file, path_of(table, c->name, name), c->is_real ? FV_F64 : FV_U64, 1, &n, values);
}

static fv_err write_run(fv_hdf5 *file, const char *table, const run *of, const rows *r)
{
    char name[NAME_BYTES];
    size_t n = count_run(r, of), at = 0, part;
    const int64_t dim = (int64_t)n;
    char *all = malloc(n * of->element + 1);
    FV_CHECK(all, FV_ERR_MEMORY, "cannot allocate %zu tokens", n);
    for (size_t i = 0; i < r->n; i++, at += part) {
        void **array = of->of(r->at[i], &part);
        if (part)
            memcpy(all + at * of->element, *array, part * of->element);
    }
    fv_err err = fv_hdf5_write(file, path_of(table, of->name, name), of->type, 1, &dim, all);
    free(all);
    return err;
}

static fv_err write_table(fv_hdf5 *file, const char *table, const column *columns, const run *runs,
                          const rows *r)
{
    uint64_t *values = malloc((r->n + 1) * sizeof *values);
    fv_err err = values ? FV_OK : FV_FAIL(FV_ERR_MEMORY, "cannot allocate a column of %zu rows", r->n);
    for (; columns->name && err == FV_OK; columns++)
        err = write_column(file, table, columns, r, values);
    for (; runs && runs->name && err == FV_OK; runs++)
        err = write_run(file, table, runs, r);
    free(values);
    return err;
}

static fv_err write_tables(fv_hdf5 *file, const char *name, const tables *t)
{
    char table[NAME_BYTES / 2];
    snprintf(table, sizeof table, "%s/group", name);
    FV_TRY(write_table(file, table, group_columns, group_runs, &t->groups));
    snprintf(table, sizeof table, "%s/response", name);
    FV_TRY(write_table(file, table, response_columns, response_runs, &t->responses));
    snprintf(table, sizeof table, "%s/turn", name);
    return write_table(file, table, turn_columns, NULL, &t->turns);
}

fv_err fv_batch_write(const fv_batch *batch, fv_hdf5 *file, const char *name)
{
    tables t = {0};
    fv_err err = list_groups(batch, &t);
    if (err == FV_OK)
        err = list_turns(&t);
    if (err == FV_OK)
        err = write_tables(file, name, &t);
    tables_fini(&t);
    return err;
}

/* Reading: table by table, since the rows of one say how many the next has. */

static fv_err set_whole(const column *c, uint64_t value, void *row)
{
    char *at = (char *)row + c->offset;
    FV_CHECK(value <= (c->size == sizeof(int) ? INT_MAX : INT64_MAX / 16), FV_ERR_FORMAT,
             "\"%s\" is %llu, which is out of range", c->name, (unsigned long long)value);
    if (c->size == sizeof(int))
        *(int *)at = (int)value;
    else
        *(int64_t *)at = (int64_t)value;
    return FV_OK;
}

static fv_err set_column(const column *c, const void *values, const rows *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (c->is_real)
            memcpy((char *)r->at[i] + c->offset, (const double *)values + i, sizeof(double));
        else
            FV_TRY(set_whole(c, ((const uint64_t *)values)[i], r->at[i]));
    return FV_OK;
}

static fv_err read_column(const fv_hdf5 *file, const char *table, const column *c, const rows *r)
{
    char name[NAME_BYTES];
    void *values;
    size_t n;
    FV_TRY(fv_hdf5_read(file, path_of(table, c->name, name), c->is_real ? FV_F64 : FV_U64, &values, &n));
    fv_err err = n == r->n ? set_column(c, values, r)
                           : FV_FAIL(FV_ERR_FORMAT, "\"%s\" has %zu rows, expected %zu", name, n, r->n);
    free(values);
    return err;
}

static fv_err read_run(const fv_hdf5 *file, const char *table, const run *of, const rows *r)
{
    char name[NAME_BYTES];
    void *all = NULL;
    size_t n, expected = count_run(r, of), at = 0, part;
    fv_err err = FV_OK;
    FV_TRY(fv_hdf5_read(file, path_of(table, of->name, name), of->type, &all, &n));
    FV_CHECK_DONE(n == expected, FV_ERR_FORMAT, "\"%s\" has %zu elements, expected %zu", name, n, expected);
    for (size_t i = 0; i < r->n; i++, at += part) {
        void **array = of->of(r->at[i], &part);
        *array = malloc(part * of->element + 1);
        FV_CHECK_DONE(*array, FV_ERR_MEMORY, "cannot allocate %zu tokens", part);
        memcpy(*array, (const char *)all + at * of->element, part * of->element);
    }
done:
    free(all);
    return err;
}

static fv_err read_table(const fv_hdf5 *file, const char *table, const column *columns, const rows *r)
{
    for (; columns->name; columns++)
        FV_TRY(read_column(file, table, columns, r));
    return FV_OK;
}

/* How many rows a table has, by its first column. */
static fv_err count_rows(const fv_hdf5 *file, const char *table, const column *columns, int64_t *n)
{
    char name[NAME_BYTES];
    int n_dims;
    int64_t dims[FV_HDF5_MAX_DIMS];
    FV_TRY(fv_hdf5_dims(file, path_of(table, columns[0].name, name), &n_dims, dims));
    FV_CHECK(n_dims == 1 && dims[0] <= INT_MAX, FV_ERR_FORMAT, "\"%s\" is no column", name);
    *n = dims[0];
    return FV_OK;
}

static fv_err make_groups(const fv_hdf5 *file, const char *table, fv_batch *out)
{
    int64_t n = 0;
    FV_TRY(count_rows(file, table, group_columns, &n));
    for (int64_t i = 0; i < n; i++)
        FV_TRY(fv_batch_add(out, &(fv_group){0}));
    return FV_OK;
}

/* What the columns of a group say of its arrays; *n_left responses are in their table and not a group's yet.
 */
static fv_err make_responses(fv_group *group, int64_t *n_left)
{
    FV_CHECK(group->has_greedy <= 1 && group->n_samples < *n_left + 1 - group->has_greedy, FV_ERR_FORMAT,
             "a group of %d responses, of which %lld are there", group->n_samples, (long long)*n_left);
    int n = fv_group_size(group);
    FV_CHECK(n > 0, FV_ERR_FORMAT, "a group without responses");
    *n_left -= n;
    group->prompt.capacity = group->prompt.n;
    group->responses = calloc((size_t)n, sizeof *group->responses);
    FV_CHECK(group->responses, FV_ERR_MEMORY, "cannot allocate %d responses", n);
    return FV_OK;
}

static fv_err check_response(fv_response *response)
{
    response->ids.capacity = response->ids.n;
    FV_CHECK(response->n_turns >= 1 && response->n_turns <= FV_MAX_TURNS &&
                 response->reward.why < FV_N_UNJUDGED,
             FV_ERR_FORMAT, "a response of %d turns", response->n_turns);
    return FV_OK;
}

/* A batch whose counts are not set yet must not be released by them. */
static void forget_arrays(fv_batch *batch)
{
    for (int g = 0; g < batch->n; g++)
        if (!batch->groups[g].responses)
            batch->groups[g] = (fv_group){.prompt = batch->groups[g].prompt};
}

static fv_err read_tables(const fv_hdf5 *file, const char *name, tables *t, fv_batch *out)
{
    char table[NAME_BYTES / 2];
    int64_t n_left = 0;
    snprintf(table, sizeof table, "%s/group", name);
    FV_TRY(make_groups(file, table, out));
    FV_TRY(allocate(&t->groups, (size_t)out->n));
    for (int g = 0; g < out->n; g++)
        t->groups.at[t->groups.n++] = &out->groups[g];
    FV_TRY(read_table(file, table, group_columns, &t->groups));
    FV_TRY(read_run(file, table, group_runs, &t->groups));
    snprintf(table, sizeof table, "%s/response", name);
    FV_TRY(count_rows(file, table, response_columns, &n_left));
    for (int g = 0; g < out->n; g++)
        FV_TRY(make_responses(&out->groups[g], &n_left));
    tables_fini(t);
    *t = (tables){0};
    FV_TRY(list_groups(out, t));
    FV_TRY(read_table(file, table, response_columns, &t->responses));
    for (size_t i = 0; i < t->responses.n; i++)
        FV_TRY(check_response(t->responses.at[i]));
    for (const run *of = response_runs; of->name; of++)
        FV_TRY(read_run(file, table, of, &t->responses));
    FV_TRY(list_turns(t));
    snprintf(table, sizeof table, "%s/turn", name);
    return read_table(file, table, turn_columns, &t->turns);
}

fv_err fv_batch_read(const fv_hdf5 *file, const char *name, fv_batch *out)
{
    tables t = {0};
    *out = (fv_batch){0};
    fv_err err = read_tables(file, name, &t, out);
    tables_fini(&t);
    if (err != FV_OK) {
        forget_arrays(out);
        fv_batch_fini(out);
        return fv_error_prefix(err, "the unfinished step in \"%s\"", name);
    }
    return FV_OK;
}
