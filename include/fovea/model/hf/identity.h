/* What a file or a model is, apart from where it lies: hashes of contents (XXH3 of 64 bits, not made to
 * withstand intent). Local. */
#ifndef FOVEA_MODEL_HF_IDENTITY_H
#define FOVEA_MODEL_HF_IDENTITY_H

#include "fovea/base/error.h"

#include <stdint.h>

fv_err fv_identity_of_file(const char *path, uint64_t *out);

/* Of a model's folder: over names and contents of its .json and .safetensors files, and of the checksums of a
 * checkpoint, in the order of names. All of it is read. */
fv_err fv_identity_of_folder(const char *path, uint64_t *out);

#endif
