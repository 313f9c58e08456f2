#include "fovea/io/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PREFIX_BYTES = 8, MAX_HEADER_BYTES = 100000000 }; /* the reference's bound */

static uint64_t read_u64(const uint8_t *data)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | data[i];
    return value;
}

static int is_metadata(const char *name)
{
    return strcmp(name, "__metadata__") == 0;
}

static fv_err check_metadata(const fv_json *object)
{
    FV_CHECK(fv_json_kind_of(object) == FV_JSON_OBJECT, FV_ERR_FORMAT, "__metadata__ is not an object");
    for (void *i = fv_json_first(object); i; i = fv_json_next(object, i))
        FV_CHECK(fv_json_kind_of(fv_json_member(i)) == FV_JSON_STRING, FV_ERR_FORMAT,
                 "__metadata__ has \"%.64s\", which is not a string", fv_json_key(i));
    return FV_OK;
}

static fv_err read_dims(const fv_json *list, fv_safetensor *out, size_t *bytes)
{
    FV_CHECK(list && fv_json_kind_of(list) == FV_JSON_ARRAY, FV_ERR_FORMAT, "\"shape\" is not a list");
    FV_CHECK(fv_json_size(list) <= FV_SAFETENSOR_MAX_DIMS, FV_ERR_UNSUPPORTED,
             "\"shape\" has %zu dimensions, at most %d are supported", fv_json_size(list),
             FV_SAFETENSOR_MAX_DIMS);
    out->n_dims = (int)fv_json_size(list);
    *bytes = fv_dtype_bytes(out->dtype);
    for (int i = 0; i < out->n_dims; i++) {
        FV_TRY(fv_json_to_integer(fv_json_at(list, (size_t)i), "shape", &out->dim[i]));
        FV_CHECK(out->dim[i] >= 0, FV_ERR_FORMAT, "\"shape\" has %lld", (long long)out->dim[i]);
        FV_CHECK(!__builtin_mul_overflow(*bytes, (size_t)out->dim[i], bytes), FV_ERR_FORMAT,
                 "\"shape\" has more elements than 64 bits can count");
    }
    return FV_OK;
}

static fv_err read_offsets(const fv_json *list, int64_t data_bytes, int64_t out[2])
{
    FV_CHECK(list && fv_json_size(list) == 2, FV_ERR_FORMAT, "\"data_offsets\" is not a list of two numbers");
    for (size_t i = 0; i < 2; i++)
        FV_TRY(fv_json_to_integer(fv_json_at(list, i), "data_offsets", &out[i]));
    FV_CHECK(out[0] >= 0 && out[0] <= out[1] && out[1] <= data_bytes, FV_ERR_FORMAT,
             "\"data_offsets\" are [%lld, %lld], but the file has %lld bytes of data", (long long)out[0],
             (long long)out[1], (long long)data_bytes);
    return FV_OK;
}

static fv_err read_entry(const fv_json *entry, const uint8_t *data, size_t data_bytes, fv_safetensor *out)
{
    const char *dtype = NULL;
    int64_t offset[2];
    size_t bytes = 0;
    FV_CHECK(fv_json_kind_of(entry) == FV_JSON_OBJECT, FV_ERR_FORMAT, "not an object");
    FV_CHECK(fv_json_get(entry, "dtype"), FV_ERR_FORMAT, "\"dtype\" is missing");
    FV_TRY(fv_json_get_string(entry, "dtype", &dtype));
    FV_CHECK(dtype && fv_dtype_parse(dtype, &out->dtype), FV_ERR_FORMAT, "unknown dtype \"%.32s\"",
             dtype ? dtype : "null");
    FV_TRY(read_dims(fv_json_get(entry, "shape"), out, &bytes));
    FV_TRY(read_offsets(fv_json_get(entry, "data_offsets"), (int64_t)data_bytes, offset));
    out->data = data + offset[0];
    out->bytes = (size_t)(offset[1] - offset[0]);
    FV_CHECK(out->bytes == bytes, FV_ERR_FORMAT, "dtype and shape make %zu bytes, \"data_offsets\" %zu",
             bytes, out->bytes);
    return FV_OK;
}

