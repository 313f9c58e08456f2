/* Checkpoints: any layout in, any layout out; what the virtual datasets show; what is refused. */
#include "tiny_folder.h"

#include "fovea/checkpoint.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { FAMILIES = 3 };

/* A number that tells where it came from: the set, the parameter and the element of the whole tensor. */
static float value_of(int set, int param, int64_t whole)
{
    return (float)(whole + 2048 * (param + 128 * set)); /* below 2^24: exact */
}

/* The flat buffer of a rank, as training would have it. */
static float *make_flat(const fv_layout *layout, int set)
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
            flat[layout->offset[p] + i] = value_of(set, p, row * param->cols + col);
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
    const float *parts[FV_CHECKPOINT_N_SETS];
    for (int s = 0; s < FV_CHECKPOINT_N_SETS; s++) {
        sets[s] = make_flat(layout, s);
        parts[s] = sets[s] + first;
    }
    assert_ok(fv_shard_write(path, data_rank * layout->n_ranks + layout->rank, &shard, parts));
    for (int s = 0; s < FV_CHECKPOINT_N_SETS; s++)
        free(sets[s]);
}

static fv_err write_state(void *context, fv_hdf5 *index)
{
    return fv_hdf5_write(index, "state/cursor", FV_HDF5_I32, 0, NULL, context);
}

/* The checkpoint root/name, as T tensor ranks of D data ranks each write it. */
static const char *save(const char *name, const fv_model_shape *shape, int tensor, int data,
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

static void check_layout(const fv_checkpoint *c, int tensor, int data)
{
    for (int t = 0; t < tensor; t++) {
        fv_layout layout;
        assert_ok(fv_layout_init(&layout, fv_checkpoint_shape(c), t, tensor));
        for (int s = 0; s < FV_CHECKPOINT_N_SETS; s++) {
            float *expected = make_flat(&layout, s);
            float *found = malloc((size_t)layout.n_elements * sizeof *found);
            for (int d = 0; d < data; d++) {
                int64_t first = layout.n_elements * d / data, end = layout.n_elements * (d + 1) / data;
                assert_ok(
                    fv_checkpoint_read(c, (fv_checkpoint_set)s, &layout, first, end - first, found + first));
            }
            assert_memory_equal(found, expected, (size_t)layout.n_elements * sizeof *found);
            free(found);
            free(expected);
        }
        fv_layout_fini(&layout);
    }
}

static void check_virtual(const fv_checkpoint *c)
{
    fv_param_list params;
    assert_ok(fv_param_list_init(&params, fv_checkpoint_shape(c)));
    for (int s = 0; s < FV_CHECKPOINT_N_SETS; s++)
        for (int p = 0; p < params.n; p++) {
            char name[128];
            void *data;
            size_t n;
            snprintf(name, sizeof name, "%s/%s", fv_checkpoint_set_name((fv_checkpoint_set)s),
                     params.items[p].name);
            assert_ok(fv_hdf5_read(fv_checkpoint_state(c), name, FV_HDF5_F32, &data, &n));
            assert_int_equal(n, params.items[p].rows * params.items[p].cols);
            for (size_t i = 0; i < n; i++)
                if (((float *)data)[i] != value_of(s, p, (int64_t)i))
                    fail_msg("%s: element %zu is %.9g", name, i, (double)((float *)data)[i]);
            free(data);
        }
    fv_param_list_fini(&params);
}

static void test_layouts(void **state)
{
    (void)state;
    static const int tensors[] = {1, 2, 4};
    static const fv_family families[FAMILIES] = {FV_FAMILY_QWEN2, FV_FAMILY_QWEN3, FV_FAMILY_QWEN2_5_VL};
    for (int f = 0; f < FAMILIES; f++) {
        fv_model_shape shape = tiny_shape(families[f], f == 0);
        shape.text.vocab = 36;
        shape.vision.n_heads *= 2;
        shape.vision.hidden *= 2;
        if (families[f] != FV_FAMILY_QWEN2_5_VL)
            shape.vision = (fv_vision_shape){0};
        char source[16];
        snprintf(source, sizeof source, "model_%d", f);
        assert_ok(tiny_write(source, &shape, FV_FOLDER_V4, FV_FOLDER_SHARD_BYTES));
        for (int t = 0; t < 3; t++)
            for (int d = 1; d <= 3; d++) {
                char name[32];
                fv_checkpoint *c;
                snprintf(name, sizeof name, "c_%d_%d_%d", f, tensors[t], d);
                const char *path = save(name, &shape, tensors[t], d, temp_path(source));
                assert_ok(fv_checkpoint_verify(path, 0, 1));
                assert_ok(fv_checkpoint_open(path, &c));
                assert_int_equal(fv_checkpoint_facts_of(c).step, 120);
                check_virtual(c);
                for (int t2 = 0; t2 < 3; t2++)
                    for (int d2 = 1; d2 <= 3; d2++)
                        check_layout(c, tensors[t2], d2);
                fv_checkpoint_close(c);
            }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_layouts)};
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
