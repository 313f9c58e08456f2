/* Whole folders: removed, and put in place of another. */
#include "temp_folder.h"

#include <sys/stat.h>

static void fill(const char *folder, const char *text)
{
    char path[256];
    temp_folder(folder);
    snprintf(path, sizeof path, "%s/inner", folder);
    temp_folder(path);
    snprintf(path, sizeof path, "%s/inner/file", folder);
    temp_write(path, text);
}

static void check_holds(const char *path, const char *text)
{
    fv_file_map map;
    assert_ok(fv_file_open_map(temp_path(path), &map));
    assert_int_equal(map.size, strlen(text));
    assert_memory_equal(map.data, text, map.size);
    fv_file_close_map(&map);
}

static void test_remove(void **state)
{
    (void)state;
    fill("gone", "x");
    assert_int_equal(symlink("/etc", temp_path("gone/link")), 0);
    assert_ok(fv_file_remove_tree(temp_path("gone")));
    assert_false(fv_file_exists(temp_path("gone")));
    assert_true(fv_file_exists("/etc/passwd"));
    assert_ok(fv_file_remove_tree(temp_path("gone")));
    temp_write("file", "y");
    assert_ok(fv_file_remove_tree(temp_path("file")));
    assert_false(fv_file_exists(temp_path("file")));
}

static void test_replace(void **state)
{
    (void)state;
    fill("made", "new");
    assert_ok(fv_file_replace_folder(temp_path("made"), temp_path("place")));
    assert_false(fv_file_exists(temp_path("made")));
    check_holds("place/inner/file", "new");
    fill("made", "newer");
    assert_ok(fv_file_replace_folder(temp_path("made"), temp_path("place")));
    check_holds("place/inner/file", "newer");
    check_holds("made/inner/file", "new");
    assert_fails(fv_file_replace_folder(temp_path("none"), temp_path("place")), FV_ERR_IO, "cannot exchange");
    check_holds("place/inner/file", "newer");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_remove), cmocka_unit_test(test_replace)};
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
