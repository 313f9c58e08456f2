#include "fovea/comm/comm.h"

#include "fovea/base/phase.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Below SMALL an all-reduce is one all-gather; above it every rank sums its own share, a block at a time. */
enum { SMALL_ELEMENTS = 4096, BLOCK_ELEMENTS = 1 << 20, STAGING_BLOCKS = 2 };

/* What the watch sees of a collective (phase.h). */
#define INSIDE(name, call)   \
    fv_phase_enter(name);    \
    fv_err inside_ = (call); \
    fv_phase_leave();        \
    return inside_

static fv_err all_gather(fv_comm *comm, const void *in, size_t bytes, void *out)
{
    INSIDE("all_gather", comm->table->all_gather(comm, in, bytes, out));
}

static fv_err all_to_all(fv_comm *comm, const void *in, size_t bytes, void *out)
{
    INSIDE("all_to_all", comm->table->all_to_all(comm, in, bytes, out));
}

fv_err fv_comm_split(fv_comm *comm, int color, int key, fv_comm **out)
{
    *out = NULL;
    return comm->table->split(comm, color, key, out);
}

void fv_comm_destroy(fv_comm *comm)
{
    if (!comm)
        return;
    free(comm->staging);
    comm->table->destroy(comm);
}

fv_err fv_comm_barrier(fv_comm *comm)
{
    INSIDE("barrier", comm->table->barrier(comm));
}

fv_err fv_comm_all_gather(fv_comm *comm, const void *in, size_t bytes, void *out)
{
    return all_gather(comm, in, bytes, out);
}

fv_err fv_comm_broadcast(fv_comm *comm, void *data, size_t bytes, int root)
{
    INSIDE("broadcast", comm->table->broadcast(comm, data, bytes, root));
}

/* Memory for one block of a reduction: made once, so that a step allocates nothing. */
static fv_err stage(fv_comm *comm)
{
    if (comm->staging)
        return FV_OK;
    size_t bytes = STAGING_BLOCKS * (BLOCK_ELEMENTS + (size_t)comm->size) * sizeof(float);
    comm->staging = malloc(bytes);
    FV_CHECK(comm->staging, FV_ERR_MEMORY, "cannot allocate %zu bytes to stage reductions", bytes);
    return FV_OK;
}

/* The balanced tree over parts of n elements: sum(lo, hi) = sum(lo, mid) + sum(mid, hi), mid = lo + the
 * largest power of two below hi - lo. Neighbours first; the sum is in part 0, the others are used up. */
#define SUM_TREE(type, parts, n, n_parts)                                  \
    do {                                                                   \
        for (size_t step_ = 1; step_ < (n_parts); step_ *= 2)              \
            for (size_t p_ = 0; p_ + step_ < (n_parts); p_ += 2 * step_) { \
                type *to_ = (parts) + p_ * (n);                            \
                const type *from_ = (parts) + (p_ + step_) * (n);          \
                for (size_t i_ = 0; i_ < (n); i_++)                        \
                    to_[i_] += from_[i_];                                  \
            }                                                              \
    } while (0)

static void sum_tree_f32(float *parts, size_t n, size_t n_parts)
{
    SUM_TREE(float, parts, n, n_parts);
}

