/* Masters on their way from and to the host, a piece at a time where they are split. */
#include "fovea/model/optimizer.h"

#include "fovea/model/hf/folder.h"
#include "fovea/ops/staging.h"
#include "model/model.h"

#include <stdlib.h>

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

fv_err fv_optimizer_copy_master(const fv_optimizer *o, float *out)
{
    for (int64_t at = 0, n; at < o->held; at += n) {
        fv_tensor piece;
        n = some_of(o, o->held - at);
        FV_TRY(join(o, at, n, &piece));
        FV_TRY(fv_download(o->model->backend, FV_STREAM_COMPUTE, piece, out + at));
    }
    return FV_OK;
}

fv_err fv_optimizer_read_master(const fv_optimizer *o, int64_t first, int64_t n, float *out)
{
    for (int64_t at = 0, some; at < n; at += some) {
        fv_tensor piece;
        some = some_of(o, n - at);
        FV_TRY(join(o, first + at, some, &piece));
        FV_TRY(fv_download_now(o->model->backend, piece, out + at));
    }
    return FV_OK;
}

/* Round the weights of a piece of the master, and keep what they lack. */
static fv_err split(fv_optimizer *o, int64_t first, fv_tensor piece)
{
    fv_tensor weights = weights_of(o, first, piece.dim[0]);
    if (weights.dtype == FV_F32)
        return FV_OK;
    const fv_pair_split_args args = {piece, weights, fv_tensor_rows(o->low, first, piece.dim[0])};
    return fv_pair_split(o->model->backend, &args);
}

fv_err fv_optimizer_write_master(fv_optimizer *o, int64_t first, int64_t n, const float *in)
{
    for (int64_t at = 0, some; at < n; at += some) {
        some = some_of(o, n - at);
        fv_tensor piece =
            o->master.data ? fv_tensor_rows(o->master, first + at, some) : fv_tensor_rows(o->piece, 0, some);
        FV_TRY(fv_upload_array(o->model->backend, piece, in + at));
        FV_TRY(split(o, first + at, piece));
    }
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
