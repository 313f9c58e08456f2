#include "data/dataset_internal.h"

#include <stdlib.h>
#include <string.h>

struct fv_dataset {
    fv_hdf5 *file;
    char *path;
    uint64_t rows, images;
    int has_answers;
    fv_dataset_index index;
};

static fv_err read_column(fv_dataset *d, fv_dataset_column c)
{
    fv_dtype type = fv_dataset_column_type(c);
    fv_buffer *column = &d->index.column[c];
    void *data;
    size_t n;
    FV_TRY(fv_hdf5_read(d->file, fv_dataset_column_name(c), type, &data, &n));
    column->data = data;
    column->size = n * (type == FV_I32 ? sizeof(int32_t) : sizeof(uint64_t));
    return FV_OK;
}

static fv_err check_size(const fv_dataset *d, const char *name, uint64_t n, uint64_t expected)
{
    FV_CHECK(n == expected, FV_ERR_FORMAT, "%s: dataset \"%s\" has %llu elements, expected %llu", d->path,
             name, (unsigned long long)n, (unsigned long long)expected);
    return FV_OK;
}

/* The length of a dataset that stays in the file. */
static fv_err check_length(const fv_dataset *d, const char *name, uint64_t expected)
{
    int n_dims;
    int64_t dims[FV_HDF5_MAX_DIMS] = {0};
    FV_TRY(fv_hdf5_dims(d->file, name, &n_dims, dims));
    FV_CHECK(n_dims == 1, FV_ERR_FORMAT, "%s: dataset \"%s\" has %d dimensions, expected 1", d->path, name,
             n_dims);
    return check_size(d, name, (uint64_t)dims[0], expected);
}

static fv_err check_sizes(const fv_dataset *d)
{
    const uint64_t places = fv_index_size(&d->index, FV_COLUMN_ROW_IMAGE);
    const uint64_t expected[FV_COLUMNS] = {[FV_COLUMN_TARGET_WIDTH] = d->rows,
                                           [FV_COLUMN_TARGET_HEIGHT] = d->rows,
                                           [FV_COLUMN_IMAGE_WIDTH] = d->images,
                                           [FV_COLUMN_IMAGE_HEIGHT] = d->images,
                                           [FV_COLUMN_ROW_IMAGE_FIRST] = d->rows + 1,
                                           [FV_COLUMN_ROW_IMAGE] = places,
                                           [FV_COLUMN_ROW_HASH] = d->rows,
                                           [FV_COLUMN_IMAGE_OFFSET] = d->images + 1,
                                           [FV_COLUMN_IMAGE_HASH] = d->images};
    for (int c = 0; c < FV_COLUMNS; c++)
        FV_TRY(check_size(d, fv_dataset_column_name((fv_dataset_column)c),
                          fv_index_size(&d->index, (fv_dataset_column)c), expected[c]));
    for (int t = 0; t < FV_DATASET_TEXTS; t++)
        FV_TRY(check_length(d, fv_dataset_text_names[t], d->rows));
    if (d->has_answers)
        FV_TRY(check_length(d, fv_dataset_answers_name, d->rows));
    return check_length(d, "images/bytes", fv_index_u64(&d->index, FV_COLUMN_IMAGE_OFFSET)[d->images]);
}

/* Starts at 0, never falls, ends at end. */
static int is_rising(const uint64_t *first, uint64_t n, uint64_t end)
{
    for (uint64_t i = 0; i < n; i++)
        if (first[i] > first[i + 1])
            return 0;
    return first[0] == 0 && first[n] == end;
}

static fv_err check_index(const fv_dataset *d)
{
    uint64_t hash;
    FV_TRY(fv_hdf5_read_attribute(d->file, "index_hash", &hash));
    FV_CHECK(hash == fv_index_hash(&d->index), FV_ERR_FORMAT,
             "%s: the index does not match its hash: the file is damaged; pack it again", d->path);
    const uint64_t *places = fv_index_u64(&d->index, FV_COLUMN_ROW_IMAGE);
    const uint64_t *offsets = fv_index_u64(&d->index, FV_COLUMN_IMAGE_OFFSET);
    uint64_t n_places = fv_index_size(&d->index, FV_COLUMN_ROW_IMAGE);
    int is_sound = is_rising(fv_index_u64(&d->index, FV_COLUMN_ROW_IMAGE_FIRST), d->rows, n_places) &&
                   is_rising(offsets, d->images, offsets[d->images]);
    for (uint64_t i = 0; i < n_places; i++)
        is_sound = is_sound && places[i] < d->images;
    FV_CHECK(is_sound, FV_ERR_FORMAT, "%s: the index contradicts itself; pack the data set again", d->path);
    return FV_OK;
}