static fv_err read_entries(const uint8_t *data, size_t data_bytes, fv_safetensors *out)
{
    out->items = calloc(fv_json_size(out->header) + 1, sizeof *out->items);
    FV_CHECK(out->items, FV_ERR_MEMORY, "no memory for %zu tensors", fv_json_size(out->header));
    for (void *i = fv_json_first(out->header); i; i = fv_json_next(out->header, i)) {
        const char *name = fv_json_key(i);
        if (is_metadata(name)) {
            FV_TRY(check_metadata(fv_json_member(i)));
            continue;
        }
        out->items[out->n].name = name;
        fv_err err = read_entry(fv_json_member(i), data, data_bytes, &out->items[out->n++]);
        if (err != FV_OK)
            return fv_error_prefix(err, "tensor \"%.128s\"", name);
    }
    return FV_OK;
}

static int compare_places(const void *a, const void *b)
{
    const fv_safetensor *left = a, *right = b;
    if (left->data != right->data)
        return left->data < right->data ? -1 : 1;
    return left->bytes < right->bytes ? -1 : left->bytes > right->bytes;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const fv_safetensor *)a)->name, ((const fv_safetensor *)b)->name);
}

/* The tensors, in order of place, fill the data without overlap or hole. */
static fv_err check_places(fv_safetensors *file, const uint8_t *data, size_t data_bytes)
{
    size_t end = 0;
    qsort(file->items, file->n, sizeof *file->items, compare_places);
    for (size_t i = 0; i < file->n; i++) {
        const fv_safetensor *item = &file->items[i];
        size_t begin = (size_t)(item->data - data);
        FV_CHECK(
            begin == end, FV_ERR_FORMAT,
            "tensor \"%.128s\" begins at byte %zu of the data, expected %zu, where the one before it ends",
            item->name, begin, end);
        end = begin + item->bytes;
    }
    FV_CHECK(end == data_bytes, FV_ERR_FORMAT, "the tensors end at byte %zu of the data, which has %zu bytes",
             end, data_bytes);
    qsort(file->items, file->n, sizeof *file->items, compare_names);
    return FV_OK;
}

static fv_err read_file(const uint8_t *data, size_t size, fv_safetensors *out)
{
    FV_CHECK(size >= PREFIX_BYTES, FV_ERR_FORMAT, "%zu bytes are too few for a safetensors file", size);
    uint64_t header_bytes = read_u64(data);
    FV_CHECK(header_bytes <= MAX_HEADER_BYTES, FV_ERR_FORMAT,
             "a header of %llu bytes is announced, at most %d are read: not a safetensors file",
             (unsigned long long)header_bytes, MAX_HEADER_BYTES);
    FV_CHECK(header_bytes <= size - PREFIX_BYTES, FV_ERR_FORMAT,
             "a header of %llu bytes is announced, but the file has %zu in all: it is truncated",
             (unsigned long long)header_bytes, size);
    const char *header = (const char *)data + PREFIX_BYTES;
    FV_CHECK(header_bytes > 0 && header[0] == '{', FV_ERR_FORMAT, "the header does not begin with {");
    FV_TRY(fv_json_parse(header, header_bytes, "header", &out->header));
    const uint8_t *body = data + PREFIX_BYTES + header_bytes;
    size_t body_bytes = size - PREFIX_BYTES - header_bytes;
    FV_TRY(read_entries(body, body_bytes, out));
    return check_places(out, body, body_bytes);
}

fv_err fv_safetensors_parse(const uint8_t *data, size_t size, const char *name, fv_safetensors *out)
{
    *out = (fv_safetensors){0};
    fv_err err = read_file(data, size, out);
    if (err == FV_OK)
        return FV_OK;
    fv_safetensors_close(out);
    return fv_error_prefix(err, "%s", name);
}

fv_err fv_safetensors_open(const char *path, fv_safetensors *out)
{
    fv_file_map map;
    *out = (fv_safetensors){0};
    FV_TRY(fv_file_open_map(path, &map));
    fv_err err = fv_safetensors_parse(map.data, map.size, path, out);
    if (err != FV_OK) {
        fv_file_close_map(&map);
        return err;
    }
    out->map = map;
    return FV_OK;
}

void fv_safetensors_close(fv_safetensors *file)
{
    free(file->items);
    fv_json_destroy(file->header);
    fv_file_close_map(&file->map);
    *file = (fv_safetensors){0};
}

const fv_safetensor *fv_safetensors_find(const fv_safetensors *file, const char *name)
{
    const fv_safetensor wanted = {.name = name};
    return file->n ? bsearch(&wanted, file->items, file->n, sizeof *file->items, compare_names) : NULL;
}

void fv_safetensor_print_dims(const int64_t *dim, int n_dims, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "[");
    for (int i = 0; i < n_dims && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, i ? ", %lld" : "%lld", (long long)dim[i]);
    if (used < size)
        snprintf(out + used, size - used, "]");
}
