/* HDF5 files: datasets there and back, conversion, groups, refusals. */
#include "temp_folder.h"

#include "fovea/io/hdf5/hdf5.h"

#include <hdf5.h>
#include <pthread.h>

static void test_there_and_back(void **state)
{
    (void)state;
    const float numbers[6] = {1.5f, -2, 3e-30f, 4, 5, 6};
    const double pi = 3.14159265358979;
    const int32_t ids[3] = {-1, 0, INT32_MAX};
    fv_hdf5 *file;
    assert_ok(fv_hdf5_create(temp_path("a.h5"), &file));
    assert_ok(fv_hdf5_write(file, "x", FV_F32, 2, (int64_t[]){2, 3}, numbers));
    assert_ok(fv_hdf5_write(file, "deep/in/groups", FV_I32, 1, (int64_t[]){3}, ids));
    assert_ok(fv_hdf5_write(file, "pi", FV_F64, 0, NULL, &pi));
    assert_ok(fv_hdf5_write(file, "none", FV_F32, 1, (int64_t[]){0}, numbers));
    assert_fails(fv_hdf5_write(file, "x", FV_F32, 1, (int64_t[]){3}, numbers), FV_ERR_IO, "dataset \"x\"");
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
    assert_ok(fv_hdf5_read(file, "x", FV_F32, &data, &n));
    assert_int_equal(n, 6);
    assert_memory_equal(data, numbers, sizeof numbers);
    free(data);
    assert_ok(fv_hdf5_read(file, "deep/in/groups", FV_F64, &data, &n));
    assert_true(((double *)data)[2] == INT32_MAX);
    free(data);
    assert_ok(fv_hdf5_read(file, "pi", FV_F64, &data, &n));
    assert_true(n == 1 && *(double *)data == pi);
    free(data);
    assert_ok(fv_hdf5_read(file, "none", FV_F32, &data, &n));
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
    assert_ok(fv_hdf5_append(file, "in/numbers", FV_U64, 7, numbers));
    assert_ok(fv_hdf5_append(file, "in/numbers", FV_U64, 0, NULL));
    assert_ok(fv_hdf5_append(file, "in/numbers", FV_U64, N - 7, numbers + 7));
    assert_ok(fv_hdf5_append(file, "texts", FV_HDF5_TEXT, 1, texts));
    assert_ok(fv_hdf5_append(file, "texts", FV_HDF5_TEXT, 2, texts + 1));
    assert_ok(fv_hdf5_append(file, "none", FV_U8, 0, NULL));
    assert_ok(fv_hdf5_write_attribute(file, "version", UINT64_MAX));
    assert_ok(fv_hdf5_close(file));

    uint64_t some[5], version;
    char *read[2];
    int32_t narrow;
    assert_ok(fv_hdf5_open(temp_path("parts.h5"), &file));
    assert_ok(fv_hdf5_read_range(file, "in/numbers", FV_U64, 131070, 5, some)); /* over a chunk's end */
    assert_memory_equal(some, numbers + 131070, sizeof some);
    assert_ok(fv_hdf5_read_range(file, "in/numbers", FV_U64, N, 0, some));
    assert_ok(fv_hdf5_read_range(file, "texts", FV_HDF5_TEXT, 1, 2, read));
    for (int i = 0; i < 2; i++) {
        assert_string_equal(read[i], texts[1 + i]);
        free(read[i]);
    }
    assert_ok(fv_hdf5_read_attribute(file, "version", &version));
    assert_true(version == UINT64_MAX);
    assert_fails(fv_hdf5_read_range(file, "in/numbers", FV_U64, N - 1, 2, some), FV_ERR_FORMAT,
                 "has 300000 elements; 2 from 299999 on were wanted");
    assert_fails(fv_hdf5_read_range(file, "none", FV_U8, 0, 1, some), FV_ERR_FORMAT, "has 0 elements");
    assert_fails(fv_hdf5_read_range(file, "texts", FV_I32, 0, 1, &narrow), FV_ERR_FORMAT, "holds texts");
    assert_fails(fv_hdf5_read_range(file, "none", FV_HDF5_TEXT, 0, 0, read), FV_ERR_FORMAT, "holds no texts");
    assert_fails(fv_hdf5_read_range(file, "gone", FV_U8, 0, 1, some), FV_ERR_FORMAT, "\"gone\"");
    assert_fails(fv_hdf5_read_attribute(file, "gone", &version), FV_ERR_FORMAT, "no attribute \"gone\"");
    assert_ok(fv_hdf5_close(file));
}

