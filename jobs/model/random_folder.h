/* Model folders with random weights. Local. */
#ifndef FOVEA_JOBS_RANDOM_FOLDER_H
#define FOVEA_JOBS_RANDOM_FOLDER_H

#include "fovea/model/hf/folder.h"

typedef struct fv_random_folder {
    const fv_model_shape *shape; /* borrowed; its special ids become those of the tokenizer */
    const char *tokenizer;       /* the folder that it is copied from; NULL: one token a byte */
    uint64_t seed;
    int is_noise; /* numbers to measure speed with, drawn fast (fv_param_noise) */
    fv_folder_style style;
    fv_dtype dtype;
    int64_t shard_bytes;
} fv_random_folder;

/* path: as for fv_folder_write. */
fv_err fv_random_folder_write(const char *path, const fv_random_folder *as);

#endif
