/* Data sets: there and back, equal images once, all or nothing, and damage that is named. */
#include "temp_folder.h"

#include "fovea/data/dataset.h"
#include "fovea/io/hdf5/hdf5.h"
#include "fovea/reward/truths.h"

#include <dirent.h>

enum { ROWS = 2500 /* more than the writer keeps before it writes */, IMAGES = 701 };

static char *copy(const char *text)
{
    char *out = strdup(text);
    assert_non_null(out);
    return out;
}

/* Image k of a made-up set: its bytes are not looked at by a data set. */
static void make_image(int k, fv_row_image *out)
{
    *out = (fv_row_image){.width = 10 + k, .height = 20 + k};
    for (int i = 0; i < 50 + k % 7; i++)
        assert_ok(fv_buffer_print(&out->file, "image %d;", k));
}

/* Row i: i % 3 images, of which there are 701 different ones: the table of hashes grows. */
static fv_row make_row(int i)
{
    char text[64];
    fv_row row = {.answer = copy("a"), .source = copy(i % 2 ? "odd" : ""), .n_images = (size_t)i % 3};
    snprintf(text, sizeof text, "Question %d \xc3\xa4?", i);
    row.question = copy(text);
    snprintf(text, sizeof text, "{\"number\": %d}", i);
    row.extra = copy(text);
    row.target = i % 5 ? (fv_view_size){0, 0} : (fv_view_size){28 + i, 56};
    row.images = calloc(3, sizeof *row.images);
    for (size_t k = 0; k < row.n_images; k++)
        make_image((11 * i + (int)k) % IMAGES, &row.images[k]);
    return row;
}

static void write_set(const char *name, int rows, fv_dataset_totals *totals)
{
    fv_dataset_writer *writer;
    assert_ok(fv_dataset_create(temp_path(name), &writer));
    for (int i = 0; i < rows; i++) {
        fv_row row = make_row(i);
        assert_ok(fv_dataset_append(writer, &row));
        assert_null(row.question);
    }
    assert_ok(fv_dataset_commit(writer, totals));
}

static void check_row(const fv_dataset *set, int i)
{
    fv_row row, expected = make_row(i);
    assert_ok(fv_dataset_read(set, (uint64_t)i, &row));
    assert_string_equal(row.question, expected.question);
    assert_string_equal(row.answer, expected.answer);
    assert_string_equal(row.source, expected.source);
    assert_string_equal(row.extra, expected.extra);
    assert_memory_equal(&row.target, &expected.target, sizeof row.target);
    assert_int_equal(row.n_images, expected.n_images);
    for (size_t k = 0; k < row.n_images; k++) {
        const fv_row_image *image = &row.images[k], *wanted = &expected.images[k];
        assert_int_equal(image->width, wanted->width);
        assert_int_equal(image->height, wanted->height);
        assert_int_equal(image->file.size, wanted->file.size);
        assert_memory_equal(image->file.data, wanted->file.data, wanted->file.size);
        assert_true(image->number < fv_dataset_images(set));
    }
    fv_row_fini(&expected);
    fv_row_fini(&row);
}

static void test_there_and_back(void **state)
{
    (void)state;
    fv_dataset_totals totals;
    fv_dataset *set;
    fv_row row;
    write_set("a.h5", ROWS, &totals);
    assert_int_equal(totals.rows, ROWS);
    assert_int_equal(totals.images, 2499); /* 0 + 1 + 2 + 0 + ... */
    assert_int_equal(totals.distinct, IMAGES);
    assert_ok(fv_dataset_open(temp_path("a.h5"), &set));
    assert_int_equal(fv_dataset_rows(set), ROWS);
    assert_int_equal(fv_dataset_images(set), IMAGES);
    for (int i = ROWS - 1; i >= 0; i -= 7)
        check_row(set, i);
    assert_fails(fv_dataset_read(set, ROWS, &row), FV_ERR_ARGUMENT, "has 2500 rows, row 2500 was wanted");
    fv_dataset_close(set);
    fv_dataset_close(NULL);
}

static void test_few_rows(void **state)
{
    (void)state;
    fv_dataset_totals totals;
    fv_dataset *set;
    for (int rows = 0; rows < 3; rows++) { /* no row; no image; one image */
        write_set("few.h5", rows, &totals);
        assert_ok(fv_dataset_open(temp_path("few.h5"), &set));
        assert_int_equal(fv_dataset_rows(set), rows);
        assert_int_equal(fv_dataset_images(set), rows == 2);
        for (int i = 0; i < rows; i++)
            check_row(set, i);
        fv_dataset_close(set);
    }
}

