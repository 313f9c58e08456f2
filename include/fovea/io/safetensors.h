/* One file of named tensors in the safetensors format: 8 bytes with the length of a header, the header (JSON:
 * name -> dtype, shape, data_offsets), and the data. Little-endian. Local.
 *
 * Format and what is refused: the safetensors library's README and its Rust reference. */
#ifndef FOVEA_IO_SAFETENSORS_H
#define FOVEA_IO_SAFETENSORS_H

#include "fovea/base/file.h"
#include "fovea/io/json.h"
#include "fovea/base/dtype.h"

enum { FV_SAFETENSOR_MAX_DIMS = 8 };

typedef struct fv_safetensor {
    const char *name; /* borrowed from the open file, or from whoever describes a file to be written */
    fv_dtype dtype;
    int n_dims; /* 0 for a single number */
    int64_t dim[FV_SAFETENSOR_MAX_DIMS];
    const uint8_t *data; /* in the mapping, row-major, any alignment */
    size_t bytes;
} fv_safetensor;

typedef struct fv_safetensors {
    fv_file_map map;      /* owned; empty if parsed from memory */
    fv_json *header;      /* owned; holds the names */
    fv_safetensor *items; /* owned; sorted by name */
    size_t n;
} fv_safetensors;

/* Map path and check everything but the numbers: the header's length and syntax, and that the tensors fill
 * the rest of the file without overlap or hole. FV_ERR_FORMAT names the file and the tensor. */
fv_err fv_safetensors_open(const char *path, fv_safetensors *out);
void fv_safetensors_close(fv_safetensors *file); /* back to {0} */

/* The same for size bytes of memory, which stays the caller's and must outlive out; name is for messages. */
fv_err fv_safetensors_parse(const uint8_t *data, size_t size, const char *name, fv_safetensors *out);

/* NULL if there is none of that name. */
const fv_safetensor *fv_safetensors_find(const fv_safetensors *file, const char *name);

/* Write a file piece by piece: create it with n described tensors (data and bytes are ignored), append all
 * their numbers in that order, commit. Like fv_file_writer: path is as it was until commit succeeds; every
 * created writer is ended by commit or abandon. FV_ERR_INTERNAL from commit if not exactly all bytes were
 * given. */
typedef struct fv_safetensors_writer {
    fv_file_writer file;
    size_t rest; /* bytes still to come */
} fv_safetensors_writer;

fv_err fv_safetensors_create(const char *path, const fv_safetensor *items, size_t n,
                             fv_safetensors_writer *out);
fv_err fv_safetensors_append(fv_safetensors_writer *writer, const void *data, size_t bytes);
fv_err fv_safetensors_commit(fv_safetensors_writer *writer);
void fv_safetensors_abandon(fv_safetensors_writer *writer);

/* "[2, 3]" of n_dims dimensions into out. */
void fv_safetensor_print_dims(const int64_t *dim, int n_dims, char *out, size_t size);

#endif
