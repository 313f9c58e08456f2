#include "temp_folder.h"

char temp_root[64];

int temp_setup(void **state)
{
    (void)state;
    snprintf(temp_root, sizeof temp_root, "/tmp/fovea_test_XXXXXX");
    return mkdtemp(temp_root) ? 0 : -1;
}

int temp_teardown(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", temp_root);
    return system(command);
}

const char *temp_path(const char *name)
{
    static char paths[4][4096];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", temp_root, name);
    return path;
}

const char *temp_folder(const char *name)
{
    const char *path = temp_path(name);
    assert_ok(fv_file_make_folder(path));
    return path;
}

void temp_write(const char *name, const char *text)
{
    assert_ok(fv_file_write(temp_path(name), text, strlen(text)));
}

const char *test_data(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", getenv("TEST_DATA"), name);
    return path;
}
