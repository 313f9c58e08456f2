#include "io/hdf5/hdf5_internal.h"

#include "fovea/base/file.h"

#include <errno.h>
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    REASON_BYTES = 256,
    ALIGNED_BYTES = 1 << 16 /* of a dataset that begins at a page, so that its bytes are copied fast */
};

hid_t fv_hdf5_memory_type(const fv_hdf5 *file, fv_dtype type)
{
    if (type == FV_HDF5_TEXT)
        return file->text;
    if (type == FV_F16 || type == FV_BF16)
        return type == FV_F16 ? file->f16 : file->bf16;
    const hid_t types[FV_N_DTYPES] = {
        [FV_F32] = H5T_NATIVE_FLOAT,   [FV_F64] = H5T_NATIVE_DOUBLE, [FV_I64] = H5T_NATIVE_INT64,
        [FV_U64] = H5T_NATIVE_UINT64,  [FV_I32] = H5T_NATIVE_INT32,  [FV_U32] = H5T_NATIVE_UINT32,
        [FV_I16] = H5T_NATIVE_INT16,   [FV_U16] = H5T_NATIVE_UINT16, [FV_I8] = H5T_NATIVE_INT8,
        [FV_U8] = H5T_NATIVE_UINT8,    [FV_BOOL] = H5I_INVALID_HID,  [FV_F8_E4M3] = H5I_INVALID_HID,
        [FV_F8_E5M2] = H5I_INVALID_HID};
    return types[type];
}

/* The library's text about the system has lines of detail around the system's own reason. */
static herr_t take_reason(unsigned n, const H5E_error2_t *error, void *out)
{
    static const char mark[] = "error message = '";
    (void)n;
    const char *system = strstr(error->desc, mark), *text = system ? system + strlen(mark) : error->desc;
    snprintf(out, REASON_BYTES, "%.*s", (int)strcspn(text, system ? "'\n" : "\n"), text);
    return 1; /* the walk from the innermost call ends here */
}

static char first_reason[REASON_BYTES]; /* "": none; of the thread that holds the library */

/* Called where a call of the library has failed: later calls, which only close things, forget why. */
static herr_t keep_reason(hid_t stack, void *context)
{
    (void)context;
    if (!first_reason[0])
        H5Ewalk2(stack, H5E_WALK_UPWARD, take_reason, first_reason);
    return 0;
}

void fv_hdf5_forget_reason(void)
{
    first_reason[0] = '\0';
}

const char *fv_hdf5_reason(void)
{
    return first_reason[0] ? first_reason : "no reason given";
}

static hid_t make_text_type(void)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0 && H5Tset_size(type, H5T_VARIABLE) >= 0 && H5Tset_cset(type, H5T_CSET_UTF8) >= 0)
        return type;
    H5Tclose(type);
    return H5I_INVALID_HID;
}

/* A float of two bytes: sign, exponent, mantissa. */
static hid_t make_half_type(size_t exponent, size_t mantissa)
{
    hid_t type = H5Tcopy(H5T_NATIVE_FLOAT);
    if (type >= 0 && H5Tset_fields(type, 15, mantissa, exponent, 0, mantissa) >= 0 &&
        H5Tset_ebias(type, ((size_t)1 << (exponent - 1)) - 1) >= 0 && H5Tset_precision(type, 16) >= 0 &&
        H5Tset_size(type, 2) >= 0)
        return type;
    H5Tclose(type);
    return H5I_INVALID_HID;
}

static void close_types(const fv_hdf5 *file)
{
    H5Tclose(file->text);
    H5Tclose(file->f16);
    H5Tclose(file->bf16);
}

static fv_err wrap(const char *path, hid_t id, fv_hdf5 **out)
{
    fv_hdf5 *file = calloc(1, sizeof *file);
    char *copy = strdup(path);
    fv_hdf5 made = {id, make_text_type(), make_half_type(5, 10), make_half_type(8, 7), copy};
    if (!file || !copy || made.text < 0 || made.f16 < 0 || made.bf16 < 0) {
        free(file);
        free(copy);
        close_types(&made);
        H5Fclose(id);
        return FV_FAIL(FV_ERR_MEMORY, "%s: cannot allocate a file handle", path);
    }
    *file = made;
    *out = file;
    return FV_OK;
}

static void prepare_library(void)
{
    H5dont_atexit(); /* a file that could not be written would be flushed again at exit, and crashes there */
    H5Eset_auto2(H5E_DEFAULT, keep_reason, NULL);
}

