#include "io/hdf5/hdf5_internal.h"

#include <hdf5.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

fv_err fv_hdf5_reserve(fv_hdf5 *file, const char *name, fv_dtype type, uint64_t n)
{
    FV_HDF5_HOLD;
    hsize_t size = n;
    hid_t space = H5Screate_simple(1, &size, NULL), layout = H5Pcreate(H5P_DATASET_CREATE);
    hid_t set = H5I_INVALID_HID;
    if (space >= 0 && layout >= 0 && H5Pset_obj_track_times(layout, 0) >= 0 &&
        H5Pset_alloc_time(layout, H5D_ALLOC_TIME_EARLY) >= 0 &&
        H5Pset_fill_time(layout, H5D_FILL_TIME_NEVER) >= 0)
        set = H5Dcreate2(file->id, name, fv_hdf5_memory_type(file, type), space, H5P_DEFAULT, layout,
                         H5P_DEFAULT);
    H5Pclose(layout);
    H5Sclose(space);
    FV_CHECK(set >= 0 && H5Dclose(set) >= 0, FV_ERR_IO, "cannot make dataset \"%s\" of %s: %s", name,
             file->path, fv_hdf5_reason());
    return FV_OK;
}

static int is_contiguous(hid_t set)
{
    hid_t layout = H5Dget_create_plist(set);
    int contiguous = layout >= 0 && H5Pget_layout(layout) == H5D_CONTIGUOUS;
    H5Pclose(layout);
    return contiguous;
}

static int has_type(const fv_hdf5 *file, hid_t set, fv_dtype type)
{
    hid_t stored = H5Dget_type(set);
    int equal = stored >= 0 && H5Tequal(stored, fv_hdf5_memory_type(file, type)) > 0;
    H5Tclose(stored);
    return equal;
}

fv_err fv_hdf5_locate(const fv_hdf5 *file, const char *name, fv_dtype type, uint64_t *offset, uint64_t *n)
{
    FV_HDF5_HOLD;
    hid_t set = H5Dopen2(file->id, name, H5P_DEFAULT), space = H5I_INVALID_HID;
    FV_CHECK(set >= 0, FV_ERR_FORMAT, "%s has no dataset \"%s\"", file->path, name);
    hsize_t size = 0;
    haddr_t address = HADDR_UNDEF;
    if (is_contiguous(set) && has_type(file, set, type)) {
        space = H5Dget_space(set);
        if (H5Sget_simple_extent_ndims(space) == 1 && H5Sget_simple_extent_dims(space, &size, NULL) == 1)
            address = H5Dget_offset(set);
    }
    H5Sclose(space);
    H5Dclose(set);
    FV_CHECK(address != HADDR_UNDEF || (space >= 0 && size == 0), FV_ERR_FORMAT,
             "%s: dataset \"%s\" is not one run of numbers of the expected type", file->path, name);
    *offset = size ? address : 0;
    *n = size;
    return FV_OK;
}

/* Add one block to the mappings of a virtual dataset whose extents are whole. */
static herr_t map_block(hid_t layout, hid_t whole, int n_dims, const fv_hdf5_block *block)
{
    hsize_t start[FV_HDF5_MAX_DIMS], count[FV_HDF5_MAX_DIMS], n = 1, first = block->from;
    for (int i = 0; i < n_dims; i++) {
        start[i] = (hsize_t)block->start[i];
        count[i] = (hsize_t)block->count[i];
        n *= count[i];
    }
    hsize_t length = block->length;
    hid_t from = H5Screate_simple(1, &length, NULL);
    herr_t status = -1;
    if (from >= 0 && H5Sselect_hyperslab(from, H5S_SELECT_SET, &first, NULL, &n, NULL) >= 0 &&
        H5Sselect_hyperslab(whole, H5S_SELECT_SET, start, NULL, count, NULL) >= 0)
        status = H5Pset_virtual(layout, whole, block->file, block->name, from);
    H5Sclose(from);
    return status;
}

fv_err fv_hdf5_write_virtual(fv_hdf5 *file, const char *name, const fv_hdf5_shape *shape,
                             const fv_hdf5_block *blocks, size_t n)
{
    FV_HDF5_HOLD;
    hsize_t sizes[FV_HDF5_MAX_DIMS];
    int n_dims = shape->n_dims;
    hid_t type = fv_hdf5_memory_type(file, shape->dtype);
    FV_CHECK(n_dims > 0 && n_dims <= FV_HDF5_MAX_DIMS, FV_ERR_ARGUMENT, "dataset \"%s\" of %d dimensions",
             name, n_dims);
    for (int i = 0; i < n_dims; i++)
        sizes[i] = (hsize_t)shape->dims[i];
    float absent = NAN;
    hid_t whole = H5Screate_simple(n_dims, sizes, NULL), layout = H5Pcreate(H5P_DATASET_CREATE);
    hid_t links = H5Pcreate(H5P_LINK_CREATE), set = H5I_INVALID_HID;
    herr_t status = whole < 0 || layout < 0 || H5Pset_obj_track_times(layout, 0) < 0 ||
                            H5Pset_fill_value(layout, H5T_NATIVE_FLOAT, &absent) < 0
                        ? -1
                        : 0;
    for (size_t i = 0; i < n && status >= 0; i++)
        status = map_block(layout, whole, n_dims, &blocks[i]);
    if (status >= 0 && H5Pset_create_intermediate_group(links, 1) >= 0)
        set = H5Dcreate2(file->id, name, type, whole, links, layout, H5P_DEFAULT);
    H5Pclose(links);
    H5Pclose(layout);
    H5Sclose(whole);
    FV_CHECK(set >= 0 && H5Dclose(set) >= 0, FV_ERR_IO, "cannot make dataset \"%s\" of %s: %s", name,
             file->path, fv_hdf5_reason());
    return FV_OK;
}

typedef struct listing {
    fv_err (*each)(void *context, const char *name);
    void *context;
    fv_err err;
} listing;

static herr_t list_one(hid_t group, const char *name, const H5L_info_t *info, void *out)
{
    (void)group;
    (void)info;
    listing *list = out;
    list->err = list->each(list->context, name);
    return list->err == FV_OK ? 0 : 1;
}

fv_err fv_hdf5_list(const fv_hdf5 *file, const char *group, fv_err (*each)(void *context, const char *name),
                    void *context)
{
    FV_HDF5_HOLD;
    listing list = {.each = each, .context = context, .err = FV_OK};
    herr_t status =
        H5Literate_by_name(file->id, group, H5_INDEX_NAME, H5_ITER_INC, NULL, list_one, &list, H5P_DEFAULT);
    FV_TRY(list.err);
    FV_CHECK(status >= 0, FV_ERR_FORMAT, "%s has no group \"%s\"", file->path, group);
    return FV_OK;
}