static fv_err open_index(fv_dataset *d)
{
    uint64_t version;
    fv_err err = fv_hdf5_read_attribute(d->file, "fovea_pack", &version);
    FV_CHECK(err == FV_OK, err, "%s is not a data set: it was not made by fovea pack", d->path);
    FV_CHECK(version == FV_DATASET_VERSION, FV_ERR_FORMAT,
             "%s is a data set of format version %llu, this program reads version %d; pack it again", d->path,
             (unsigned long long)version, FV_DATASET_VERSION);
    d->has_answers = fv_hdf5_has(d->file, fv_dataset_answers_name);
    FV_TRY(fv_hdf5_read_attribute(d->file, "rows", &d->rows));
    for (int c = 0; c < FV_COLUMNS; c++)
        FV_TRY(read_column(d, (fv_dataset_column)c));
    d->images = fv_index_size(&d->index, FV_COLUMN_IMAGE_HASH);
    FV_TRY(check_sizes(d));
    return check_index(d);
}

fv_err fv_dataset_open(const char *path, fv_dataset **out)
{
    *out = NULL;
    fv_dataset *d = calloc(1, sizeof *d);
    FV_CHECK(d, FV_ERR_MEMORY, "%s: no memory for a data set", path);
    fv_err err = FV_OK;
    d->path = strdup(path);
    FV_CHECK_DONE(d->path, FV_ERR_MEMORY, "%s: no memory for a data set", path);
    FV_TRY_DONE(fv_hdf5_open(path, &d->file));
    FV_TRY_DONE(open_index(d));
    *out = d;
done:
    if (err != FV_OK)
        fv_dataset_close(d);
    return err;
}

void fv_dataset_close(fv_dataset *dataset)
{
    if (!dataset)
        return;
    fv_hdf5_close(dataset->file); /* nothing was written that could fail */
    fv_index_fini(&dataset->index);
    free(dataset->path);
    free(dataset);
}

uint64_t fv_dataset_rows(const fv_dataset *dataset)
{
    return dataset->rows;
}

uint64_t fv_dataset_images(const fv_dataset *dataset)
{
    return dataset->images;
}

uint64_t fv_dataset_hash(const fv_dataset *dataset)
{
    return fv_index_hash(&dataset->index);
}

/* Put a list of accepted answers in the place of the first. */
static fv_err set_answers(const char *list, fv_row *row)
{
    fv_json *value;
    fv_buffer truths = {0};
    FV_TRY(fv_json_parse(list, strlen(list), fv_dataset_answers_name, &value));
    fv_err err = fv_truths_from_json(value, fv_dataset_answers_name, &truths);
    fv_json_destroy(value);
    if (err != FV_OK) {
        fv_buffer_fini(&truths);
        return err;
    }
    free(row->answer);
    row->answer = truths.data;
    row->more_bytes = truths.size - strlen(truths.data);
    return FV_OK;
}

static fv_err check_texts(const fv_dataset *d, uint64_t row, const char *const *texts, const char *answers)
{
    FV_CHECK(fv_dataset_hash_texts(texts, answers) == fv_index_u64(&d->index, FV_COLUMN_ROW_HASH)[row],
             FV_ERR_FORMAT, "its texts do not match their hash: the file is damaged; pack it again");
    return FV_OK;
}

static fv_err read_answers(const fv_dataset *d, uint64_t row, fv_row *out)
{
    char *list = NULL;
    fv_err err = FV_OK;
    if (d->has_answers)
        err = fv_hdf5_read_range(d->file, fv_dataset_answers_name, FV_HDF5_TEXT, row, 1, &list);
    const char *const texts[FV_DATASET_TEXTS] = {out->question, out->answer, out->source, out->extra};
    if (err == FV_OK)
        err = check_texts(d, row, texts, list);
    if (err == FV_OK && list && *list)
        err = set_answers(list, out);
    free(list);
    return err;
}

static fv_err read_texts(const fv_dataset *d, uint64_t row, fv_row *out)
{
    char **const texts[FV_DATASET_TEXTS] = {&out->question, &out->answer, &out->source, &out->extra};
    for (int t = 0; t < FV_DATASET_TEXTS; t++) {
        FV_TRY(fv_hdf5_read_range(d->file, fv_dataset_text_names[t], FV_HDF5_TEXT, row, 1, texts[t]));
        FV_CHECK(*texts[t], FV_ERR_FORMAT, "it has no %s: the file is damaged; pack it again",
                 fv_dataset_text_names[t]);
    }
    return read_answers(d, row, out);
}