/* What is known of a file before it is opened. */
typedef enum trust { TRUST_NOTHING, TRUST_INDEX, TRUST_ALL } trust;

static fv_err open_file(const char *path, trust what, fv_hdf5 **out)
{
    FV_HDF5_HOLD;
    *out = NULL;
    prepare_library();
    struct stat info;
    FV_CHECK(stat(path, &info) == 0 && access(path, R_OK) == 0, FV_ERR_IO, "cannot read %s: %s", path,
             strerror(errno));
    FV_CHECK(S_ISREG(info.st_mode), FV_ERR_IO, "%s is not a regular file", path);
    if (what != TRUST_ALL)
        FV_TRY(fv_hdf5_check(path, what == TRUST_INDEX));
    hid_t id = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    FV_CHECK(id >= 0, FV_ERR_FORMAT, "%s is not a readable HDF5 file: %s", path, fv_hdf5_reason());
    return wrap(path, id, out);
}

fv_err fv_hdf5_open(const char *path, fv_hdf5 **out)
{
    return open_file(path, TRUST_NOTHING, out);
}

fv_err fv_hdf5_open_index(const char *path, fv_hdf5 **out)
{
    return open_file(path, TRUST_INDEX, out);
}

fv_err fv_hdf5_open_own(const char *path, fv_hdf5 **out)
{
    return open_file(path, TRUST_ALL, out);
}

fv_err fv_hdf5_create(const char *path, fv_hdf5 **out)
{
    FV_HDF5_HOLD;
    *out = NULL;
    prepare_library();
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), id = H5I_INVALID_HID;
    if (access >= 0 && H5Pset_alignment(access, ALIGNED_BYTES, FV_COPY_ALIGN) >= 0)
        id = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    H5Pclose(access);
    FV_CHECK(id >= 0, FV_ERR_IO, "cannot create %s: %s", path, fv_hdf5_reason());
    return wrap(path, id, out);
}

fv_err fv_hdf5_close(fv_hdf5 *file)
{
    FV_HDF5_HOLD;
    if (!file)
        return FV_OK;
    close_types(file);
    herr_t status = H5Fclose(file->id);
    fv_err err =
        status < 0 ? FV_FAIL(FV_ERR_IO, "cannot finish %s: %s", file->path, fv_hdf5_reason()) : FV_OK;
    free(file->path);
    free(file);
    return err;
}

int fv_hdf5_has(const fv_hdf5 *file, const char *name)
{
    FV_HDF5_HOLD;
    hid_t set = H5Dopen2(file->id, name, H5P_DEFAULT);
    if (set >= 0)
        H5Dclose(set);
    else
        fv_hdf5_forget_reason(); /* it is no failure */
    return set >= 0;
}

static fv_err open_set(const fv_hdf5 *file, const char *name, hid_t *out)
{
    *out = H5Dopen2(file->id, name, H5P_DEFAULT);
    FV_CHECK(*out >= 0, FV_ERR_FORMAT, "%s has no dataset \"%s\"", file->path, name);
    return FV_OK;
}

static fv_err extents(const fv_hdf5 *file, const char *name, hid_t set, int *n_dims, int64_t *dims)
{
    hsize_t sizes[H5S_MAX_RANK];
    hid_t space = H5Dget_space(set);
    int n = space < 0 ? -1 : H5Sget_simple_extent_dims(space, sizes, NULL);
    H5Sclose(space);
    FV_CHECK(n >= 0 && n <= FV_HDF5_MAX_DIMS, FV_ERR_FORMAT,
             "%s: dataset \"%s\" has %d dimensions, at most %d are read", file->path, name, n,
             FV_HDF5_MAX_DIMS);
    for (int i = 0; i < n; i++)
        dims[i] = (int64_t)sizes[i];
    *n_dims = n;
    return FV_OK;
}

fv_err fv_hdf5_dims(const fv_hdf5 *file, const char *name, int *n_dims, int64_t dims[FV_HDF5_MAX_DIMS])
{
    FV_HDF5_HOLD;
    hid_t set;
    FV_TRY(open_set(file, name, &set));
    fv_err err = extents(file, name, set, n_dims, dims);
    H5Dclose(set);
    return err;
}

