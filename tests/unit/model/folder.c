#include "tiny_folder.h"

static void test_golden_folders_open(void **state)
{
    (void)state;
    static const char *const names[] = {"golden/qwen2", "golden/qwen3", "golden/qwen2_5_vl"};
    static const int n_tensors[] = {39, 36, 105};
    for (int i = 0; i < 3; i++) {
        fv_folder folder;
        char name[FV_TENSOR_NAME_BYTES];
        assert_ok(fv_folder_open(test_data(names[i]), &folder));
        assert_int_equal(folder.params.n, n_tensors[i]);
        assert_int_equal(folder.shape.text.vocab, 512);
        assert_int_equal(folder.shape.n_eos, 1);
        assert_int_equal(folder.shape.eos_ids[0], 504);
        fv_folder_tensor_name(&folder, 0, name);
        assert_string_equal(name, "model.embed_tokens.weight");
        fv_folder_close(&folder);
    }
}

/* Scaled rotary positions survive being written in either form. */
static void test_scaled_rotary_positions_are_written(void **state)
{
    (void)state;
    static const fv_rope_scaling scalings[] = {
        {.kind = FV_ROPE_LINEAR, .factor = 2.5},
        {.kind = FV_ROPE_DYNAMIC, .factor = 2},
        {FV_ROPE_YARN, .truncates = 1, .factor = 4, .original = 32, .attention = 1.1, .fast = 32, .slow = 1},
        {FV_ROPE_YARN, .factor = 3, .original = 32, .attention = 0.9, .fast = 16, .slow = 2},
        {.kind = FV_ROPE_LLAMA3, .factor = 8, .original = 32, .fast = 4, .slow = 1}};
    for (int i = 0; i < 20; i++) {
        fv_model_shape shape = tiny_shape(i / 2 % 2 ? FV_FAMILY_QWEN2_5_VL : FV_FAMILY_QWEN2, 0), read;
        char name[32];
        shape.text.rope = scalings[i / 4];
        snprintf(name, sizeof name, "scaled%d", i);
        assert_ok(tiny_write(name, &shape, i % 2 ? FV_FOLDER_V4 : FV_FOLDER_V5, FV_FOLDER_SHARD_BYTES));
        assert_ok(fv_model_shape_load(temp_path(name), &read, NULL));
        assert_memory_equal(&read.text, &shape.text, sizeof shape.text);
    }
}

/* What one rank reads, some rows at a time, is what its part of the whole holds, and nothing is written
 * beside it. */
static void check_part(const fv_folder *folder, int index, int rank, int n_ranks)
{
    const fv_param *param = &folder->params.items[index];
    const float *whole = (const float *)folder->tensors[index]->data;
    fv_param_part part = fv_param_part_of(param, rank, n_ranks);
    int64_t n = part.rows * part.cols, step = part.rows / 3 + 1;
    float *out = calloc((size_t)n + 1, sizeof *out);
    assert_non_null(out);
    for (int64_t first = part.rows, rows; first > 0;) { /* backwards: what is written beside would be seen */
        rows = first < step ? first : step;
        first -= rows;
        assert_ok(fv_folder_read(folder, index, &part, first, rows,
                                 (fv_folder_out){FV_F32, out + first * part.cols}));
    }
    assert_true(out[n] == 0);
    for (int64_t i = 0; i < n; i++) {
        int64_t r = i / part.cols, c = i % part.cols, along = param->split_dim == 1 ? c : r;
        int64_t from = part.first + along / part.n * part.stride + along % part.n;
        int64_t row = param->split_dim == 1 ? r : from, col = param->split_dim == 1 ? from : c;
        assert_memory_equal(&out[i], &whole[row * param->cols + col], sizeof(float));
    }
    assert_fails(fv_folder_read(folder, index, &part, 1, part.rows, (fv_folder_out){FV_F32, out}),
                 FV_ERR_SHAPE, param->name);
    free(out);
}

static void test_ranks_read_their_parts(void **state)
{
    (void)state;
    fv_folder folder;
    assert_ok(fv_folder_open(test_data("golden/qwen2_5_vl"), &folder));
    for (int i = 0; i < folder.params.n; i++)
        for (int rank = 0; rank < 2; rank++)
            check_part(&folder, i, rank, 2);
    check_part(&folder, 0, 2, 3);
    fv_folder_close(&folder);
}