/* Types of two bytes are real ones of the file: the library converts them. */
static void test_halves(void **state)
{
    (void)state;
    fv_hdf5 *file;
    void *data;
    size_t n;
    const float numbers[5] = {1, -2.5f, 0x1p-20f, 0x1.02p3f, 0};
    const fv_dtype halves[2] = {FV_BF16, FV_F16};
    uint16_t half[5];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fv_dtype_encode(halves[i], numbers, 5, half), 0);
        assert_ok(fv_hdf5_create(temp_path("half.h5"), &file));
        assert_ok(fv_hdf5_write(file, "x", halves[i], 1, (int64_t[]){5}, half));
        assert_ok(fv_hdf5_close(file));
        assert_ok(fv_hdf5_open(temp_path("half.h5"), &file));
        assert_ok(fv_hdf5_read(file, "x", FV_F32, &data, &n));
        assert_int_equal(n, 5);
        assert_memory_equal(data, numbers, sizeof numbers);
        free(data);
        assert_ok(fv_hdf5_read(file, "x", halves[i], &data, &n));
        assert_memory_equal(data, half, sizeof half);
        free(data);
        assert_ok(fv_hdf5_close(file));
    }
}

static void write_at(const char *path, uint64_t offset, const void *data, size_t size)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)offset, SEEK_SET), 0);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* Room made by the library, filled by the caller, shown whole by another file of the folder. */
static void test_virtual(void **state)
{
    (void)state;
    fv_hdf5 *file;
    void *data;
    uint64_t offset, n;
    size_t count;
    const float numbers[6] = {1, 2, 3, 4, 5, 6};
    assert_ok(fv_hdf5_create(temp_path("part.h5"), &file));
    assert_ok(fv_hdf5_reserve(file, "run", FV_F32, 6));
    assert_ok(fv_hdf5_append(file, "pieces", FV_F32, 6, numbers));
    assert_ok(fv_hdf5_locate(file, "run", FV_F32, &offset, &n));
    assert_int_equal(n, 6);
    assert_fails(fv_hdf5_locate(file, "pieces", FV_F32, &offset, &n), FV_ERR_FORMAT, "\"pieces\"");
    assert_fails(fv_hdf5_locate(file, "gone", FV_F32, &offset, &n), FV_ERR_FORMAT, "no dataset \"gone\"");
    assert_ok(fv_hdf5_locate(file, "run", FV_F32, &offset, &n));
    assert_fails(fv_hdf5_locate(file, "run", FV_F64, &offset, &n), FV_ERR_FORMAT, "\"run\"");
    assert_ok(fv_hdf5_close(file));
    assert_ok(fv_hdf5_open(temp_path("part.h5"), &file));
    assert_ok(fv_hdf5_locate(file, "run", FV_F32, &offset, &n));
    assert_ok(fv_hdf5_close(file));
    write_at(temp_path("part.h5"), offset, numbers, sizeof numbers);

    const fv_hdf5_shape shape = {FV_F32, 2, {3, 3}};
    const fv_hdf5_block blocks[2] = {
        {.start = {0, 1}, .count = {2, 2}, .file = "part.h5", .name = "run", .length = 6, .from = 2},
        {.start = {2, 0}, .count = {1, 2}, .file = "part.h5", .name = "run", .length = 6}};
    assert_ok(fv_hdf5_create(temp_path("whole.h5"), &file));
    assert_ok(fv_hdf5_write_virtual(file, "in/whole", &shape, blocks, 2));
    assert_ok(fv_hdf5_close(file));
    assert_fails(fv_hdf5_open(temp_path("whole.h5"), &file), FV_ERR_FORMAT, "\"in/whole\" is virtual");
    assert_ok(fv_hdf5_open_index(temp_path("whole.h5"), &file));
    assert_ok(fv_hdf5_read(file, "in/whole", FV_F32, &data, &count));
    const float *shown = data, expected[9] = {0, 3, 4, 0, 5, 6, 1, 2, 0};
    assert_int_equal(count, 9);
    for (int i = 0; i < 9; i++)
        assert_true(expected[i] == 0 ? shown[i] != shown[i] : shown[i] == expected[i]);
    free(data);
    assert_fails(fv_hdf5_locate(file, "in/whole", FV_F32, &offset, &n), FV_ERR_FORMAT, "in/whole");
    assert_ok(fv_hdf5_close(file));
}

