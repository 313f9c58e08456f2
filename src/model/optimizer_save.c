/* The trained model as a Hugging Face folder: every rank puts in what it has of the masters. */
#include "fovea/model/hf/folder.h"
#include "fovea/model/optimizer.h"
#include "model/model.h"

/* Put into out what this rank's share has of rows [first, first + n) of a parameter. */
static fv_err put_own(const fv_optimizer *o, int index, int64_t first, int64_t n, float *out)
{
    const fv_layout *layout = &o->model->layout;
    const fv_param *param = &layout->params.items[index];
    const fv_param_part part = fv_param_part_of(param, layout->rank, layout->n_ranks);
    int64_t share = o->first - layout->offset[index]; /* counted from the first element of the part */
    int64_t low = first * param->cols, high = low + n * param->cols, end = part.rows * part.cols;
    end = share + o->held < end ? share + o->held : end;
    for (int64_t i = share > 0 ? share : 0, run; i < end; i += run) {
        int64_t whole;
        run = fv_param_run(param, &part, i, &whole);
        run = run < end - i ? run : end - i;
        int64_t from = whole > low ? whole : low, to = whole + run < high ? whole + run : high;
        if (from < to)
            FV_TRY(fv_optimizer_read_master(o, i - share + from - whole, to - from, out + (from - low)));
    }
    return FV_OK;
}

/* Worst of all ranks. */
static fv_err agree(const fv_optimizer *o, fv_err err)
{
    return fv_comm_agree(o->data, fv_comm_agree(o->model->tensor, err));
}

/* Every number comes from one rank and is -0 on the others, which changes no sum. */
static fv_err gather_rows(void *context, int index, int64_t first, int64_t n, float *out)
{
    const fv_optimizer *o = context;
    const fv_param *param = &o->model->layout.params.items[index];
    size_t elements = (size_t)(n * param->cols);
    for (size_t i = 0; i < elements; i++)
        out[i] = -0.0f;
    FV_TRY(agree(o, fv_model_counts(o->model, param) ? put_own(o, index, first, n, out) : FV_OK));
    FV_TRY(fv_comm_all_reduce_f32(o->model->tensor, out, elements));
    return fv_comm_all_reduce_f32(o->data, out, elements);
}

fv_err fv_optimizer_save(fv_optimizer *o, const char *source, const char *path, fv_dtype dtype)
{
    fv_folder folder;
    FV_TRY(agree(o, fv_folder_open(source, &folder)));
    const fv_folder_write_args args = {.shape = &folder.shape,
                                       .source = &folder,
                                       .style = FV_FOLDER_KEEP,
                                       .dtype = dtype,
                                       .max_shard_bytes = FV_FOLDER_SHARD_BYTES,
                                       .writes = o->model->tensor->rank == 0 && o->data->rank == 0,
                                       .rows = gather_rows,
                                       .context = o};
    fv_err err = agree(o, fv_folder_write(path, &args));
    fv_folder_close(&folder);
    return err;
}