static void add_answer(fv_row *row, const char *text)
{
    fv_buffer all = {0};
    const fv_slice now = fv_row_truths(row->answer, row->more_bytes);
    assert_ok(fv_buffer_append(&all, now.data, now.size));
    assert_ok(fv_truths_add(&all, fv_slice_of(text)));
    free(row->answer);
    row->answer = all.data;
    row->more_bytes = all.size - strlen(all.data);
}

/* Rows from first on have a second answer. */
static void write_answers(const char *name, int first)
{
    fv_dataset_totals totals;
    fv_dataset_writer *writer;
    assert_ok(fv_dataset_create(temp_path(name), &writer));
    for (int i = 0; i < ROWS; i++) {
        fv_row row = make_row(i);
        if (i >= first && i % 2)
            add_answer(&row, "the \"other\"");
        assert_ok(fv_dataset_append(writer, &row));
    }
    assert_ok(fv_dataset_commit(writer, &totals));
}

static int has_answers(const char *name)
{
    fv_hdf5 *file;
    assert_ok(fv_hdf5_open(temp_path(name), &file));
    int is_there = fv_hdf5_has(file, "answers");
    assert_ok(fv_hdf5_close(file));
    return is_there;
}

/* Late or early, and none: then the file is as it was before there were several. */
static void test_several_answers(void **state)
{
    (void)state;
    static const int firsts[] = {0, 1500, 2400, ROWS};
    for (int k = 0; k < 4; k++) {
        fv_dataset *set;
        fv_row row;
        write_answers("several.h5", firsts[k]);
        assert_int_equal(has_answers("several.h5"), firsts[k] < ROWS);
        assert_ok(fv_dataset_open(temp_path("several.h5"), &set));
        for (int i = 0; i < ROWS; i += 93) {
            static const char both[] = "a\0the \"other\"";
            assert_ok(fv_dataset_read(set, (uint64_t)i, &row));
            fv_slice truths = fv_row_truths(row.answer, row.more_bytes);
            assert_int_equal(truths.size, i >= firsts[k] && i % 2 ? sizeof both - 1 : 1);
            assert_memory_equal(truths.data, both, truths.size);
            fv_row_fini(&row);
            check_row(set, i);
        }
        fv_dataset_close(set);
    }
}

static int files_in_folder(void)
{
    int n = 0;
    DIR *folder = opendir(temp_root);
    assert_non_null(folder);
    while (readdir(folder))
        n++;
    closedir(folder);
    return n;
}

static void test_whole_or_not_at_all(void **state)
{
    (void)state;
    fv_dataset_writer *writer;
    temp_write("old.h5", "old");
    int n_files = files_in_folder();
    assert_ok(fv_dataset_create(temp_path("old.h5"), &writer));
    fv_row row = make_row(2);
    assert_ok(fv_dataset_append(writer, &row));
    fv_dataset_abandon(writer);
    assert_int_equal(files_in_folder(), n_files);
    fv_file_map map;
    assert_ok(fv_file_open_map(temp_path("old.h5"), &map));
    assert_int_equal(map.size, 3);
    fv_file_close_map(&map);
    assert_fails(fv_dataset_create(temp_path("no/such.h5"), &writer), FV_ERR_IO, "such.h5");
    assert_null(writer);
}

/* A copy of a.h5 with the first place of text changed. */
static const char *damaged(const char *text, size_t size)
{
    fv_file_map map;
    assert_ok(fv_file_open_map(temp_path("a.h5"), &map));
    char *bytes = malloc(map.size), *found;
    assert_non_null(bytes);
    memcpy(bytes, map.data, map.size);
    found = memmem(bytes, map.size, text, size);
    assert_non_null(found);
    *found ^= 1;
    assert_ok(fv_file_write(temp_path("damaged.h5"), bytes, map.size));
    free(bytes);
    fv_file_close_map(&map);
    return temp_path("damaged.h5");
}

