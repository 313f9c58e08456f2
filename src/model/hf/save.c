#include "fovea/model/hf/folder.h"
#include "fovea/ops/staging.h"
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

/* Rows of whole parameters, put together from the parts of all ranks. */
typedef struct gatherer {
    fv_model *model;
    float *part; /* owned: this rank's rows of the parameter under way */
    int64_t capacity;
} gatherer;

/* Row (or column) i of a part in the whole. */
static int64_t place(const fv_param_part *part, int64_t i)
{
    return part->first + i / part->n * part->stride + i % part->n;
}

static fv_err reserve(gatherer *g, int64_t n)
{
    if (n <= g->capacity)
        return FV_OK;
    float *part = realloc(g->part, (size_t)n * sizeof *part);
    FV_CHECK(part, FV_ERR_MEMORY, "cannot allocate %lld numbers of a parameter", (long long)n);
    g->part = part;
    g->capacity = n;
    return FV_OK;
}

/* Put this rank's numbers of rows [first, first + n) of the whole into out, which holds zeros. */
static fv_err put_own(gatherer *g, int index, int64_t first, int64_t n, float *out)
{
    const fv_layout *layout = &g->model->layout;
    const fv_param *param = &layout->params.items[index];
    const fv_param_part part = fv_param_part_of(param, layout->rank, layout->n_ranks);
    fv_tensor values = fv_weights_param(&g->model->weights, layout, index);
    FV_TRY(reserve(g, part.cols));
    for (int64_t r = 0; r < part.rows; r++) {
        int64_t row = param->split_dim == 0 ? place(&part, r) : r;
        if (row < first || row >= first + n)
            continue;
        FV_TRY(fv_download_now(g->model->backend, fv_tensor_rows(values, r, 1), g->part));
        float *to = out + (row - first) * param->cols;
        for (int64_t c = 0; c < part.cols; c++)
            to[param->split_dim == 1 ? place(&part, c) : c] = g->part[c];
    }
    return FV_OK;
}

/* Every number comes from one rank and is zero on the others, so the sum is exact. */
static fv_err gather_rows(void *context, int index, int64_t first, int64_t n, float *out)
{
    gatherer *g = context;
    const fv_param *param = &g->model->layout.params.items[index];
    size_t elements = (size_t)(n * param->cols);
    memset(out, 0, elements * sizeof *out);
    fv_err err = fv_model_counts(g->model, param) ? put_own(g, index, first, n, out) : FV_OK;
    FV_TRY(fv_comm_agree(g->model->tensor, err));
    return fv_comm_all_reduce_f32(g->model->tensor, out, elements);
}

fv_err fv_model_save(fv_model *model, const char *source, const char *path, fv_dtype dtype)
{
    fv_folder folder;
    gatherer g = {.model = model};
    FV_TRY(fv_comm_agree(model->tensor, fv_folder_open(source, &folder)));
    const fv_folder_write_args args = {.shape = &folder.shape,
                                       .source = &folder,
                                       .style = FV_FOLDER_KEEP,
                                       .dtype = dtype,
                                       .max_shard_bytes = FV_FOLDER_SHARD_BYTES,
                                       .writes = model->tensor->rank == 0,
                                       .rows = gather_rows,
                                       .context = &g};
    fv_err err = fv_comm_agree(model->tensor, fv_folder_write(path, &args));
    fv_folder_close(&folder);
    free(g.part);
    return err;
}
