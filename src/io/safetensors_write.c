#include "fovea/io/safetensors.h"

#include <string.h>

enum { ALIGN = 64 /* bytes: where the data begins; readers may map it into vectors */ };

static size_t bytes_of(const fv_safetensor *item)
{
    size_t bytes = fv_dtype_bytes(item->dtype);
    for (int i = 0; i < item->n_dims; i++)
        bytes *= (size_t)item->dim[i];
    return bytes;
}

static fv_err append_integer(fv_json *array, int64_t value)
{
    return fv_json_append(array, fv_json_make_integer(value));
}

static fv_err set_array(fv_json *object, const char *key, const int64_t *values, int n)
{
    FV_TRY(fv_json_set(object, key, fv_json_make_array()));
    for (int i = 0; i < n; i++)
        FV_TRY(append_integer(fv_json_get(object, key), values[i]));
    return FV_OK;
}

static fv_err describe(fv_json *header, const fv_safetensor *item, size_t begin)
{
    const int64_t offsets[] = {(int64_t)begin, (int64_t)(begin + bytes_of(item))};
    const char *dtype = fv_dtype_name(item->dtype);
    FV_TRY(fv_json_set(header, item->name, fv_json_make_object()));
    fv_json *entry = fv_json_get(header, item->name);
    FV_TRY(fv_json_set_text(entry, "dtype", dtype));
    FV_TRY(set_array(entry, "shape", item->dim, item->n_dims));
    return set_array(entry, "data_offsets", offsets, 2);
}

/* The length and the header, padded with spaces; total: bytes of all tensors. */
static fv_err make_header(const fv_safetensor *items, size_t n, fv_json *header, fv_buffer *out,
                          size_t *total)
{
    const char zeros[8] = {0};
    *total = 0;
    FV_TRY(fv_json_set(header, "__metadata__", fv_json_make_object()));
    FV_TRY(fv_json_set(fv_json_get(header, "__metadata__"), "format", fv_json_make_string("pt", 2)));
    for (size_t i = 0; i < n; i++) {
        FV_TRY(describe(header, &items[i], *total));
        *total += bytes_of(&items[i]);
    }
    FV_TRY(fv_buffer_append(out, zeros, sizeof zeros));
    FV_TRY(fv_json_print(header, 0, out));
    while (out->size % ALIGN != 0)
        FV_TRY(fv_buffer_append(out, " ", 1));
    uint64_t bytes = out->size - sizeof zeros;
    for (size_t i = 0; i < sizeof zeros; i++)
        out->data[i] = (char)(bytes >> (8 * i));
    return FV_OK;
}

fv_err fv_safetensors_create(const char *path, const fv_safetensor *items, size_t n,
                             fv_safetensors_writer *out)
{
    fv_json *header = fv_json_make_object();
    fv_buffer text = {0};
    *out = (fv_safetensors_writer){.file.descriptor = -1};
    fv_err err = FV_OK;
    FV_CHECK_DONE(header, FV_ERR_MEMORY, "no memory for the header of %s", path);
    FV_TRY_DONE(make_header(items, n, header, &text, &out->rest));
    FV_TRY_DONE(fv_file_create(path, &out->file));
    FV_TRY_DONE(fv_file_append(&out->file, text.data, text.size));
done:
    fv_buffer_fini(&text);
    fv_json_destroy(header);
    if (err != FV_OK)
        fv_safetensors_abandon(out);
    return err;
}

fv_err fv_safetensors_append(fv_safetensors_writer *writer, const void *data, size_t bytes)
{
    FV_CHECK(bytes <= writer->rest, FV_ERR_INTERNAL, "%s: %zu bytes too many", writer->file.path,
             bytes - writer->rest);
    writer->rest -= bytes;
    return fv_file_append(&writer->file, data, bytes);
}

fv_err fv_safetensors_commit(fv_safetensors_writer *writer)
{
    if (writer->rest == 0)
        return fv_file_commit(&writer->file);
    fv_err err = FV_FAIL(FV_ERR_INTERNAL, "%s: %zu bytes are missing", writer->file.path, writer->rest);
    fv_safetensors_abandon(writer);
    return err;
}

void fv_safetensors_abandon(fv_safetensors_writer *writer)
{
    fv_file_abandon(&writer->file);
}
