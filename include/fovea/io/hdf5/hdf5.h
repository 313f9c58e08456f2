/* HDF5 files: datasets whole or in parts, and attributes. Local. Safe in any thread: calls wait for each
 * other, so that a library built without threads will do; one file is one thread's at a time.
 *
 * Errors name the file and the dataset; the library's own error stack is silenced and its last reason quoted.
 * No times are stored: the same calls make the same bytes. */
#ifndef FOVEA_IO_HDF5_HDF5_H
#define FOVEA_IO_HDF5_HDF5_H

#include "fovea/base/dtype.h"
#include "fovea/base/error.h"

#include <stddef.h>
#include <stdint.h>

enum { FV_HDF5_MAX_DIMS = 8 };

/* Where a dtype is expected, it is that of an element in memory; files of other widths are converted by the
 * library. In its place: a text is a char *, UTF-8 of any length, without NULs. */
#define FV_HDF5_TEXT ((fv_dtype)FV_N_DTYPES)

typedef struct fv_hdf5 fv_hdf5;

/* For reading. A file is first gone through whole by a process of its own: one that kills the library, says
 * to be larger than it is, or shows other files (links, external storage, virtual datasets) is FV_ERR_FORMAT.
 * _index: the index of a checkpoint, whose virtual datasets show files of its own folder. _own: a file that
 * this run has made; nothing is checked. */
fv_err fv_hdf5_open(const char *path, fv_hdf5 **out);
fv_err fv_hdf5_open_index(const char *path, fv_hdf5 **out);
fv_err fv_hdf5_open_own(const char *path, fv_hdf5 **out);
fv_err fv_hdf5_create(const char *path, fv_hdf5 **out); /* replaces a file */
fv_err fv_hdf5_close(fv_hdf5 *file); /* flushes; NULL is fine. A failed write can show only here */

/* 1 if the dataset exists. */
int fv_hdf5_has(const fv_hdf5 *file, const char *name);

/* Extents of a dataset; *n_dims 0 for a scalar. */
fv_err fv_hdf5_dims(const fv_hdf5 *file, const char *name, int *n_dims, int64_t dims[FV_HDF5_MAX_DIMS]);

/* The whole dataset as type, in memory that the caller frees; *n elements. Numbers only. */
fv_err fv_hdf5_read(const fv_hdf5 *file, const char *name, fv_dtype type, void **out, size_t *n);

/* A new dataset; groups in name ("grad/visual.merger") are made. n_dims 0 writes a scalar. */
fv_err fv_hdf5_write(fv_hdf5 *file, const char *name, fv_dtype type, int n_dims, const int64_t *dims,
                     const void *data);

/* Append n elements to a dataset of one dimension, which the first call makes. Each call costs a few small
 * writes: give many elements at once. */
fv_err fv_hdf5_append(fv_hdf5 *file, const char *name, fv_dtype type, size_t n, const void *data);

/* Elements first to first + n of a dataset of one dimension into data, nothing else is read. Texts are
 * freed by the caller with free(). Beyond the end: FV_ERR_FORMAT. */
fv_err fv_hdf5_read_range(const fv_hdf5 *file, const char *name, fv_dtype type, uint64_t first, size_t n,
                          void *data);

/* A new dataset of one dimension, n elements in one piece that the caller writes himself, once the file is
 * closed, at the bytes that fv_hdf5_locate gives, in the form they have in memory. Zeros until then. */
fv_err fv_hdf5_reserve(fv_hdf5 *file, const char *name, fv_dtype type, uint64_t n);

/* Where the elements of such a dataset are: n of them, from byte *offset of the file. FV_ERR_FORMAT if it has
 * another type or dimension, or lies in pieces. */
fv_err fv_hdf5_locate(const fv_hdf5 *file, const char *name, fv_dtype type, uint64_t *offset, uint64_t *n);

/* A block of a virtual dataset: start and count of every dimension, filled row by row from elements of a
 * dataset of one dimension and length elements, from element `from` on, in another file of the same folder.
 */
typedef struct fv_hdf5_block {
    int64_t start[FV_HDF5_MAX_DIMS], count[FV_HDF5_MAX_DIMS];
    const char *file, *name;
    uint64_t length, from;
} fv_hdf5_block;

typedef struct fv_hdf5_shape {
    fv_dtype dtype;
    int n_dims;
    int64_t dims[FV_HDF5_MAX_DIMS];
} fv_hdf5_shape;

/* A new virtual dataset of a float dtype: it shows the elements of its n blocks, which are of the same dtype,
 * and NaN where there is none. */
fv_err fv_hdf5_write_virtual(fv_hdf5 *file, const char *name, const fv_hdf5_shape *shape,
                             const fv_hdf5_block *blocks, size_t n);

/* Call each for the name of everything in a group, in the order of the bytes, until it fails. */
fv_err fv_hdf5_list(const fv_hdf5 *file, const char *group, fv_err (*each)(void *context, const char *name),
                    void *context);

/* Whole numbers beside the datasets: attributes of the root group. Absent: FV_ERR_FORMAT. */
fv_err fv_hdf5_write_attribute(fv_hdf5 *file, const char *name, uint64_t value);
fv_err fv_hdf5_read_attribute(const fv_hdf5 *file, const char *name, uint64_t *out);

#endif
