#include "fovea/train/row_demands.h"

#include "fovea/base/log.h"
#include "fovea/base/phase.h"
#include "base/hash.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NAMED = 3 /* rows in a sentence */ };

/* Sums over rows, of every demand. */
typedef struct sums {
    double exceeding[FV_MAX_DEMANDS]; /* rows */
    double most[FV_MAX_DEMANDS];      /* that they need */
} sums;

typedef struct measuring {
    const fv_measure *what;
    fv_comm *comm;
    uint64_t block;   /* rows of a rank */
    uint8_t *is_long; /* owned, (block * ranks) */
    uint64_t n_long;
    sums sums;
    double most_text; /* the least, with a minus: ranks know how to find the largest */
    fv_demands names; /* of any row: their keys and limits */
} measuring;

fv_err fv_demands_add(fv_demands *demands, fv_demand demand)
{
    FV_CHECK(demands->n < FV_MAX_DEMANDS, FV_ERR_INTERNAL, "more than %d demands of a row", FV_MAX_DEMANDS);
    demands->all[demands->n++] = demand;
    return FV_OK;
}

void fv_demands_add_prompt(fv_demands *demands, const fv_group *group, int merge)
{
    int64_t text = (int64_t)group->prompt.n - (group->has_image ? fv_grid_tokens(group->low, merge) : 0);
    demands->text = demands->text == 0 || text < demands->text ? text : demands->text;
}

/* Rows. */

static fv_err measure_row(const fv_measure *what, uint64_t number, fv_demands *out)
{
    fv_row row;
    fv_err err = FV_OK;
    *out = (fv_demands){0};
    FV_TRY(fv_dataset_read_texts(what->dataset, number, &row));
    for (int i = 0; i < what->n_measurers && err == FV_OK; i++)
        err = what->measurers[i].measure(what->measurers[i].context, &row, out);
    fv_row_fini(&row);
    return err == FV_OK ? FV_OK
                        : fv_error_prefix(err, "%s: row %llu", what->name, (unsigned long long)number);
}

static int exceeds(const fv_demand *demand)
{
    return demand->needs > demand->limit;
}

static int is_too_long(const fv_demands *demands)
{
    for (int i = 0; i < demands->n; i++)
        if (exceeds(&demands->all[i]) && !demands->all[i].wish)
            return 1;
    return 0;
}

/* Wishes are counted of rows that are not too long. */
static void add_row(sums *to, const fv_demands *demands, int is_long)
{
    for (int i = 0; i < demands->n; i++) {
        const fv_demand *d = &demands->all[i];
        if (!exceeds(d) || (d->wish && is_long))
            continue;
        to->exceeding[i]++;
        if ((double)d->needs > to->most[i])
            to->most[i] = (double)d->needs;
    }
}

static fv_err measure_part(measuring *m, uint8_t *mine)
{
    uint64_t first = m->block * (uint64_t)m->comm->rank;
    for (uint64_t i = 0; i < m->block && first + i < m->what->n_rows; i++) {
        fv_phase_move();
        FV_TRY(measure_row(m->what, first + i, &m->names));
        mine[i] = (uint8_t)is_too_long(&m->names);
        m->most_text = fmax(m->most_text, -(double)m->names.text);
        add_row(&m->sums, &m->names, mine[i]);
    }
    return FV_OK;
}

static fv_err measure_all(measuring *m)
{
    uint8_t *mine = calloc(m->block + 1, 1);
    m->is_long = malloc(m->block * (uint64_t)m->comm->size + 1);
    fv_err err = mine && m->is_long ? measure_part(m, mine)
                                    : FV_FAIL(FV_ERR_MEMORY, "no memory to measure %llu rows",
                                              (unsigned long long)m->what->n_rows);
    err = fv_comm_agree(m->comm, err);
    if (err == FV_OK)
        err = fv_comm_all_gather(m->comm, mine, m->block, m->is_long);
    free(mine);
    FV_TRY(err);
    for (uint64_t i = 0; i < m->what->n_rows; i++)
        m->n_long += m->is_long[i];
    FV_TRY(fv_comm_all_reduce_f64(m->comm, m->sums.exceeding, FV_MAX_DEMANDS));
    for (int i = 0; i < FV_MAX_DEMANDS; i++)
        FV_TRY(fv_comm_all_reduce_max(m->comm, &m->sums.most[i]));
    return fv_comm_all_reduce_max(m->comm, &m->most_text);
}

/* What is said about them, on rank 0. */

static fv_err say_row(const fv_measure *what, uint64_t number, fv_buffer *out)
{
    fv_demands demands;
    const char *before = "";
    FV_TRY(measure_row(what, number, &demands));
    FV_TRY(fv_buffer_print(out, "row %llu ", (unsigned long long)number));
    for (int i = 0; i < demands.n; i++) {
        const fv_demand *d = &demands.all[i];
        if (!exceeds(d) || d->wish)
            continue;
        FV_TRY(fv_buffer_print(out, "%sneeds %lld %s%s, and %s is %lld", before, (long long)d->needs, d->unit,
                               *before ? "" : demands.image, d->key, (long long)d->limit));
        before = ", ";
    }
    return FV_OK;
}

