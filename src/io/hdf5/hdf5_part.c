#include "io/hdf5/hdf5_internal.h"

#include <hdf5.h>
#include <stdlib.h>

enum {
    CHUNK_BYTES = 1 << 20, /* of numbers */
    CHUNK_TEXTS = 4096,
    TEXT_BUFFER_BYTES = 1 << 14
};

/* Without a cache of chunks a read or a write touches its own bytes only. */
static hid_t open_uncached(const fv_hdf5 *file, const char *name)
{
    hid_t access = H5Pcreate(H5P_DATASET_ACCESS), set = H5I_INVALID_HID;
    if (access >= 0 && H5Pset_chunk_cache(access, H5D_CHUNK_CACHE_NSLOTS_DEFAULT, 0, 0) >= 0)
        set = H5Dopen2(file->id, name, access);
    H5Pclose(access);
    return set;
}

static fv_err make_growing(fv_hdf5 *file, const char *name, fv_dtype type)
{
    hsize_t none = 0, any = H5S_UNLIMITED;
    uint64_t chunk = CHUNK_TEXTS;
    if (type != FV_HDF5_TEXT)
        chunk = CHUNK_BYTES / H5Tget_size(fv_hdf5_memory_type(file, type));
    hid_t space = H5Screate_simple(1, &none, &any);
    hid_t set = space < 0 ? H5I_INVALID_HID : fv_hdf5_make_set(file, name, type, space, chunk);
    H5Sclose(space);
    FV_CHECK(set >= 0 && H5Dclose(set) >= 0, FV_ERR_IO, "cannot make dataset \"%s\" of %s: %s", name,
             file->path, fv_hdf5_reason());
    return FV_OK;
}

/* Memory of texts is malloc's, so that callers can free it. */
static void *allocate_text(size_t size, void *context)
{
    (void)context;
    return malloc(size);
}

static void release_text(void *text, void *context)
{
    (void)context;
    free(text);
}

/* The library clears its buffer for references to texts, a megabyte if nobody says otherwise, at every call.
 */
static hid_t transfer_of(fv_dtype type)
{
    hid_t transfer = H5Pcreate(H5P_DATASET_XFER);
    if (type == FV_HDF5_TEXT && transfer >= 0 &&
        (H5Pset_vlen_mem_manager(transfer, allocate_text, NULL, release_text, NULL) < 0 ||
         H5Pset_buffer(transfer, TEXT_BUFFER_BYTES, NULL, NULL) < 0)) {
        H5Pclose(transfer);
        return H5I_INVALID_HID;
    }
    return transfer;
}

/* Elements of a dataset of one dimension. */
typedef struct part {
    hsize_t first, n;
    void *in;        /* read to here, */
    const void *out; /* or written from here */
} part;

static herr_t move(const fv_hdf5 *file, hid_t set, fv_dtype type, const part *p)
{
    hid_t memory = H5Screate_simple(1, &p->n, NULL), space = H5Dget_space(set), transfer = transfer_of(type);
    hid_t element = fv_hdf5_memory_type(file, type);
    herr_t status = -1;
    if (memory >= 0 && transfer >= 0 && space >= 0 &&
        H5Sselect_hyperslab(space, H5S_SELECT_SET, &p->first, NULL, &p->n, NULL) >= 0)
        status = p->in ? H5Dread(set, element, memory, space, transfer, p->in)
                       : H5Dwrite(set, element, memory, space, transfer, p->out);
    H5Pclose(transfer);
    H5Sclose(space);
    H5Sclose(memory);
    return status;
}

/* The length of a dataset of one dimension; 0 also for another, whose every range is then beyond the end. */
static hsize_t length_of(hid_t set)
{
    hsize_t length = 0;
    hid_t space = H5Dget_space(set);
    if (H5Sget_simple_extent_ndims(space) == 1)
        H5Sget_simple_extent_dims(space, &length, NULL);
    H5Sclose(space);
    return length;
}

fv_err fv_hdf5_append(fv_hdf5 *file, const char *name, fv_dtype type, size_t n, const void *data)
{
    FV_HDF5_HOLD;
    if (!fv_hdf5_has(file, name))
        FV_TRY(make_growing(file, name, type));
    hid_t set = open_uncached(file, name);
    hsize_t end = set < 0 ? 0 : length_of(set) + n;
    const part p = {.first = end - n, .n = n, .out = data};
    int is_done = set >= 0 && H5Dset_extent(set, &end) >= 0 && (n == 0 || move(file, set, type, &p) >= 0);
    fv_err err = is_done ? FV_OK
                         : FV_FAIL(FV_ERR_IO, "cannot append to dataset \"%s\" of %s: %s", name, file->path,
                                   fv_hdf5_reason());
    if (set >= 0 && H5Dclose(set) < 0 && err == FV_OK)
        err = FV_FAIL(FV_ERR_IO, "cannot append to dataset \"%s\" of %s: %s", name, file->path,
                      fv_hdf5_reason());
    return err;
}

static fv_err read_range(const fv_hdf5 *file, const char *name, hid_t set, fv_dtype type, const part *p)
{
    hsize_t length = length_of(set);
    hid_t stored = H5Dget_type(set);
    int is_text = H5Tis_variable_str(stored) > 0;
    H5Tclose(stored);
    FV_CHECK(is_text == (type == FV_HDF5_TEXT), FV_ERR_FORMAT, "%s: dataset \"%s\" holds %s, expected %s",
             file->path, name, is_text ? "texts" : "no texts", is_text ? "numbers" : "texts");
    FV_CHECK(p->first <= length && p->n <= length - p->first, FV_ERR_FORMAT,
             "%s: dataset \"%s\" has %llu elements; %llu from %llu on were wanted", file->path, name,
             (unsigned long long)length, (unsigned long long)p->n, (unsigned long long)p->first);
    if (p->n == 0)
        return FV_OK;
    FV_CHECK(move(file, set, type, p) >= 0, FV_ERR_IO, "%s: cannot read dataset \"%s\" from element %llu: %s",
             file->path, name, (unsigned long long)p->first, fv_hdf5_reason());
    return FV_OK;
}

fv_err fv_hdf5_read_range(const fv_hdf5 *file, const char *name, fv_dtype type, uint64_t first, size_t n,
                          void *data)
{
    FV_HDF5_HOLD;
    hid_t set = open_uncached(file, name);
    FV_CHECK(set >= 0, FV_ERR_FORMAT, "%s has no dataset \"%s\"", file->path, name);
    const part p = {.first = first, .n = n, .in = data};
    fv_err err = read_range(file, name, set, type, &p);
    H5Dclose(set);
    return err;
}
