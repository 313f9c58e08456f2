#include "io/hdf5/hdf5_internal.h"

#include <hdf5.h>

fv_err fv_hdf5_write_attribute(fv_hdf5 *file, const char *name, uint64_t value)
{
    FV_HDF5_HOLD;
    hid_t space = H5Screate(H5S_SCALAR), attribute = H5I_INVALID_HID;
    herr_t status = -1;
    if (space >= 0)
        attribute = H5Acreate2(file->id, name, H5T_NATIVE_UINT64, space, H5P_DEFAULT, H5P_DEFAULT);
    if (attribute >= 0)
        status = H5Awrite(attribute, H5T_NATIVE_UINT64, &value);
    H5Aclose(attribute);
    H5Sclose(space);
    FV_CHECK(status >= 0, FV_ERR_IO, "cannot write attribute \"%s\" of %s: %s", name, file->path,
             fv_hdf5_reason());
    return FV_OK;
}

/* One whole number, or a negative status. */
static herr_t read_number(hid_t attribute, uint64_t *out)
{
    hid_t space = H5Aget_space(attribute), type = H5Aget_type(attribute);
    int is_one = H5Sget_simple_extent_npoints(space) == 1 && H5Tget_class(type) == H5T_INTEGER;
    H5Tclose(type);
    H5Sclose(space);
    return is_one ? H5Aread(attribute, H5T_NATIVE_UINT64, out) : -1;
}

fv_err fv_hdf5_read_attribute(const fv_hdf5 *file, const char *name, uint64_t *out)
{
    FV_HDF5_HOLD;
    hid_t attribute = H5Aopen(file->id, name, H5P_DEFAULT);
    FV_CHECK(attribute >= 0, FV_ERR_FORMAT, "%s has no attribute \"%s\"", file->path, name);
    herr_t status = read_number(attribute, out);
    H5Aclose(attribute);
    FV_CHECK(status >= 0, FV_ERR_FORMAT, "%s: attribute \"%s\" is not one whole number", file->path, name);
    return FV_OK;
}