static fv_err read_file(const fv_dataset *d, fv_row_image *out)
{
    const uint64_t number = out->number, *offset = fv_index_u64(&d->index, FV_COLUMN_IMAGE_OFFSET) + number;
    size_t size = offset[1] - offset[0];
    FV_TRY(fv_buffer_reserve(&out->file, size));
    FV_TRY(fv_hdf5_read_range(d->file, "images/bytes", FV_U8, offset[0], size, out->file.data));
    out->file.size = size;
    out->file.data[size] = '\0';
    FV_CHECK(fv_dataset_hash_file(out->file.data, size) ==
                 fv_index_u64(&d->index, FV_COLUMN_IMAGE_HASH)[number],
             FV_ERR_FORMAT, "image %llu does not match its hash: the file is damaged; pack it again",
             (unsigned long long)number);
    return FV_OK;
}

static fv_err list_images(const fv_dataset *d, uint64_t row, fv_row *out)
{
    const uint64_t *first = fv_index_u64(&d->index, FV_COLUMN_ROW_IMAGE_FIRST) + row;
    const uint64_t *places = fv_index_u64(&d->index, FV_COLUMN_ROW_IMAGE) + first[0];
    size_t n = first[1] - first[0];
    out->images = calloc(n + 1, sizeof *out->images);
    FV_CHECK(out->images, FV_ERR_MEMORY, "no memory for %zu images", n);
    out->n_images = n;
    for (size_t i = 0; i < n; i++)
        out->images[i] = (fv_row_image){.width = fv_index_i32(&d->index, FV_COLUMN_IMAGE_WIDTH)[places[i]],
                                        .height = fv_index_i32(&d->index, FV_COLUMN_IMAGE_HEIGHT)[places[i]],
                                        .number = places[i]};
    return FV_OK;
}

static fv_view_size target_of(const fv_dataset *d, uint64_t row)
{
    return (fv_view_size){fv_index_i32(&d->index, FV_COLUMN_TARGET_WIDTH)[row],
                          fv_index_i32(&d->index, FV_COLUMN_TARGET_HEIGHT)[row]};
}

uint64_t fv_dataset_sizes(const fv_dataset *dataset, uint64_t row, fv_view_size *image, fv_view_size *target)
{
    const fv_dataset_index *index = &dataset->index;
    const uint64_t *first = fv_index_u64(index, FV_COLUMN_ROW_IMAGE_FIRST) + row;
    *target = target_of(dataset, row);
    *image = (fv_view_size){0, 0};
    if (first[1] > first[0]) {
        uint64_t number = fv_index_u64(index, FV_COLUMN_ROW_IMAGE)[first[0]];
        *image = (fv_view_size){fv_index_i32(index, FV_COLUMN_IMAGE_WIDTH)[number],
                                fv_index_i32(index, FV_COLUMN_IMAGE_HEIGHT)[number]};
    }
    return first[1] - first[0];
}

enum { TEXTS = 1, FILES = 2 };

static fv_err read_parts(const fv_dataset *d, uint64_t row, int parts, fv_row *out)
{
    out->target = target_of(d, row);
    FV_TRY(list_images(d, row, out));
    if (parts & TEXTS)
        FV_TRY(read_texts(d, row, out));
    for (size_t i = 0; i < out->n_images && parts & FILES; i++)
        FV_TRY(read_file(d, &out->images[i]));
    return FV_OK;
}

static fv_err read_row(const fv_dataset *d, uint64_t row, int parts, fv_row *out)
{
    *out = (fv_row){0};
    FV_CHECK(row < d->rows, FV_ERR_ARGUMENT, "%s has %llu rows, row %llu was wanted", d->path,
             (unsigned long long)d->rows, (unsigned long long)row);
    fv_err err = read_parts(d, row, parts, out);
    if (err == FV_OK)
        return FV_OK;
    fv_row_fini(out);
    return fv_error_prefix(err, "%s: row %llu", d->path, (unsigned long long)row);
}

fv_err fv_dataset_read(const fv_dataset *dataset, uint64_t row, fv_row *out)
{
    return read_row(dataset, row, TEXTS | FILES, out);
}

fv_err fv_dataset_read_texts(const fv_dataset *dataset, uint64_t row, fv_row *out)
{
    return read_row(dataset, row, TEXTS, out);
}

fv_err fv_dataset_read_images(const fv_dataset *dataset, uint64_t row, fv_row *out)
{
    return read_row(dataset, row, FILES, out);
}