static void check_same_tensors(const char *a, const char *b)
{
    fv_folder left, right;
    assert_ok(fv_folder_open(temp_path(a), &left));
    assert_ok(fv_folder_open(temp_path(b), &right));
    assert_memory_equal(&left.shape, &right.shape, sizeof left.shape);
    for (int i = 0; i < left.params.n; i++) {
        assert_int_equal(left.tensors[i]->bytes, right.tensors[i]->bytes);
        assert_memory_equal(left.tensors[i]->data, right.tensors[i]->data, left.tensors[i]->bytes);
    }
    fv_folder_close(&left);
    fv_folder_close(&right);
}

/* One file or many, either form: the same shape and the same bits. */
static void test_forms_of_every_family(void **state)
{
    (void)state;
    const fv_family families[] = {FV_FAMILY_QWEN2, FV_FAMILY_QWEN3, FV_FAMILY_QWEN2_5_VL};
    for (int i = 0; i < 6; i++) {
        char v4[32], v5[32];
        fv_model_shape shape = tiny_shape(families[i / 2], i % 2);
        snprintf(v4, sizeof v4, "forms.%d.4", i);
        snprintf(v5, sizeof v5, "forms.%d.5", i);
        assert_ok(tiny_write(v4, &shape, FV_FOLDER_V4, FV_FOLDER_SHARD_BYTES));
        assert_ok(tiny_write(v5, &shape, FV_FOLDER_V5, 5000));
        check_same_tensors(v4, v5);
    }
    assert_int_equal(fv_file_exists(temp_path("forms.0.5/model.safetensors")), 0);
    assert_int_equal(fv_file_exists(temp_path("forms.0.5/model.safetensors.index.json")), 1);
}

static void test_shape_survives_the_folder(void **state)
{
    (void)state;
    fv_folder folder;
    char name[FV_TENSOR_NAME_BYTES];
    fv_model_shape shape = tiny_shape(FV_FAMILY_QWEN2_5_VL, 0);
    shape.text.sliding_window = 7;
    shape.text.norm_eps = 3e-5f;
    assert_ok(tiny_write("shape", &shape, FV_FOLDER_V5, 20000));
    assert_ok(fv_folder_open(temp_path("shape"), &folder));
    assert_memory_equal(&folder.shape, &shape, sizeof shape);
    assert_true(folder.n_files > 1);
    fv_folder_tensor_name(&folder, 1, name);
    assert_string_equal(name, "model.language_model.layers.0.input_layernorm.weight");
    fv_folder_tensor_name(&folder, folder.params.n - 1, name);
    assert_string_equal(name, "model.visual.merger.mlp.2.bias");
    fv_folder_close(&folder);
}

static fv_err copy_rows(void *folder, int param, int64_t first, int64_t n, float *out)
{
    return fv_folder_read_rows(folder, param, first, n, out);
}

/* Write root/from again as root/to. */
static fv_err rewrite(const char *from, const char *to, fv_dtype dtype)
{
    fv_folder folder;
    assert_ok(fv_folder_open(temp_path(from), &folder));
    fv_folder_write_args args = {.shape = &folder.shape,
                                 .source = &folder,
                                 .style = FV_FOLDER_KEEP,
                                 .dtype = dtype,
                                 .max_shard_bytes = FV_FOLDER_SHARD_BYTES,
                                 .writes = 1,
                                 .rows = copy_rows,
                                 .context = &folder};
    fv_err err = fv_folder_write(temp_path(to), &args);
    fv_folder_close(&folder);
    return err;
}

static void test_rewriting_keeps_bits_and_files(void **state)
{
    (void)state;
    fv_model_shape shape = tiny_shape(FV_FAMILY_QWEN2_5_VL, 1);
    assert_ok(tiny_write("first", &shape, FV_FOLDER_V5, FV_FOLDER_SHARD_BYTES));
    temp_write("first/tokenizer.json", "{\"any\": 1}");
    assert_ok(rewrite("first", "second", FV_F32));
    check_same_tensors("first", "second");
    assert_ok(rewrite("second", "third", FV_BF16));
    assert_ok(rewrite("third", "fourth", FV_F32));
    assert_ok(rewrite("fourth", "fifth", FV_BF16));
    check_same_tensors("third", "fifth");
    fv_file_map map;
    assert_ok(fv_file_open_map(temp_path("fifth/tokenizer.json"), &map));
    assert_memory_equal(map.data, "{\"any\": 1}", map.size);
    fv_file_close_map(&map);
    fv_json *config = NULL;
    const char *dtype = NULL;
    assert_ok(fv_json_load(temp_path("fifth/config.json"), &config));
    assert_ok(fv_json_get_string(config, "dtype", &dtype));
    assert_string_equal(dtype, "bfloat16");
    fv_json_destroy(config);
}

