/* A folder that lives as long as a test program, and short ways to fill it. */
#ifndef FOVEA_TEMP_FOLDER_H
#define FOVEA_TEMP_FOLDER_H

#include "test.h"

#include "fovea/base/file.h"

#include <stdlib.h>
#include <unistd.h>

extern char temp_root[64];

/* Of cmocka_run_group_tests. */
int temp_setup(void **state);
int temp_teardown(void **state);

/* root/name; valid until the fourth call from now. */
const char *temp_path(const char *name);

/* The same, made as a folder. */
const char *temp_folder(const char *name);

void temp_write(const char *name, const char *text);

/* folder/name among the committed test data. */
const char *test_data(const char *name);

#endif