static fv_err count_elements(const fv_hdf5 *file, const char *name, hid_t set, size_t element, size_t *n)
{
    int n_dims;
    int64_t dims[FV_HDF5_MAX_DIMS];
    FV_TRY(extents(file, name, set, &n_dims, dims));
    size_t count = 1, bytes;
    for (int i = 0; i < n_dims; i++)
        FV_CHECK(!__builtin_mul_overflow(count, (size_t)dims[i], &count), FV_ERR_FORMAT,
                 "%s: the size of dataset \"%s\" overflows", file->path, name);
    FV_CHECK(!__builtin_mul_overflow(count, element, &bytes), FV_ERR_FORMAT,
             "%s: the size of dataset \"%s\" overflows", file->path, name);
    *n = count;
    return FV_OK;
}

static int holds_numbers(hid_t set)
{
    hid_t type = H5Dget_type(set);
    H5T_class_t class = type < 0 ? H5T_NO_CLASS : H5Tget_class(type);
    H5Tclose(type);
    return class == H5T_INTEGER || class == H5T_FLOAT;
}

static fv_err read_set(const fv_hdf5 *file, const char *name, hid_t set, fv_dtype type, void **out, size_t *n)
{
    hid_t memory = fv_hdf5_memory_type(file, type);
    size_t element = H5Tget_size(memory);
    FV_CHECK(holds_numbers(set), FV_ERR_FORMAT, "%s: dataset \"%s\" does not hold numbers", file->path, name);
    FV_TRY(count_elements(file, name, set, element, n));
    void *data = malloc(*n * element + 1);
    FV_CHECK(data, FV_ERR_MEMORY, "%s: cannot allocate %zu elements for dataset \"%s\"", file->path, *n,
             name);
    if (H5Dread(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0) {
        free(data);
        return FV_FAIL(FV_ERR_IO, "%s: cannot read dataset \"%s\": %s", file->path, name, fv_hdf5_reason());
    }
    *out = data;
    return FV_OK;
}

fv_err fv_hdf5_read(const fv_hdf5 *file, const char *name, fv_dtype type, void **out, size_t *n)
{
    FV_HDF5_HOLD;
    hid_t set;
    *out = NULL;
    FV_TRY(open_set(file, name, &set));
    fv_err err = read_set(file, name, set, type, out, n);
    H5Dclose(set);
    return err;
}

static hid_t make_space(int n_dims, const int64_t *dims)
{
    hsize_t sizes[FV_HDF5_MAX_DIMS];
    for (int i = 0; i < n_dims; i++)
        sizes[i] = (hsize_t)dims[i];
    return n_dims ? H5Screate_simple(n_dims, sizes, NULL) : H5Screate(H5S_SCALAR);
}

hid_t fv_hdf5_make_set(fv_hdf5 *file, const char *name, fv_dtype type, hid_t space, uint64_t chunk)
{
    hsize_t piece = chunk;
    hid_t links = H5Pcreate(H5P_LINK_CREATE), layout = H5Pcreate(H5P_DATASET_CREATE), set = H5I_INVALID_HID;
    if (links >= 0 && layout >= 0 && H5Pset_create_intermediate_group(links, 1) >= 0 &&
        H5Pset_obj_track_times(layout, 0) >= 0 && (!chunk || H5Pset_chunk(layout, 1, &piece) >= 0))
        set = H5Dcreate2(file->id, name, fv_hdf5_memory_type(file, type), space, links, layout, H5P_DEFAULT);
    H5Pclose(links);
    H5Pclose(layout);
    return set;
}

fv_err fv_hdf5_write(fv_hdf5 *file, const char *name, fv_dtype type, int n_dims, const int64_t *dims,
                     const void *data)
{
    FV_HDF5_HOLD;
    FV_CHECK(n_dims <= FV_HDF5_MAX_DIMS, FV_ERR_ARGUMENT, "dataset \"%s\" of %d dimensions", name, n_dims);
    hid_t space = make_space(n_dims, dims);
    hid_t set = space < 0 ? H5I_INVALID_HID : fv_hdf5_make_set(file, name, type, space, 0);
    herr_t status = -1;
    if (set >= 0)
        status = H5Dwrite(set, fv_hdf5_memory_type(file, type), H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
    fv_err err = status < 0 ? FV_FAIL(FV_ERR_IO, "cannot write dataset \"%s\" of %s: %s", name, file->path,
                                      fv_hdf5_reason())
                            : FV_OK;
    if (set >= 0 && H5Dclose(set) < 0 && err == FV_OK)
        err = FV_FAIL(FV_ERR_IO, "cannot write dataset \"%s\" of %s: %s", name, file->path, fv_hdf5_reason());
    H5Sclose(space);
    return err;
}