static fv_err say_rows(const measuring *m, fv_buffer *out)
{
    int n = 0;
    for (uint64_t i = 0; i < m->what->n_rows && n < NAMED; i++) {
        if (!m->is_long[i])
            continue;
        FV_TRY(fv_buffer_print(out, "%s", n++ ? "; " : ""));
        FV_TRY(say_row(m->what, i, out));
    }
    if (m->n_long > NAMED)
        return fv_buffer_print(out, "; and %llu more", (unsigned long long)m->n_long - NAMED);
    return FV_OK;
}

static fv_err say_mend(const measuring *m, fv_buffer *out)
{
    const char *before = "raise ";
    FV_TRY(fv_buffer_print(out, ": "));
    for (int i = 0; i < m->names.n; i++) {
        const fv_demand *d = &m->names.all[i];
        if (d->wish || d->is_fixed || m->sums.exceeding[i] == 0)
            continue;
        FV_TRY(fv_buffer_print(out, "%s%s to %.0f", before, d->key, m->sums.most[i]));
        before = " and ";
    }
    if (*before == ' ')
        FV_TRY(fv_buffer_print(out, ", "));
    if (fv_dataset_images(m->what->dataset) > 0)
        FV_TRY(fv_buffer_print(out, "lower %s, ", m->what->pixels));
    return fv_buffer_print(out, "%sleave such rows out (%s)", out->size > 2 ? "or " : "", m->what->skip);
}

static fv_err refuse(const measuring *m, const fv_buffer *rows)
{
    fv_buffer mend = {0};
    fv_err err = say_mend(m, &mend);
    if (err == FV_OK)
        err = FV_FAIL(FV_ERR_ARGUMENT, "%s: %llu of %llu rows are too long: %s%s", m->what->name,
                      (unsigned long long)m->n_long, (unsigned long long)m->what->n_rows, rows->data,
                      m->n_long == m->what->n_rows && m->what->too_long == FV_TOO_LONG_SKIP ? "; none is left"
                                                                                            : mend.data);
    fv_buffer_fini(&mend);
    return err;
}

static void warn(const measuring *m)
{
    for (int i = 0; i < m->names.n; i++) {
        const fv_demand *d = &m->names.all[i];
        if (!d->wish || m->sums.exceeding[i] == 0)
            continue;
        FV_LOG_ROOT(WARN,
                    "%s: %.0f of %llu rows leave no room for %s: that takes up to %.0f %s, and %s is %lld",
                    m->what->name, m->sums.exceeding[i], (unsigned long long)m->what->n_rows, d->wish,
                    m->sums.most[i], d->unit, d->key, (long long)d->limit);
    }
}

static fv_err tell(const measuring *m)
{
    fv_buffer rows = {0};
    warn(m);
    if (m->n_long == 0)
        return FV_OK;
    fv_err err = say_rows(m, &rows);
    if (err == FV_OK && (m->what->too_long == FV_TOO_LONG_REFUSE || m->n_long == m->what->n_rows))
        err = refuse(m, &rows);
    else if (err == FV_OK)
        FV_LOG_ROOT(INFO, "%s: %llu of %llu rows are too long and are left out (%s): %s", m->what->name,
                    (unsigned long long)m->n_long, (unsigned long long)m->what->n_rows, m->what->skip,
                    rows.data);
    fv_buffer_fini(&rows);
    return err;
}

/* Together. */

static fv_err list(const measuring *m, fv_rows *out)
{
    out->kept = malloc((m->what->n_rows - m->n_long + 1) * sizeof *out->kept);
    FV_CHECK(out->kept, FV_ERR_MEMORY, "no memory for a list of %llu rows",
             (unsigned long long)m->what->n_rows);
    for (uint64_t i = 0; i < m->what->n_rows; i++)
        if (!m->is_long[i])
            out->kept[out->n++] = i;
    out->n_left_out = m->n_long;
    out->least_text = m->most_text > -(double)INT64_MAX ? (int64_t)-m->most_text : 0;
    return FV_OK;
}

static fv_err measure(measuring *m, fv_rows *out)
{
    FV_TRY(measure_all(m));
    FV_TRY(fv_comm_agree(m->comm, m->comm->rank == 0 ? tell(m) : FV_OK));
    return fv_comm_agree(m->comm, list(m, out));
}

fv_err fv_rows_measure(const fv_measure *what, fv_comm *comm, fv_rows *out)
{
    uint64_t size = (uint64_t)comm->size;
    measuring m = {
        .what = what, .comm = comm, .block = (what->n_rows + size - 1) / size, .most_text = -INFINITY};
    *out = (fv_rows){0};
    fv_err err = measure(&m, out);
    free(m.is_long);
    if (err != FV_OK)
        fv_rows_fini(out);
    return err;
}

void fv_rows_fini(fv_rows *rows)
{
    free(rows->kept);
    *rows = (fv_rows){0};
}

int fv_rows_has(const fv_rows *rows, uint64_t row)
{
    uint64_t low = 0, high = rows->n;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (rows->kept[middle] == row)
            return 1;
        if (rows->kept[middle] < row)
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}

uint64_t fv_rows_identity(const fv_rows *rows, uint64_t dataset)
{
    if (rows->n_left_out == 0)
        return dataset;
    return XXH3_64bits_withSeed(rows->kept, rows->n * sizeof *rows->kept, dataset);
}
