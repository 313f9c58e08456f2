#include "checkpoint_case.h"

float checkpoint_value(int set, int param, int64_t whole)
{
    return (float)(whole + 2048 * (param + 128 * set)); /* below 2^24: exact */
}

float *checkpoint_flat(const fv_layout *layout, int set)
{
    float *flat = calloc((size_t)layout->n_elements, sizeof *flat);
    assert_non_null(flat);
    for (int p = 0; p < layout->params.n; p++) {
        const fv_param *param = &layout->params.items[p];
        const fv_param_part part = fv_param_part_of(param, layout->rank, layout->n_ranks);
        for (int64_t i = 0; i < part.rows * part.cols; i++) {
            int64_t row = i / part.cols, col = i % part.cols, *along = param->split_dim == 1 ? &col : &row;
            if (param->split_dim >= 0)
                *along = part.first + *along / part.n * part.stride + *along % part.n;
            flat[layout->offset[p] + i] = checkpoint_value(set, p, row * param->cols + col);
        }
    }
    return flat;
}

static void write_shard(const char *path, const fv_layout *layout, int data_rank, int data_ranks)
{
    int64_t first = layout->n_elements * data_rank / data_ranks,
            end = layout->n_elements * (data_rank + 1) / data_ranks;
    const fv_shard shard = {layout->rank, layout->n_ranks, first, end - first};
    float *sets[FV_CHECKPOINT_N_SETS];
    const void *parts[FV_CHECKPOINT_N_SETS];
    for (int s = 0; s < FV_CHECKPOINT_N_SETS; s++) {
        sets[s] = checkpoint_flat(layout, s);
        parts[s] = sets[s] + first;
    }
    assert_ok(fv_shard_write(path, data_rank * layout->n_ranks + layout->rank, &shard, parts));
    for (int s = 0; s < FV_CHECKPOINT_N_SETS; s++)
        free(sets[s]);
}

static fv_err write_state(void *context, fv_hdf5 *index)
{
    return fv_hdf5_write(index, "state/cursor", FV_I32, 0, NULL, context);
}

const char *checkpoint_save(const char *name, const fv_model_shape *shape, int tensor, int data,
                            const char *source)
{
    const char *path = temp_folder(name);
    for (int t = 0; t < tensor; t++) {
        fv_layout layout;
        assert_ok(fv_layout_init(&layout, shape, t, tensor));
        for (int d = 0; d < data; d++)
            write_shard(path, &layout, d, data);
        fv_layout_fini(&layout);
    }
    int32_t cursor = 42;
    const fv_checkpoint_args args = {.shape = shape,
                                     .n_shards = tensor * data,
                                     .step = 120,
                                     .epoch = 3,
                                     .source = source,
                                     .state = write_state,
                                     .context = &cursor};
    assert_ok(fv_checkpoint_finish(path, &args));
    return path;
}
