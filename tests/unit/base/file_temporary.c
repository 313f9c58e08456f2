/* Files under way: names of their own, nothing through links, nothing left after a signal. */
#include "temp_folder.h"

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int count_files(const char *folder)
{
    DIR *dir = opendir(folder);
    int n = 0;
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        n += entry->d_name[0] != '.';
    closedir(dir);
    return n;
}

static void test_names(void **state)
{
    (void)state;
    fv_file_writer one, two;
    struct stat info;
    mode_t mask = umask(027);
    const char *folder = temp_folder("names");
    assert_ok(fv_file_create(temp_path("names/x"), &one));
    assert_ok(fv_file_create(temp_path("names/x"), &two));
    assert_string_not_equal(one.temporary, two.temporary);
    assert_int_equal(fstat(one.descriptor, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
    assert_ok(fv_file_append(&one, "one", 3));
    assert_ok(fv_file_append(&two, "two", 3));
    assert_ok(fv_file_commit(&one));
    fv_file_abandon(&two);
    assert_int_equal(count_files(folder), 1);
    umask(mask);
}

/* In a process of its own: two files are begun and a signal comes. */
static int after_signal(int number, int is_ignored)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        fv_file_writer one, two, done;
        signal(number, is_ignored ? SIG_IGN : SIG_DFL); /* whatever this was started with */
        if (fv_file_clean_on_signals() != FV_OK || fv_file_create(temp_path("signal/one"), &one) != FV_OK ||
            fv_file_create(temp_path("signal/done"), &done) != FV_OK || fv_file_commit(&done) != FV_OK ||
            fv_file_create(temp_path("signal/two"), &two) != FV_OK)
            _exit(1);
        raise(number);
        _exit(7);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

static void test_signals(void **state)
{
    (void)state;
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    const char *folder = temp_folder("signal");
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        assert_int_equal(after_signal(numbers[i], 0), numbers[i]);
        assert_int_equal(count_files(folder), 1); /* what is whole stays */
    }
    assert_int_equal(after_signal(SIGHUP, 1), -7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test(test_signals)};
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