static void sum_tree_f64(double *parts, size_t n, size_t n_parts)
{
    SUM_TREE(double, parts, n, n_parts);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static fv_err reduce_small(fv_comm *comm, float *data, size_t n)
{
    float *parts = comm->staging;
    FV_TRY(all_gather(comm, data, n * sizeof *data, parts));
    sum_tree_f32(parts, n, (size_t)comm->size);
    memcpy(data, parts, n * sizeof *data);
    return FV_OK;
}

/* Every rank receives its share of the elements from all and sums it, and the sums are gathered. */
static fv_err reduce_block(fv_comm *comm, float *data, size_t n)
{
    size_t size = (size_t)comm->size, share = (n + size - 1) / size, padded = share * size;
    float *out = comm->staging, *in = out + padded;
    memcpy(out, data, n * sizeof *data);
    memset(out + n, 0, (padded - n) * sizeof *data);
    FV_TRY(all_to_all(comm, out, share * sizeof *data, in));
    sum_tree_f32(in, share, size);
    FV_TRY(all_gather(comm, in, share * sizeof *data, out));
    memcpy(data, out, n * sizeof *data);
    return FV_OK;
}

fv_err fv_comm_all_reduce_f32(fv_comm *comm, float *data, size_t n)
{
    if (comm->size == 1)
        return FV_OK;
    FV_TRY(stage(comm));
    if (n <= SMALL_ELEMENTS && n * (size_t)comm->size <= BLOCK_ELEMENTS)
        return reduce_small(comm, data, n);
    for (size_t first = 0; first < n; first += BLOCK_ELEMENTS)
        FV_TRY(reduce_block(comm, data + first, least(n - first, BLOCK_ELEMENTS)));
    return FV_OK;
}

fv_err fv_comm_reduce_scatter_f32(fv_comm *comm, const float *in, size_t n, float *out)
{
    size_t size = (size_t)comm->size, most = BLOCK_ELEMENTS / size + 1;
    if (size > 1)
        FV_TRY(stage(comm));
    else if (n && out != in)
        memmove(out, in, n * sizeof *out);
    for (size_t first = 0; first < n && size > 1; first += most) {
        size_t share = least(n - first, most);
        float *send = comm->staging, *parts = send + share * size;
        for (size_t rank = 0; rank < size; rank++)
            memcpy(send + rank * share, in + rank * n + first, share * sizeof *in);
        FV_TRY(all_to_all(comm, send, share * sizeof *in, parts));
        sum_tree_f32(parts, share, size);
        memcpy(out + first, parts, share * sizeof *out);
    }
    return FV_OK;
}

fv_err fv_comm_all_reduce_f64(fv_comm *comm, double *data, size_t n)
{
    size_t size = (size_t)comm->size, most = BLOCK_ELEMENTS / 2 / size + 1;
    if (size == 1)
        return FV_OK;
    FV_TRY(stage(comm));
    for (size_t first = 0; first < n; first += most) {
        size_t some = least(n - first, most);
        FV_TRY(all_gather(comm, data + first, some * sizeof *data, comm->staging));
        sum_tree_f64(comm->staging, some, size);
        memcpy(data + first, comm->staging, some * sizeof *data);
    }
    return FV_OK;
}

fv_err fv_comm_all_reduce_max(fv_comm *comm, double *value)
{
    FV_TRY(stage(comm));
    double *all = comm->staging;
    FV_TRY(all_gather(comm, value, sizeof *value, all));
    for (int rank = 0; rank < comm->size; rank++)
        *value = all[rank] > *value ? all[rank] : *value;
    return FV_OK;
}

static int worst_of(const int32_t *codes, int n)
{
    int worst = 0;
    for (int rank = 1; rank < n; rank++) {
        if (codes[rank] != FV_OK && (codes[worst] == FV_OK || codes[rank] < codes[worst]))
            worst = rank;
    }
    return worst;
}

fv_err fv_comm_agree(fv_comm *comm, fv_err err)
{
    if (comm->size == 1)
        return err;
    int32_t mine = err, *codes = malloc((size_t)comm->size * sizeof *codes);
    if (!codes)
        fv_comm_abort(comm, 1); /* the others are in the collective already */
    fv_err gathered = all_gather(comm, &mine, sizeof mine, codes);
    int worst = gathered == FV_OK ? worst_of(codes, comm->size) : 0;
    fv_err outcome = gathered == FV_OK ? (fv_err)codes[worst] : gathered;
    free(codes);
    if (gathered != FV_OK || outcome == FV_OK)
        return outcome;
    char sentence[1024] = "";
    if (comm->rank == worst)
        snprintf(sentence, sizeof sentence, "%s", fv_error_text());
    FV_TRY(fv_comm_broadcast(comm, sentence, sizeof sentence, worst));
    if (comm->rank != worst)
        fv_error_set(__func__, "rank %d: %s", worst, sentence);
    fv_error_scope_set(comm->rank == worst ? FV_ERROR_AGREED : FV_ERROR_AGREED_OTHER);
    return outcome;
}

fv_err fv_counter_create(fv_comm *comm, fv_counter **out)
{
    fv_counter *counter = calloc(1, sizeof *counter);
    *out = NULL;
    fv_err err = counter ? FV_OK : FV_FAIL(FV_ERR_MEMORY, "cannot allocate a counter");
    err = fv_comm_agree(comm, err);
    if (err == FV_OK) {
        counter->comm = comm;
        err = comm->table->counter_create(comm, counter);
    }
    if (err != FV_OK)
        free(counter);
    else
        *out = counter;
    return err;
}

void fv_counter_destroy(fv_counter *counter)
{
    if (!counter)
        return;
    counter->comm->table->counter_destroy(counter);
    free(counter);
}

fv_err fv_counter_next(fv_counter *counter, int64_t *value)
{
    return counter->comm->table->counter_next(counter, value);
}

fv_err fv_counter_close(fv_counter *counter)
{
    return counter->comm->table->counter_close(counter);
}

fv_err fv_counter_poll(fv_counter *counter, int *is_closed)
{
    return counter->comm->table->counter_poll(counter, is_closed);
}

void fv_comm_abort(fv_comm *comm, int status)
{
    comm->table->abort(comm, status);
}