static fv_err note_name(void *context, const char *name)
{
    strcat(strcat(context, name), " ");
    return strcmp(name, "x") == 0 ? FV_FAIL(FV_ERR_FORMAT, "enough") : FV_OK;
}

static void test_list(void **state)
{
    (void)state;
    fv_hdf5 *file;
    char names[64] = "";
    assert_ok(fv_hdf5_open(temp_path("a.h5"), &file));
    assert_ok(fv_hdf5_list(file, "deep/in", note_name, names));
    assert_string_equal(names, "groups ");
    names[0] = '\0';
    assert_fails(fv_hdf5_list(file, "/", note_name, names), FV_ERR_FORMAT, "enough");
    assert_string_equal(names, "deep none pi x ");
    assert_fails(fv_hdf5_list(file, "gone", note_name, names), FV_ERR_FORMAT, "has no group \"gone\"");
    assert_ok(fv_hdf5_close(file));
}

/* Two threads, each with its own file: the library is not made for that, the lock is. */
static void *write_and_read(void *number)
{
    char name[100];
    snprintf(name, sizeof name, "%s/thread_%d.h5", temp_root, *(int *)number);
    intptr_t failures = 0;
    for (int32_t round = 0; round < 100; round++) {
        fv_hdf5 *file;
        int32_t found[2] = {0};
        const int32_t numbers[2] = {round, *(int *)number};
        failures += fv_hdf5_create(name, &file) != FV_OK;
        failures += fv_hdf5_append(file, "numbers", FV_I32, 2, numbers) != FV_OK;
        failures += fv_hdf5_read_range(file, "gone", FV_I32, 0, 2, found) != FV_ERR_FORMAT;
        failures += fv_hdf5_read_range(file, "numbers", FV_I32, 0, 2, found) != FV_OK;
        failures += memcmp(found, numbers, sizeof found) != 0;
        failures += fv_hdf5_close(file) != FV_OK;
    }
    return (void *)failures;
}

static void test_threads(void **state)
{
    (void)state;
    pthread_t threads[2];
    int numbers[2] = {0, 1};
    void *failures;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_and_read, &numbers[i]), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], &failures), 0);
        assert_null(failures);
    }
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
    assert_fails(fv_hdf5_read(file, "y", FV_F32, &data, &n), FV_ERR_FORMAT, "has no dataset \"y\"");
    assert_fails(fv_hdf5_read(file, "deep", FV_F32, &data, &n), FV_ERR_FORMAT, "deep");
    assert_ok(fv_hdf5_close(file));
    assert_ok(fv_hdf5_close(NULL));
}

/* Files from outside. The reasons come from a process of its own, so nothing is held here. */