typedef struct counter {
    const fv_param_list *list;
    int n_calls, fail_at;
    float value;
} counter;

static fv_err count_rows(void *context, int param, int64_t first, int64_t n, float *out)
{
    counter *calls = context;
    (void)first;
    for (int64_t i = 0; i < n * calls->list->items[param].cols; i++)
        out[i] = i == 0 ? calls->value : 0.0f;
    FV_CHECK(calls->n_calls++ != calls->fail_at, FV_ERR_COMM, "a rank is lost");
    return FV_OK;
}

static fv_err write_counted(const char *name, counter *calls, int writes)
{
    fv_model_shape shape = tiny_shape(FV_FAMILY_QWEN2, 0);
    fv_param_list list;
    assert_ok(fv_param_list_init(&list, &shape));
    calls->list = &list;
    fv_folder_write_args args = {.shape = &shape,
                                 .generation = &tiny_generation,
                                 .style = FV_FOLDER_V4,
                                 .dtype = FV_F16,
                                 .max_shard_bytes = 3000,
                                 .writes = writes,
                                 .rows = count_rows,
                                 .context = calls};
    fv_err err = fv_folder_write(temp_path(name), &args);
    fv_param_list_fini(&list);
    return err;
}

/* A rank that cannot write, or does not, makes the same calls as one that can. */
static void test_every_rank_makes_the_same_calls(void **state)
{
    (void)state;
    counter writer = {.fail_at = -1}, reader = writer, unable = writer,
            large = {.fail_at = -1, .value = 1e6f};
    assert_ok(write_counted("calls", &writer, 1));
    assert_ok(write_counted("calls.none", &reader, 0));
    assert_int_equal(reader.n_calls, writer.n_calls);
    assert_int_equal(access(temp_path("calls.none"), F_OK), -1);
    assert_fails(write_counted("no/such", &unable, 1), FV_ERR_IO, "no/such");
    assert_int_equal(unable.n_calls, writer.n_calls);
    assert_fails(write_counted("large", &large, 1), FV_ERR_NUMERIC,
                 "tensor \"model.embed_tokens.weight\" has 1 numbers too large for float16");
    assert_int_equal(large.n_calls, writer.n_calls);
    assert_int_equal(fv_file_exists(temp_path("large/config.json")), 0);
    counter failing = {.fail_at = 5};
    assert_fails(write_counted("failing", &failing, 1), FV_ERR_COMM, "a rank is lost");
    assert_int_equal(failing.n_calls, 6);
    assert_fails(write_counted("calls", &writer, 1), FV_ERR_ARGUMENT, "is not empty");
}

static void test_random_numbers_depend_on_place_alone(void **state)
{
    (void)state;
    fv_param_list list;
    fv_model_shape shape = tiny_shape(FV_FAMILY_QWEN2, 0);
    assert_ok(fv_param_list_init(&list, &shape));
    const fv_param *param = &list.items[0];
    float whole[33 * 16], row[16], sum = 0;
    fv_param_fill(param, 9, 0, 33, whole);
    for (int r = 0; r < 33; r++) {
        fv_param_fill(param, 9, r, 1, row);
        assert_memory_equal(row, whole + r * 16, sizeof row);
    }
    for (int i = 0; i < 33 * 16; i++)
        sum += whole[i] * whole[i];
    assert_true(sum / (33 * 16) > 0.8f * 4e-4f && sum / (33 * 16) < 1.2f * 4e-4f);
    fv_param_fill(param, 10, 0, 1, row);
    assert_memory_not_equal(row, whole, sizeof row);
    fv_param_fill(fv_param_find(&list, "model.norm.weight"), 9, 3, 1, row);
    assert_true(row[0] == 1);
    fv_param_fill(fv_param_find(&list, "model.layers.0.self_attn.q_proj.bias"), 9, 3, 1, row);
    assert_true(row[0] == 0);
    fv_param_list_fini(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_folders_open),
        cmocka_unit_test(test_scaled_rotary_positions_are_written),
        cmocka_unit_test(test_ranks_read_their_parts),
        cmocka_unit_test(test_forms_of_every_family),
        cmocka_unit_test(test_shape_survives_the_folder),
        cmocka_unit_test(test_rewriting_keeps_bits_and_files),
        cmocka_unit_test(test_every_rank_makes_the_same_calls),
        cmocka_unit_test(test_random_numbers_depend_on_place_alone),
    };
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
