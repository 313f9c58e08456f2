#include "fovea/model/checkpoint/import.h"

#include "fovea/model/checkpoint/checkpoint.h"
#include "fovea/model/hf/folder.h"

#include <stdlib.h>

enum { BLOCK = 1 << 22 /* numbers in memory at a time, if a row is not longer */ };

typedef struct importer {
    const fv_folder *from;
    const fv_layout *layout;
    fv_shard_writer *to;
    int *order; /* parameters by their place in the buffer */
    float *block;
    int64_t place; /* elements written */
} importer;

/* Between parameters there are zeros. */
static fv_err pad_to(importer *job, int64_t place)
{
    static const float zeros[FV_ARENA_ALIGN];
    for (int64_t n; job->place < place; job->place += n) {
        n = place - job->place < FV_ARENA_ALIGN ? place - job->place : FV_ARENA_ALIGN;
        FV_TRY(fv_shard_append(job->to, FV_CHECKPOINT_WEIGHTS, zeros, n));
    }
    return FV_OK;
}

static fv_err add_param(importer *job, int i)
{
    const fv_param *param = &job->layout->params.items[i];
    int64_t n_block = param->cols < BLOCK ? BLOCK / param->cols : 1;
    FV_TRY(pad_to(job, job->layout->offset[i]));
    for (int64_t first = 0, n; first < param->rows; first += n) {
        n = param->rows - first < n_block ? param->rows - first : n_block;
        FV_TRY(fv_folder_read_rows(job->from, i, first, n, job->block));
        FV_TRY(fv_shard_append(job->to, FV_CHECKPOINT_WEIGHTS, job->block, n * param->cols));
        job->place += n * param->cols;
    }
    return FV_OK;
}

static int by_offset(const void *a, const void *b, void *offsets)
{
    const int64_t *offset = offsets, left = offset[*(const int *)a], right = offset[*(const int *)b];
    return left < right ? -1 : left > right;
}

static fv_err prepare(importer *job)
{
    const fv_layout *layout = job->layout;
    int64_t block = BLOCK;
    job->order = calloc((size_t)layout->params.n, sizeof *job->order);
    FV_CHECK(job->order, FV_ERR_MEMORY, "no memory for %d parameters", layout->params.n);
    for (int i = 0; i < layout->params.n; i++) {
        job->order[i] = i;
        block = layout->params.items[i].cols > block ? layout->params.items[i].cols : block;
    }
    qsort_r(job->order, (size_t)layout->params.n, sizeof *job->order, by_offset, layout->offset);
    job->block = malloc((size_t)block * sizeof *job->block);
    FV_CHECK(job->block, FV_ERR_MEMORY, "no memory for a block of %lld numbers", (long long)block);
    return FV_OK;
}

static fv_err write_shard(importer *job, const char *folder)
{
    const fv_shard shard = {.tensor_ranks = 1, .n = job->layout->n_elements};
    FV_TRY(prepare(job));
    FV_TRY(fv_shard_create(folder, 0, &shard, &job->to));
    fv_err err = FV_OK;
    for (int i = 0; i < job->layout->params.n && err == FV_OK; i++)
        err = add_param(job, job->order[i]);
    if (err == FV_OK)
        return fv_shard_commit(job->to);
    fv_shard_abandon(job->to);
    return err;
}

static fv_err import_folder(const fv_folder *from, const char *folder)
{
    fv_layout layout;
    FV_TRY(fv_layout_init(&layout, &from->shape, 0, 1));
    importer job = {.from = from, .layout = &layout};
    fv_err err = write_shard(&job, folder);
    free(job.order);
    free(job.block);
    fv_layout_fini(&layout);
    FV_TRY(err);
    return fv_checkpoint_finish(
        folder, &(fv_checkpoint_args){.shape = &from->shape, .n_shards = 1, .source = from->path});
}

fv_err fv_checkpoint_import(const char *model, const char *folder)
{
    fv_folder from;
    FV_TRY(fv_folder_open(model, &from));
    fv_err err = import_folder(&from, folder);
    fv_folder_close(&from);
    return err;
}
