#include "fovea/train/batch.h"

#include <stdlib.h>
#include <string.h>

fv_err fv_batch_add(fv_batch *batch, fv_group *group)
{
    if (batch->n == batch->capacity) {
        int capacity = batch->capacity ? 2 * batch->capacity : 16;
        fv_group *groups = realloc(batch->groups, (size_t)capacity * sizeof *groups);
        if (!groups) {
            fv_group_fini(group);
            return FV_FAIL(FV_ERR_MEMORY, "cannot allocate a batch of %d groups", capacity);
        }
        batch->groups = groups;
        batch->capacity = capacity;
    }
    batch->groups[batch->n++] = *group;
    *group = (fv_group){0};
    return FV_OK;
}

void fv_batch_fini(fv_batch *batch)
{
    for (int i = 0; i < batch->n; i++)
        fv_group_fini(&batch->groups[i]);
    free(batch->groups);
    *batch = (fv_batch){0};
}

/* Bytes. Structs go as they are in memory, their pointers to be set by whoever reads them. */

fv_err fv_group_pack(const fv_group *group, fv_buffer *out)
{
    FV_TRY(fv_buffer_append(out, group, sizeof *group));
    FV_TRY(fv_buffer_append(out, group->prompt.ids, group->prompt.n * sizeof *group->prompt.ids));
    for (int i = 0; i < fv_group_size(group); i++) {
        const fv_response *a = &group->responses[i];
        FV_TRY(fv_buffer_append(out, a, sizeof *a));
        FV_TRY(fv_buffer_append(out, a->ids.ids, a->ids.n * sizeof *a->ids.ids));
        FV_TRY(fv_buffer_append(out, a->logprobs, a->ids.n * sizeof *a->logprobs));
        FV_TRY(fv_buffer_append(out, a->loss_mask, a->ids.n));
    }
    return FV_OK;
}

typedef struct reader {
    const char *at;
    size_t left;
} reader;

static fv_err read_bytes(reader *from, size_t bytes, void *out)
{
    FV_CHECK(bytes <= from->left, FV_ERR_FORMAT, "a group's bytes are cut short");
    if (bytes)
        memcpy(out, from->at, bytes);
    from->at += bytes;
    from->left -= bytes;
    return FV_OK;
}

/* n elements into memory of their own. */
static fv_err read_array(reader *from, size_t n, size_t element, void **out)
{
    *out = NULL;
    FV_CHECK(n <= from->left / element, FV_ERR_FORMAT, "a group's bytes are cut short");
    if (n == 0)
        return FV_OK;
    *out = malloc(n * element);
    FV_CHECK(*out, FV_ERR_MEMORY, "cannot allocate %zu elements of a group", n);
    return read_bytes(from, n * element, *out);
}

static fv_err read_answer(reader *from, fv_response *out)
{
    fv_response a;
    FV_TRY(read_bytes(from, sizeof a, &a));
    size_t n = a.ids.n;
    a.ids = (fv_tokens){0};
    a.logprobs = NULL;
    a.loss_mask = NULL;
    a.reference = NULL; /* asked for after responses are shared */
    FV_CHECK(a.n_turns >= 1 && a.n_turns <= FV_MAX_TURNS, FV_ERR_FORMAT, "a response of %d turns", a.n_turns);
    *out = a;
    FV_TRY(read_array(from, n, sizeof *a.ids.ids, (void **)&out->ids.ids));
    out->ids.n = out->ids.capacity = n;
    FV_TRY(read_array(from, n, sizeof *a.logprobs, (void **)&out->logprobs));
    return read_array(from, n, sizeof *a.loss_mask, (void **)&out->loss_mask);
}

static fv_err read_group(reader *from, fv_group *out)
{
    fv_group g;
    FV_TRY(read_bytes(from, sizeof g, &g));
    FV_CHECK(g.n_samples > 0 && (size_t)g.n_samples <= from->left / sizeof *g.responses, FV_ERR_FORMAT,
             "a group of %d responses in %zu bytes", g.n_samples, from->left);
    fv_err err = fv_group_init(out, g.prompt_index, g.row, g.n_samples);
    if (err == FV_OK && g.has_greedy)
        err = fv_group_add_greedy(out);
    out->has_image = g.has_image;
    out->is_high_first = g.is_high_first;
    out->low = g.low;
    out->high = g.high;
    if (err == FV_OK)
        err = read_array(from, g.prompt.n, sizeof *g.prompt.ids, (void **)&out->prompt.ids);
    if (err == FV_OK)
        out->prompt.n = out->prompt.capacity = g.prompt.n;
    for (int i = 0; i < fv_group_size(out) && err == FV_OK; i++)
        err = read_answer(from, &out->responses[i]);
    return err;
}

fv_err fv_group_unpack(const void *bytes, size_t size, size_t *used, fv_group *out)
{
    reader from = {bytes, size};
    *out = (fv_group){0};
    fv_err err = read_group(&from, out);
    if (err != FV_OK)
        fv_group_fini(out);
    *used = size - from.left;
    return err;
}

/* Sharing. */

static fv_err unpack_all(const fv_buffer *bytes, fv_batch *out)
{
    for (size_t at = 0, used; at < bytes->size; at += used) {
        fv_group group;
        FV_TRY(fv_group_unpack(bytes->data + at, bytes->size - at, &used, &group));
        FV_TRY(fv_batch_add(out, &group));
    }
    return FV_OK;
}

/* The bytes of rank root, on every rank. */
static fv_err pass_on(fv_comm *comm, int root, const fv_buffer *own, fv_buffer *out)
{
    uint64_t size = own->size;
    FV_TRY(fv_comm_broadcast(comm, &size, sizeof size, root));
    out->size = 0;
    FV_TRY(fv_comm_agree(comm, comm->rank == root ? fv_buffer_append(out, own->data, own->size)
                                                  : fv_buffer_reserve(out, size)));
    out->size = size;
    return size ? fv_comm_broadcast(comm, out->data, size, root) : FV_OK;
}

static fv_err pack_all(const fv_batch *batch, fv_buffer *out)
{
    for (int i = 0; i < batch->n; i++)
        FV_TRY(fv_group_pack(&batch->groups[i], out));
    return FV_OK;
}

static int by_prompt_index(const void *left, const void *right)
{
    int64_t a = ((const fv_group *)left)->prompt_index, b = ((const fv_group *)right)->prompt_index;
    return a < b ? -1 : a > b;
}

static fv_err gather(const fv_buffer *own, fv_comm *comm, fv_batch *all)
{
    fv_buffer bytes = {0};
    fv_err err = FV_OK;
    for (int rank = 0; rank < comm->size && err == FV_OK; rank++) {
        err = pass_on(comm, rank, own, &bytes);
        if (err == FV_OK)
            err = fv_comm_agree(comm, unpack_all(&bytes, all));
    }
    fv_buffer_fini(&bytes);
    return err;
}

fv_err fv_batch_share(fv_batch *batch, fv_comm *comm)
{
    fv_buffer own = {0};
    fv_batch all = {0};
    fv_err err = comm->size > 1 ? fv_comm_agree(comm, pack_all(batch, &own)) : FV_OK;
    if (err == FV_OK && comm->size > 1)
        err = gather(&own, comm, &all);
    fv_buffer_fini(&own);
    if (err == FV_OK && comm->size > 1) {
        fv_batch_fini(batch);
        *batch = all;
    } else {
        fv_batch_fini(&all);
    }
    if (batch->n)
        qsort(batch->groups, (size_t)batch->n, sizeof *batch->groups, by_prompt_index);
    return err;
}
