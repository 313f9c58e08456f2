/* Between the sources of hdf5.h. */
#ifndef FOVEA_SRC_IO_HDF5_HDF5_INTERNAL_H
#define FOVEA_SRC_IO_HDF5_HDF5_INTERNAL_H

#include "fovea/io/hdf5/hdf5.h"

/* The library's hid_t is int64_t. */
struct fv_hdf5 {
    int64_t id;
    int64_t text;      /* variable-length UTF-8 */
    int64_t f16, bf16; /* types that the library does not name */
    char *path;
};

/* The type of an element in memory; borrowed. */
int64_t fv_hdf5_memory_type(const fv_hdf5 *file, fv_dtype type);

/* Why the library refused first since it is held; static storage. */
const char *fv_hdf5_reason(void);
void fv_hdf5_forget_reason(void);

/* Make a dataset that holds no times, and the groups in its name; chunk: elements of a piece, 0: in one
 * piece. Negative on failure. */
int64_t fv_hdf5_make_set(fv_hdf5 *file, const char *name, fv_dtype type, int64_t space, uint64_t chunk);

/* Whether the library may be given the file (hdf5.h); what is wrong becomes the sentence. Holds the library.
 */
fv_err fv_hdf5_check(const char *path, int may_be_virtual);

/* One thread at a time is in the library, and the reason of a failure is that thread's until it leaves. The
 * same thread may enter again. */
int fv_hdf5_lock(void);
void fv_hdf5_unlock(const int *held);

/* Hold the library until the end of the block. */
#define FV_HDF5_HOLD __attribute__((cleanup(fv_hdf5_unlock), unused)) const int held_ = fv_hdf5_lock()

#endif