static void check_damaged_row(const char *text, uint64_t number, const char *part)
{
    fv_dataset *set;
    fv_row row;
    assert_ok(fv_dataset_open(damaged(text, strlen(text)), &set));
    assert_fails(fv_dataset_read(set, number, &row), FV_ERR_FORMAT, part);
    assert_non_null(strstr(fv_error_text(), "damaged.h5: row "));
    assert_null(row.question);
    assert_ok(fv_dataset_read(set, 900, &row)); /* the others are sound */
    fv_row_fini(&row);
    fv_dataset_close(set);
}

static void test_damage_in_rows(void **state)
{
    (void)state;
    check_damaged_row("Question 1234 ", 1234, "row 1234: its texts do not match their hash");
    check_damaged_row("{\"number\": 77}", 77, "row 77: its texts do not match their hash");
    check_damaged_row("image 11;image 11;", 1, "row 1: image 0 does not match its hash");
}

static void test_damage_in_the_index(void **state)
{
    (void)state;
    fv_dataset *set;
    const uint64_t first[4] = {0, 0, 1, 3}; /* of row_image_first */
    const int32_t widths[2] = {21, 32};     /* of images/width: images 11 and 22 */
    assert_fails(fv_dataset_open(damaged((const char *)first, sizeof first), &set), FV_ERR_FORMAT,
                 "the index does not match its hash");
    assert_null(set);
    assert_fails(fv_dataset_open(damaged((const char *)widths, sizeof widths), &set), FV_ERR_FORMAT,
                 "damaged.h5: the index does not match its hash");
}

/* A data set whose parts are written one by one; those of skip are not. */
static void write_parts(const char *name, uint64_t version, const char *skip, int64_t n_widths)
{
    static const char *const texts[] = {"question", "answer", "source", "extra"};
    static const char *const rows_i32[] = {"target_width", "target_height", "images/width", "images/height"};
    static const char *const u64[] = {"row_image_first", "row_image", "row_hash", "images/offset",
                                      "images/hash"};
    static const int64_t u64_sizes[] = {2, 0, 1, 1, 0};
    const uint64_t zeros[4] = {0};
    const char *empty = "";
    fv_hdf5 *file;
    assert_ok(fv_hdf5_create(temp_path(name), &file));
    for (int i = 0; i < 4; i++) {
        const int64_t n = i == 0 ? n_widths : i == 1;
        if (strcmp(skip, texts[i]) != 0)
            assert_ok(fv_hdf5_append(file, texts[i], FV_HDF5_TEXT, 1, &empty));
        assert_ok(fv_hdf5_write(file, rows_i32[i], FV_I32, 1, &n, zeros));
    }
    for (int i = 0; i < 5; i++)
        assert_ok(fv_hdf5_write(file, u64[i], FV_U64, 1, &u64_sizes[i], zeros));
    if (strcmp(skip, "images/bytes") != 0)
        assert_ok(fv_hdf5_append(file, "images/bytes", FV_U8, 0, NULL));
    if (version)
        assert_ok(fv_hdf5_write_attribute(file, "fovea_pack", version));
    assert_ok(fv_hdf5_write_attribute(file, "rows", 1));
    assert_ok(fv_hdf5_close(file));
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        uint64_t version;
        const char *skip;
        int64_t n_widths;
        const char *part;
    } cases[] = {
        {0, "", 1, "is not a data set"},
        {2, "", 1, "format version 2, this program reads version 1"},
        {1, "answer", 1, "no dataset \"answer\""},
        {1, "images/bytes", 1, "no dataset \"images/bytes\""},
        {1, "", 2, "\"target_width\" has 2 elements, expected 1"},
        {1, "", 1, "no attribute \"index_hash\""},
    };
    fv_dataset *set;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_parts("parts.h5", cases[i].version, cases[i].skip, cases[i].n_widths);
        assert_fails(fv_dataset_open(temp_path("parts.h5"), &set), FV_ERR_FORMAT, cases[i].part);
        assert_non_null(strstr(fv_error_text(), "parts.h5"));
    }
    assert_fails(fv_dataset_open(temp_path("none.h5"), &set), FV_ERR_IO, "none.h5");
    temp_write("text.h5", "no HDF5 at all");
    assert_fails(fv_dataset_open(temp_path("text.h5"), &set), FV_ERR_FORMAT, "text.h5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),  cmocka_unit_test(test_few_rows),
        cmocka_unit_test(test_several_answers), cmocka_unit_test(test_whole_or_not_at_all),
        cmocka_unit_test(test_damage_in_rows),  cmocka_unit_test(test_damage_in_the_index),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
