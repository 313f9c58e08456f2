/* Temporary files of file.h. Local. */
#ifndef FOVEA_SRC_BASE_FILE_TEMPORARY_H
#define FOVEA_SRC_BASE_FILE_TEMPORARY_H

#include "fovea/base/error.h"

/* A new empty file beside path, under a name of its own that the caller frees after fv_temporary_forget. */
fv_err fv_temporary_create(const char *path, char **temporary, int *descriptor);
/* It is whole, or gone. */
void fv_temporary_forget(const char *path);

#endif
