/* HDF5 files: datasets there and back, conversion, groups, refusals. */
#include "temp_folder.h"

#include "fovea/hdf5.h"

static void test_there_and_back(void **state)
{
    (void)state;
    const float numbers[6] = {1.5f, -2, 3e-30f, 4, 5, 6};
    const double pi = 3.14159265358979;
    const int32_t ids[3] = {-1, 0, INT32_MAX};
    fv_hdf5 *file;
    assert_ok(fv_hdf5_create(temp_path("a.h5"), &file));
    assert_ok(fv_hdf5_write(file, "x", FV_HDF5_F32, 2, (int64_t[]){2, 3}, numbers));
    assert_ok(fv_hdf5_write(file, "deep/in/groups", FV_HDF5_I32, 1, (int64_t[]){3}, ids));
    assert_ok(fv_hdf5_write(file, "pi", FV_HDF5_F64, 0, NULL, &pi));
    assert_ok(fv_hdf5_write(file, "none", FV_HDF5_F32, 1, (int64_t[]){0}, numbers));
    assert_fails(fv_hdf5_write(file, "x", FV_HDF5_F32, 1, (int64_t[]){3}, numbers), FV_ERR_IO,
                 "dataset \"x\"");
    assert_ok(fv_hdf5_close(file));

    int n_dims;
    int64_t dims[FV_HDF5_MAX_DIMS];
    void *data;
    size_t n;
    assert_ok(fv_hdf5_open(temp_path("a.h5"), &file));
    assert_int_equal(fv_hdf5_has(file, "deep/in/groups"), 1);
    assert_int_equal(fv_hdf5_has(file, "deep/at"), 0);
    assert_ok(fv_hdf5_dims(file, "x", &n_dims, dims));
    assert_true(n_dims == 2 && dims[0] == 2 && dims[1] == 3);
    assert_ok(fv_hdf5_read(file, "x", FV_HDF5_F32, &data, &n));
    assert_int_equal(n, 6);
    assert_memory_equal(data, numbers, sizeof numbers);
    free(data);
    assert_ok(fv_hdf5_read(file, "deep/in/groups", FV_HDF5_F64, &data, &n));
    assert_true(((double *)data)[2] == INT32_MAX);
    free(data);
    assert_ok(fv_hdf5_read(file, "pi", FV_HDF5_F64, &data, &n));
    assert_true(n == 1 && *(double *)data == pi);
    free(data);
    assert_ok(fv_hdf5_read(file, "none", FV_HDF5_F32, &data, &n));
    assert_int_equal(n, 0);
    free(data);
    assert_ok(fv_hdf5_close(file));
}

static void test_parts_and_texts(void **state)
{
    (void)state;
    enum { N = 300000 };
    static uint64_t numbers[N];
    for (size_t i = 0; i < N; i++)
        numbers[i] = UINT64_MAX - i;
    const char *const texts[3] = {"", "zwei \xc3\xa4", "a longer text, of its own length"};
    fv_hdf5 *file;
    assert_ok(fv_hdf5_create(temp_path("parts.h5"), &file));
    assert_ok(fv_hdf5_append(file, "in/numbers", FV_HDF5_U64, 7, numbers));
    assert_ok(fv_hdf5_append(file, "in/numbers", FV_HDF5_U64, 0, NULL));
    assert_ok(fv_hdf5_append(file, "in/numbers", FV_HDF5_U64, N - 7, numbers + 7));
    assert_ok(fv_hdf5_append(file, "texts", FV_HDF5_TEXT, 1, texts));
    assert_ok(fv_hdf5_append(file, "texts", FV_HDF5_TEXT, 2, texts + 1));
    assert_ok(fv_hdf5_append(file, "none", FV_HDF5_U8, 0, NULL));
    assert_ok(fv_hdf5_write_attribute(file, "version", UINT64_MAX));
    assert_ok(fv_hdf5_close(file));

    uint64_t some[5], version;
    char *read[2];
    int32_t narrow;
    assert_ok(fv_hdf5_open(temp_path("parts.h5"), &file));
    assert_ok(fv_hdf5_read_range(file, "in/numbers", FV_HDF5_U64, 131070, 5, some)); /* over a chunk's end */
    assert_memory_equal(some, numbers + 131070, sizeof some);
    assert_ok(fv_hdf5_read_range(file, "in/numbers", FV_HDF5_U64, N, 0, some));
    assert_ok(fv_hdf5_read_range(file, "texts", FV_HDF5_TEXT, 1, 2, read));
    for (int i = 0; i < 2; i++) {
        assert_string_equal(read[i], texts[1 + i]);
        free(read[i]);
    }
    assert_ok(fv_hdf5_read_attribute(file, "version", &version));
    assert_true(version == UINT64_MAX);
    assert_fails(fv_hdf5_read_range(file, "in/numbers", FV_HDF5_U64, N - 1, 2, some), FV_ERR_FORMAT,
                 "has 300000 elements; 2 from 299999 on were wanted");
    assert_fails(fv_hdf5_read_range(file, "none", FV_HDF5_U8, 0, 1, some), FV_ERR_FORMAT, "has 0 elements");
    assert_fails(fv_hdf5_read_range(file, "texts", FV_HDF5_I32, 0, 1, &narrow), FV_ERR_FORMAT, "holds texts");
    assert_fails(fv_hdf5_read_range(file, "none", FV_HDF5_TEXT, 0, 0, read), FV_ERR_FORMAT, "holds no texts");
    assert_fails(fv_hdf5_read_range(file, "gone", FV_HDF5_U8, 0, 1, some), FV_ERR_FORMAT, "\"gone\"");
    assert_fails(fv_hdf5_read_attribute(file, "gone", &version), FV_ERR_FORMAT, "no attribute \"gone\"");
    assert_ok(fv_hdf5_close(file));
}

static void test_refusals(void **state)
{
    (void)state;
    fv_hdf5 *file;
    void *data;
    size_t n;
    assert_fails(fv_hdf5_open(temp_path("nowhere.h5"), &file), FV_ERR_IO, "nowhere.h5");
    temp_write("text.h5", "this is no HDF5 file");
    assert_fails(fv_hdf5_open(temp_path("text.h5"), &file), FV_ERR_FORMAT, "text.h5");
    assert_fails(fv_hdf5_create(temp_path("no/such.h5"), &file), FV_ERR_IO, "such.h5");
    assert_ok(fv_hdf5_open(temp_path("a.h5"), &file));
    assert_fails(fv_hdf5_read(file, "y", FV_HDF5_F32, &data, &n), FV_ERR_FORMAT, "has no dataset \"y\"");
    assert_fails(fv_hdf5_read(file, "deep", FV_HDF5_F32, &data, &n), FV_ERR_FORMAT, "deep");
    assert_ok(fv_hdf5_close(file));
    assert_ok(fv_hdf5_close(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_there_and_back),
                                       cmocka_unit_test(test_parts_and_texts),
                                       cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
