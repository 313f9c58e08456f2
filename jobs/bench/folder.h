/* A folder for temporary files (TMPDIR, else /tmp). Local. */
#ifndef FOVEA_JOBS_BENCH_FOLDER_H
#define FOVEA_JOBS_BENCH_FOLDER_H

#include "fovea/base/error.h"

#include <limits.h>

/* Starts as {0}. */
typedef struct fv_bench_folder {
    char path[PATH_MAX]; /* "": there is none */
} fv_bench_folder;

fv_err fv_bench_folder_make(fv_bench_folder *folder);
/* With all that is in it. What cannot be removed is warned of. */
void fv_bench_folder_remove(fv_bench_folder *folder);

#endif
