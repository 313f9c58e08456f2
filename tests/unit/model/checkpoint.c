/* Checkpoints: any layout in, any layout out; what the virtual datasets show; what is refused. */
#include "checkpoint_case.h"
#include "fovea/model/checkpoint/import.h"

static void check_layout(const fv_checkpoint *c, int tensor, int data)
{
    for (int t = 0; t < tensor; t++) {
        fv_layout layout;
        assert_ok(fv_layout_init(&layout, fv_checkpoint_shape(c), t, tensor));
        for (int s = 0; s < FV_CHECKPOINT_N_SETS; s++) {
            float *expected = checkpoint_flat(&layout, s);
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
            assert_ok(fv_hdf5_read(fv_checkpoint_state(c), name, FV_F32, &data, &n));
            assert_int_equal(n, params.items[p].rows * params.items[p].cols);
            for (size_t i = 0; i < n; i++)
                if (((float *)data)[i] != checkpoint_value(s, p, (int64_t)i))
                    fail_msg("%s: element %zu is %.9g", name, i, (double)((float *)data)[i]);
            free(data);
        }
    fv_param_list_fini(&params);
}

/* Saved by T tensor ranks of D data ranks each, read by every other layout. */
static void check_saved(const fv_model_shape *shape, int tensor, int data)
{
    static const int tensors[] = {1, 2, 4};
    char name[32];
    fv_checkpoint *c;
    snprintf(name, sizeof name, "saved_%d_%d_%d", (int)shape->family, tensor, data);
    const char *path = checkpoint_save(name, shape, tensor, data, temp_path("model"));
    assert_ok(fv_checkpoint_verify(path, 0, 1));
    assert_ok(fv_checkpoint_open(path, &c));
    const fv_checkpoint_facts facts = fv_checkpoint_facts_of(c);
    assert_true(facts.step == 120 && facts.epoch == 3);
    assert_true(facts.n_shards == tensor * data && facts.tensor_ranks == tensor);
    void *cursor;
    size_t n;
    assert_ok(fv_hdf5_read(fv_checkpoint_state(c), "state/cursor", FV_I32, &cursor, &n));
    assert_int_equal(*(int32_t *)cursor, 42);
    free(cursor);
    check_virtual(c);
    for (int t = 0; t < 3; t++)
        for (int d = 1; d <= 3; d++)
            check_layout(c, tensors[t], d);
    fv_checkpoint_close(c);
}

static fv_model_shape make_model(fv_family family)
{
    fv_model_shape shape = tiny_shape(family, family == FV_FAMILY_QWEN2);
    shape.text.vocab = 36;
    if (family == FV_FAMILY_QWEN2_5_VL)
        shape.vision.n_heads = 4, shape.vision.hidden = 16;
    char command[200];
    snprintf(command, sizeof command, "rm -rf '%s'", temp_path("model"));
    assert_int_equal(system(command), 0);
    assert_ok(tiny_write("model", &shape, FV_FOLDER_V4, FV_FOLDER_SHARD_BYTES));
    return shape;
}

static void test_layouts(void **state)
{
    (void)state;
    const fv_model_shape shape = make_model(FV_FAMILY_QWEN2_5_VL);
    for (int tensor = 1; tensor <= 4; tensor *= 2)
        for (int data = 1; data <= 3; data++)
            check_saved(&shape, tensor, data);
}

static void test_families(void **state)
{
    (void)state;
    const fv_family families[] = {FV_FAMILY_QWEN2, FV_FAMILY_QWEN3};
    for (int f = 0; f < 2; f++) {
        const fv_model_shape shape = make_model(families[f]);
        check_saved(&shape, 2, 3);
        check_saved(&shape, 4, 1);
    }
}

/* A model folder goes in and comes out: read as a folder, every part of every tensor. */
static void test_import(void **state)
{
    (void)state;
    fv_folder from, to;
    make_model(FV_FAMILY_QWEN2_5_VL);
    assert_ok(fv_checkpoint_import(temp_path("model"), temp_folder("imported")));
    assert_ok(fv_folder_open(temp_path("model"), &from));
    assert_ok(fv_folder_open(temp_path("imported"), &to));
    assert_true(to.dtype == FV_F32);
    for (int i = 0; i < from.params.n; i++) {
        const fv_param *param = &from.params.items[i];
        for (int rank = 0; rank < 4; rank++) {
            const fv_param_part part = fv_param_part_of(param, rank, 4);
            int64_t half = part.rows / 2;
            size_t n = (size_t)(part.rows * part.cols);
            float *a = calloc(n, sizeof *a), *b = calloc(n, sizeof *b);
            assert_ok(fv_folder_read(&from, i, &part, 0, part.rows, (fv_folder_out){FV_F32, a}));
            assert_ok(fv_folder_read(&to, i, &part, half, part.rows - half,
                                     (fv_folder_out){FV_F32, b + half * part.cols}));
            assert_ok(fv_folder_read(&to, i, &part, 0, half, (fv_folder_out){FV_F32, b}));
            assert_memory_equal(a, b, n * sizeof *a);
            free(a);
            free(b);
        }
    }
    fv_folder_close(&from);
    fv_folder_close(&to);
}

/* Written piece by piece, what is left out is zeros. */
static void test_pieces(void **state)
{
    (void)state;
    const fv_model_shape shape = make_model(FV_FAMILY_QWEN3);
    fv_layout layout;
    fv_shard_writer *writer;
    fv_checkpoint *c;
    assert_ok(fv_layout_init(&layout, &shape, 0, 1));
    const fv_shard shard = {.tensor_ranks = 1, .n = layout.n_elements};
    float *numbers = checkpoint_flat(&layout, 1), *found = checkpoint_flat(&layout, 0);
    const int64_t n = layout.n_elements;
    const char *folder = temp_folder("pieces");
    assert_ok(fv_shard_create(folder, 0, &shard, &writer));
    assert_ok(fv_shard_append(writer, FV_CHECKPOINT_EXP_AVG, numbers, n / 3));
    assert_ok(fv_shard_append(writer, FV_CHECKPOINT_EXP_AVG, numbers + n / 3, 1));
    assert_fails(fv_shard_append(writer, FV_CHECKPOINT_WEIGHTS, numbers, 1), FV_ERR_INTERNAL, "too late");
    assert_fails(fv_shard_append(writer, FV_CHECKPOINT_EXP_AVG, numbers, n), FV_ERR_INTERNAL, "more numbers");
    assert_false(fv_file_exists(temp_path("pieces/shard_00000.done")));
    assert_ok(fv_shard_commit(writer));
    assert_ok(fv_checkpoint_finish(
        folder, &(fv_checkpoint_args){.shape = &shape, .n_shards = 1, .source = temp_path("model")}));
    assert_ok(fv_checkpoint_verify(folder, 0, 1));
    assert_ok(fv_checkpoint_open(folder, &c));
    assert_ok(fv_checkpoint_check(c, FV_CHECKPOINT_EXP_AVG));
    assert_ok(fv_checkpoint_read(c, FV_CHECKPOINT_EXP_AVG, &layout, 0, n, found));
    memset(numbers + n / 3 + 1, 0, (size_t)(n - n / 3 - 1) * sizeof *numbers);
    assert_memory_equal(found, numbers, (size_t)n * sizeof *found);
    assert_ok(fv_checkpoint_read(c, FV_CHECKPOINT_WEIGHTS, &layout, 0, n, found));
    for (int64_t i = 0; i < n; i++)
        assert_true(found[i] == 0);
    fv_checkpoint_close(c);
    fv_layout_fini(&layout);
    free(numbers);
    free(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_layouts), cmocka_unit_test(test_families),
                                       cmocka_unit_test(test_import), cmocka_unit_test(test_pieces)};
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
