/* The file of a selection: read back, gone on with, and what does not belong there. */
#include "temp_folder.h"

#include "fovea/base/file.h"
#include "fovea/eval/selection.h"

#include <string.h>

static const char header[] =
    "{\"format\": 3, \"shard\": \"1/1\", \"data\": \"d.h5\", \"rows\": 6, \"samples\": 4, "
    "\"gain\": 2, \"model_hash\": \"a\", "
    "\"config\": \"seed: 1\\nout: a\\n\"}\n";

static fv_selection selection_of(const char *text)
{
    fv_json *what;
    fv_selection s;
    assert_ok(fv_json_parse(text, strlen(text), "what", &what));
    assert_ok(fv_selection_init(&s, what, 6));
    return s;
}

static void check(const fv_selection *s, int row, int low, int high, int unjudged)
{
    assert_int_equal(s->rows[row].low, low);
    assert_int_equal(s->rows[row].high, high);
    assert_int_equal(s->rows[row].unjudged, unjudged);
}

static void goes_on(void **state)
{
    (void)state;
    const char *path = temp_path("goes_on");
    static const uint64_t rows[] = {1, 3, 4};
    static const fv_selected found[] = {
        {4, 4, 0}, {0, FV_SELECTED_NOT_ASKED, 0}, {2, FV_SELECTED_NO_VERDICT, 3}};
    fv_line_file file, other;
    fv_selection s = selection_of(header), t = selection_of(header);
    assert_ok(fv_selection_open(&s, path, &file));
    assert_ok(fv_selection_append(&s, &file, rows, found, 3));
    assert_fails(fv_selection_open(&t, path, &other), FV_ERR_ARGUMENT, "is written by another selection");
    assert_ok(fv_line_file_close(&file));
    assert_ok(fv_selection_open(&t, path, &file));
    check(&t, 0, FV_SELECTED_OPEN, FV_SELECTED_NOT_ASKED, 0);
    check(&t, 1, 4, 4, 0);
    check(&t, 3, 0, FV_SELECTED_NOT_ASKED, 0);
    check(&t, 4, 2, FV_SELECTED_NO_VERDICT, 3);
    static const fv_selected better = {2, 4, 0}; /* the last line of a row counts */
    assert_ok(fv_selection_append(&t, &file, &rows[2], &better, 1));
    assert_ok(fv_line_file_close(&file));
    int64_t n_bad;
    assert_ok(fv_selection_read_rows(&s, path, &n_bad));
    assert_int_equal(n_bad, 0);
    check(&s, 4, 2, 4, 0);
    fv_selection_fini(&s);
    fv_selection_fini(&t);
}

/* Lines that are none are counted; a torn end goes. */
static void survives_odd_lines(void **state)
{
    (void)state;
    static const char *const lines[] = {"{\"row\": 6, \"low\": 0, \"unjudged\": 0}",
                                        "{\"row\": -1, \"low\": 0, \"unjudged\": 0}",
                                        "{\"row\": 0, \"low\": 5, \"unjudged\": 0}",
                                        "{\"row\": 0, \"low\": -3, \"unjudged\": 0}",
                                        "{\"row\": 0, \"low\": 1e30, \"unjudged\": 0}",
                                        "{\"row\": 0, \"low\": 0, \"high\": 4294967297, \"unjudged\": 0}",
                                        "{\"row\": 0, \"low\": 0, \"unjudged\": 9}",
                                        "{\"row\": 0, \"unjudged\": 0}",
                                        "{\"row\": 0, \"low\": 0}",
                                        "[]",
                                        ""};
    enum { N = sizeof lines / sizeof *lines };
    fv_buffer text = {0};
    int64_t n_bad;
    fv_line_file file;
    assert_ok(fv_buffer_print(&text, "%s", header));
    for (int i = 0; i < N; i++)
        assert_ok(fv_buffer_print(&text, "%s\n", lines[i]));
    assert_ok(fv_buffer_print(&text, "{\"row\": 2, \"low\": 1, \"unjudged\": 0}\n{\"row\": 3, \"low\": 1"));
    temp_write("odd", text.data);
    const char *path = temp_path("odd");
    fv_selection s = selection_of(header);
    assert_ok(fv_selection_read_rows(&s, path, &n_bad));
    assert_int_equal(n_bad, N);
    check(&s, 2, 1, FV_SELECTED_NOT_ASKED, 0);
    for (int row = 0; row < 6; row++)
        assert_true(row == 2 || s.rows[row].low == FV_SELECTED_OPEN);
    assert_ok(fv_selection_open(&s, path, &file));
    assert_ok(fv_line_file_close(&file));
    uint64_t size;
    assert_ok(fv_file_size(path, &size));
    assert_int_equal(size, text.size - strlen("{\"row\": 3, \"low\": 1"));
    fv_buffer_fini(&text);
    fv_selection_fini(&s);
}

static void is_of_one_selection(void **state)
{
    (void)state;
    fv_line_file file;
    fv_selection s = selection_of(header);
    static const struct {
        const char *from, *to, *said;
    } cases[] = {{"\"gain\": 2", "\"gain\": 3", "gain is 2, was 3"},
                 {"\"model_hash\": \"a\"", "\"model_hash\": \"b\"", "model_hash is \"a\", was \"b\""},
                 {"seed: 1", "seed: 2", "seed is 1, was 2"},
                 {"\"1/1\"", "\"1/2\"", "shard is \"1/1\", was \"1/2\""},
                 {"{", "no {", "is not the file of a selection"},
                 {"\"format\": 3", "\"format\": 2", "is a selection of format 2, this program reads 3"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[sizeof header + 16];
        const char *at = strstr(header, cases[i].from);
        assert_non_null(at);
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - header), header, cases[i].to,
                 at + strlen(cases[i].from));
        temp_write("another", text);
        assert_fails(fv_selection_open(&s, temp_path("another"), &file),
                     i >= 4 ? FV_ERR_FORMAT : FV_ERR_ARGUMENT, cases[i].said);
    }
    temp_write(
        "free",
        "{\"format\": 3, \"shard\": \"1/1\", \"data\": \"e.h5\", \"rows\": 6, \"samples\": 4, \"gain\": 2, "
        "\"model_hash\": \"a\", \"config\": \"seed: 1\\nout: b\\n\"}\n");
    assert_ok(fv_selection_open(&s, temp_path("free"), &file));
    assert_ok(fv_line_file_close(&file));
    fv_selection_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(goes_on), cmocka_unit_test(survives_odd_lines),
                                       cmocka_unit_test(is_of_one_selection)};
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
