#include "test.h"

#include "fovea/folder.h"

#include <stdlib.h>

static void open_golden(const char *name, fv_folder *out)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/golden/%s", getenv("TEST_DATA"), name);
    assert_ok(fv_folder_open(path, out));
}

static void test_golden_folders_open(void **state)
{
    (void)state;
    static const char *const names[] = {"qwen2", "qwen3", "qwen2_5_vl"};
    static const int n_tensors[] = {39, 36, 105};
    for (int i = 0; i < 3; i++) {
        fv_folder folder;
        open_golden(names[i], &folder);
        assert_int_equal(folder.params.n, n_tensors[i]);
        assert_int_equal(folder.shape.text.vocab, 512);
        assert_int_equal(folder.shape.n_eos, 1);
        assert_int_equal(folder.shape.eos_ids[0], 504);
        char name[FV_TENSOR_NAME_BYTES];
        fv_folder_tensor_name(&folder, 0, name);
        assert_string_equal(name, "model.embed_tokens.weight");
        fv_folder_close(&folder);
    }
}

/* What one rank reads is what its part of the whole holds. */
static void check_part(const fv_folder *folder, int index, int rank, int n_ranks)
{
    const fv_param *param = &folder->params.items[index];
    const float *whole = (const float *)folder->tensors[index]->data;
    fv_param_part part = fv_param_part_of(param, rank, n_ranks);
    int64_t stride = part.cols + 3;
    float *out = malloc((size_t)(part.rows * stride) * sizeof *out);
    assert_non_null(out);
    assert_ok(fv_folder_read(folder, index, &part, out, stride));
    for (int64_t r = 0; r < part.rows; r++) {
        for (int64_t c = 0; c < part.cols; c++) {
            int64_t along = param->split_dim == 1 ? c : r;
            int64_t from = part.first + along / part.n * part.stride + along % part.n;
            int64_t row = param->split_dim == 1 ? r : from, col = param->split_dim == 1 ? from : c;
            assert_memory_equal(&out[r * stride + c], &whole[row * param->cols + col], sizeof(float));
        }
    }
    free(out);
}

static void test_ranks_read_their_parts(void **state)
{
    (void)state;
    fv_folder folder;
    open_golden("qwen2_5_vl", &folder);
    for (int i = 0; i < folder.params.n; i++)
        for (int rank = 0; rank < 2; rank++)
            check_part(&folder, i, rank, 2);
    check_part(&folder, 0, 0, 1);
    fv_folder_close(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_folders_open),
        cmocka_unit_test(test_ranks_read_their_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
