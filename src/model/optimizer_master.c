/* Masters and moments on their way from and to the host, a piece at a time where masters are split. */
#include "model/optimizer_internal.h"

#include "fovea/model/hf/folder.h"
#include "fovea/ops/staging.h"
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 1 << 20 /* numbers of a folder in host memory, if a row is not longer */ };

/* Elements [first, first + n) of the share's weights. */
static fv_tensor weights_of(const fv_optimizer *o, int64_t first, int64_t n)
{
    return fv_tensor_rows(o->model->weights.flat, o->first + first, n);
}

/* As many of n elements as go at a time. */
static int64_t some_of(const fv_optimizer *o, int64_t n)
{
    return o->master.data || n < o->piece.dim[0] ? n : o->piece.dim[0];
}

/* Elements [first, first + n) of the master, as a tensor; valid until the next call. */
static fv_err join(const fv_optimizer *o, int64_t first, int64_t n, fv_tensor *out)
{
    *out = fv_tensor_rows(o->master.data ? o->master : o->piece, o->master.data ? first : 0, n);
    if (o->master.data)
        return FV_OK;
    const fv_pair_join_args args = {weights_of(o, first, n), fv_tensor_rows(o->low, first, n), *out};
    return fv_pair_join(o->model->backend, &args);
}

fv_dtype fv_optimizer_dtype(const fv_optimizer *o, fv_state_part part)
{
    return part == FV_STATE_MASTER || o->settings.moments == FV_MOMENTS_FP32 ? FV_F32 : FV_BF16;
}

static fv_err copy_master(const fv_optimizer *o, float *out)
{
    for (int64_t at = 0, n; at < o->held; at += n) {
        fv_tensor piece;
        n = some_of(o, o->held - at);
        FV_TRY(join(o, at, n, &piece));
        FV_TRY(fv_download(o->model->backend, FV_STREAM_COMPUTE, piece, out + at));
    }
    return FV_OK;
}

fv_err fv_optimizer_copy(const fv_optimizer *o, fv_state_part part, void *out)
{
    if (part == FV_STATE_MASTER)
        return copy_master(o, out);
    fv_tensor moment = fv_tensor_rows(part == FV_STATE_M ? o->m : o->v, 0, o->held);
    return fv_download(o->model->backend, FV_STREAM_COMPUTE, moment, out);
}

/* Elements from first on of a part in host memory, which nothing that is queued changes. */
static fv_err host_at(const fv_optimizer *o, fv_state_part part, int64_t first, void **out)
{
    *out = (char *)o->host[part] + (size_t)first * fv_dtype_bytes(fv_optimizer_dtype(o, part));
    return fv_backend_synchronize(o->model->backend);
}

fv_err fv_optimizer_read_master(const fv_optimizer *o, int64_t first, int64_t n, float *out)
{
    void *host;
    if (o->host[FV_STATE_MASTER]) {
        FV_TRY(host_at(o, FV_STATE_MASTER, first, &host));
        memcpy(out, host, (size_t)n * sizeof *out);
        return FV_OK;
    }
    for (int64_t at = 0, some; at < n; at += some) {
        fv_tensor piece;
        some = some_of(o, n - at);
        FV_TRY(join(o, first + at, some, &piece));
        FV_TRY(fv_download_now(o->model->backend, piece, out + at));
    }
    return FV_OK;
}

/* Round the weights of a piece of the master, and keep what they lack. */
static fv_err split(const fv_optimizer *o, int64_t first, fv_tensor piece)
{
    fv_tensor weights = weights_of(o, first, piece.dim[0]);
    if (weights.dtype == FV_F32)
        return FV_OK;
    const fv_pair_split_args args = {piece, weights, fv_rows_if(o->low, first, piece.dim[0])};
    return fv_pair_split(o->model->backend, &args);
}

static fv_err split_piece(void *context, const fv_state_piece *piece)
{
    return split(context, piece->first, piece->master);
}

static fv_err write_on_host(fv_optimizer *o, int64_t first, int64_t n, const float *in)
{
    void *host;
    if (o->before_change)
        FV_TRY(o->before_change(o->before_context));
    FV_TRY(host_at(o, FV_STATE_MASTER, first, &host));
    memcpy(host, in, (size_t)n * sizeof *in);
    return fv_state_visit(o, first, n, split_piece, o);
}

fv_err fv_optimizer_write_master(fv_optimizer *o, int64_t first, int64_t n, const float *in)
{
    if (o->host[FV_STATE_MASTER])
        return write_on_host(o, first, n, in);
    for (int64_t at = 0, some; at < n; at += some) {
        some = some_of(o, n - at);
        fv_tensor piece =
            o->master.data ? fv_tensor_rows(o->master, first + at, some) : fv_tensor_rows(o->piece, 0, some);
        FV_TRY(fv_upload_array(o->model->backend, piece, in + at));
        FV_TRY(split(o, first + at, piece));
    }
    return FV_OK;
}