/* A file with one dataset, made by the library itself: make gets the file's id. */
static void refused(void (*make)(hid_t), const char *reason)
{
    fv_hdf5 *file;
    hid_t id = H5Fcreate(temp_path("outside.h5"), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(id >= 0);
    make(id);
    assert_true(H5Fclose(id) >= 0);
    assert_fails(fv_hdf5_open(temp_path("outside.h5"), &file), FV_ERR_FORMAT, reason);
    assert_null(file);
}

static void make_set(hid_t file, hid_t layout, hsize_t n)
{
    hid_t space = H5Screate_simple(1, &n, NULL);
    hid_t set = H5Dcreate2(file, "set", H5T_NATIVE_INT32, space, H5P_DEFAULT, layout, H5P_DEFAULT);
    assert_true(set >= 0);
    H5Dclose(set);
    H5Sclose(space);
    H5Pclose(layout);
}

static void make_external_link(hid_t file)
{
    assert_true(H5Lcreate_external("a.h5", "/x", file, "set", H5P_DEFAULT, H5P_DEFAULT) >= 0);
}

static void make_soft_link(hid_t file)
{
    assert_true(H5Lcreate_soft("/elsewhere", file, "set", H5P_DEFAULT, H5P_DEFAULT) >= 0);
}

static void make_external_storage(hid_t file)
{
    hid_t layout = H5Pcreate(H5P_DATASET_CREATE);
    assert_true(H5Pset_external(layout, "/etc/passwd", 0, 64) >= 0);
    make_set(file, layout, 16);
}

static void make_empty_chunks(hid_t file)
{
    hid_t layout = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t chunk = 1024;
    assert_true(H5Pset_chunk(layout, 1, &chunk) >= 0);
    make_set(file, layout, 1000000000);
}

static void make_empty_deflated(hid_t file)
{
    hid_t layout = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t chunk = 1024;
    assert_true(H5Pset_chunk(layout, 1, &chunk) >= 0 && H5Pset_deflate(layout, 9) >= 0);
    make_set(file, layout, 1000000000);
}

static void make_virtual_elsewhere(hid_t file)
{
    hid_t layout = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t n = 4;
    hid_t space = H5Screate_simple(1, &n, NULL);
    assert_true(H5Pset_virtual(layout, space, "../other/part.h5", "run", space) >= 0);
    H5Sclose(space);
    make_set(file, layout, n);
}

static void test_files_from_outside(void **state)
{
    (void)state;
    fv_hdf5 *file;
    refused(make_external_link, "\"set\" is a link to somewhere else");
    refused(make_soft_link, "\"set\" is a link to somewhere else");
    refused(make_external_storage, "the numbers of dataset \"set\" are in another file");
    refused(make_empty_chunks, "\"set\" should have 1000000000 elements, but the file holds 0 bytes of it");
    refused(make_empty_deflated, "\"set\" should have 1000000000 elements");
    refused(make_virtual_elsewhere, "\"set\" is virtual");
    assert_fails(fv_hdf5_open_index(temp_path("outside.h5"), &file), FV_ERR_FORMAT,
                 "\"set\" shows ../other/part.h5, which is not in the folder of the file");
}

/* Files that kill the library, or make it allocate gigabytes. */
static void test_hostile_files(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        {"hdf5/hg_segv.h5", "hg_segv.h5 is damaged: the HDF5 library"},
        {"hdf5/verdicts_broken.h5", "verdicts_broken.h5"},
        {"hdf5/huge_columns.h5", "\"images/hash\" should have 300000000 elements"},
        {"hdf5/ids_1e9.h5", "\"input_ids\" should have 900000000 elements"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        fv_hdf5 *file;
        assert_fails(fv_hdf5_open(test_data(names[i][0]), &file), FV_ERR_FORMAT, names[i][1]);
        assert_null(file);
    }
}

/* Any byte of a small file changed: it opens, or is refused; nothing dies. What is not text or index may
 * differ. */
static void test_flipped_bytes(void **state)
{
    (void)state;
    fv_hdf5 *file;
    const char *const texts[3] = {"one", "two", "three"};
    const int32_t numbers[3] = {1, 2, 3};
    assert_ok(fv_hdf5_create(temp_path("small.h5"), &file));
    assert_ok(fv_hdf5_append(file, "texts", FV_HDF5_TEXT, 3, texts));
    assert_ok(fv_hdf5_append(file, "numbers", FV_I32, 3, numbers));
    assert_ok(fv_hdf5_close(file));
    fv_file_map map;
    assert_ok(fv_file_open_map(temp_path("small.h5"), &map));
    for (size_t i = 0; i < 200; i++) {
        size_t at = (i * 2654435761u) % (map.size < 4096 ? map.size : 4096);
        FILE *out = fopen(temp_path("flipped.h5"), "w");
        assert_true(out && fwrite(map.data, map.size, 1, out) == 1 && fseek(out, (long)at, SEEK_SET) == 0);
        fputc(((const uint8_t *)map.data)[at] ^ (1 << i % 8), out);
        assert_int_equal(fclose(out), 0);
        if (fv_hdf5_open(temp_path("flipped.h5"), &file) == FV_OK)
            assert_ok(fv_hdf5_close(file));
        else
            assert_non_null(strstr(fv_error_text(), "flipped.h5"));
    }
    fv_file_close_map(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_parts_and_texts),
        cmocka_unit_test(test_halves),         cmocka_unit_test(test_virtual),
        cmocka_unit_test(test_list),           cmocka_unit_test(test_threads),
        cmocka_unit_test(test_refusals),       cmocka_unit_test(test_files_from_outside),
        cmocka_unit_test(test_hostile_files),  cmocka_unit_test(test_flipped_bytes)};
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