/* A moment's elements in memory of the back end. */
static fv_tensor moment_of(const fv_optimizer *o, fv_state_part part, int64_t first, int64_t n)
{
    return fv_tensor_rows(part == FV_STATE_M ? o->m : o->v, first, n);
}

fv_err fv_optimizer_read_moment(const fv_optimizer *o, fv_state_part part, int64_t first, int64_t n,
                                void *out)
{
    void *host;
    if (!o->host[part])
        return fv_download_now(o->model->backend, moment_of(o, part, first, n), out);
    FV_TRY(host_at(o, part, first, &host));
    memcpy(out, host, (size_t)n * fv_dtype_bytes(fv_optimizer_dtype(o, part)));
    return FV_OK;
}

fv_err fv_optimizer_write_moment(fv_optimizer *o, fv_state_part part, int64_t first, int64_t n,
                                 const void *in)
{
    void *host;
    if (!o->host[part])
        return fv_upload_array(o->model->backend, moment_of(o, part, first, n), in);
    if (o->before_change)
        FV_TRY(o->before_change(o->before_context));
    FV_TRY(host_at(o, part, first, &host));
    memcpy(host, in, (size_t)n * fv_dtype_bytes(fv_optimizer_dtype(o, part)));
    return FV_OK;
}

fv_err fv_optimizer_publish(fv_optimizer *o)
{
    if (o->data->size == 1)
        return FV_OK;
    return fv_all_gather(o->model->backend,
                         &(fv_all_gather_args){o->data, weights_of(o, 0, o->n), o->model->weights.flat});
}

/* What the share has of rows [first, first + n) of a parameter, which are in block. */
static fv_err put_rows(fv_optimizer *o, int i, int64_t first, int64_t n, const float *block)
{
    const fv_layout *layout = &o->model->layout;
    const fv_param_part part = fv_param_part_of(&layout->params.items[i], layout->rank, layout->n_ranks);
    int64_t begin = layout->offset[i] + first * part.cols - o->first, end = begin + n * part.cols;
    int64_t from = begin > 0 ? begin : 0, to = end < o->held ? end : o->held;
    return from < to ? fv_optimizer_write_master(o, from, to - from, block + (from - begin)) : FV_OK;
}

/* Whether the folder's numbers are those that the weights were rounded to: there is nothing to load then. */
static int is_coarse(const fv_optimizer *o, const fv_folder *folder, int i)
{
    return !folder->checkpoint && folder->tensors[i]->dtype == o->model->weights.flat.dtype;
}

static fv_err load_param(fv_optimizer *o, const fv_folder *folder, int i, float *block)
{
    const fv_layout *layout = &o->model->layout;
    const fv_param_part part = fv_param_part_of(&layout->params.items[i], layout->rank, layout->n_ranks);
    int64_t begin = layout->offset[i] - o->first, most = part.cols < BLOCK ? BLOCK / part.cols : 1;
    if (begin >= o->held || begin + part.rows * part.cols <= 0)
        return FV_OK;
    for (int64_t first = 0, n; first < part.rows; first += n) {
        n = part.rows - first < most ? part.rows - first : most;
        FV_TRY(fv_folder_read(folder, i, &part, first, n, (fv_folder_out){FV_F32, block}));
        FV_TRY(put_rows(o, i, first, n, block));
    }
    return FV_OK;
}

static fv_err load(fv_optimizer *o, const fv_folder *folder)
{
    const fv_param_list *params = &o->model->layout.params;
    int64_t most = BLOCK;
    for (int i = 0; i < params->n; i++)
        most = params->items[i].cols > most ? params->items[i].cols : most;
    float *block = malloc((size_t)most * sizeof *block);
    fv_err err = block ? FV_OK : FV_FAIL(FV_ERR_MEMORY, "no memory for %lld numbers", (long long)most);
    for (int i = 0; i < params->n && err == FV_OK; i++)
        if (!is_coarse(o, folder, i))
            err = load_param(o, folder, i, block);
    free(block);
    return err;
}

fv_err fv_optimizer_load(fv_optimizer *o, const char *path)
{
    fv_folder folder;
    if (o->model->weights.flat.dtype == FV_F32)
        return FV_OK;
    FV_TRY(fv_folder_open(path, &folder));
    fv_err err = load(o, &folder);
    fv_folder_close(&folder);
    return err;
}
