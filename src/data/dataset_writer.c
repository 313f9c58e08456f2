#include "data/dataset_internal.h"
#include "fovea/base/file.h"
#include "fovea/base/point.h"

#include <stdlib.h>
#include <string.h>

enum {
    PENDING_ROWS = 1024,    /* texts are written so many at a time, */
    PENDING_BYTES = 1 << 22 /* and bytes of images as soon as there are so many */
};

struct fv_dataset_writer {
    fv_file_writer target; /* whose temporary the library of HDF5 files writes */
    fv_hdf5 *file;
    fv_dataset_index index;
    char *texts[FV_DATASET_TEXTS][PENDING_ROWS]; /* owned */
    char *answers[PENDING_ROWS];                 /* owned: lists of several accepted ones, else NULL */
    int has_answers;
    size_t n_pending;
    uint64_t n_written, n_answers; /* rows whose texts, and whose lists of answers, are written */
    fv_buffer bytes;               /* of images, not yet written */
    uint64_t end;                  /* of all bytes */
    uint64_t *slots;               /* image number + 1 by hash, open addressing; 0: free */
    uint64_t n_slots;              /* a power of two, at least twice the images */
    uint64_t n_images;             /* distinct */
};

static fv_err push_u64(fv_dataset_writer *w, fv_dataset_column column, uint64_t value)
{
    return fv_buffer_append(&w->index.column[column], &value, sizeof value);
}

static fv_err push_i32(fv_dataset_writer *w, fv_dataset_column column, int32_t value)
{
    return fv_buffer_append(&w->index.column[column], &value, sizeof value);
}

static fv_err start(const char *path, fv_dataset_writer *w)
{
    FV_TRY(fv_file_create(path, &w->target));
    FV_TRY(fv_hdf5_create(w->target.temporary, &w->file));
    FV_TRY(push_u64(w, FV_COLUMN_ROW_IMAGE_FIRST, 0));
    return push_u64(w, FV_COLUMN_IMAGE_OFFSET, 0);
}

fv_err fv_dataset_create(const char *path, fv_dataset_writer **out)
{
    *out = NULL;
    fv_dataset_writer *w = calloc(1, sizeof *w);
    FV_CHECK(w, FV_ERR_MEMORY, "%s: no memory for a data set", path);
    w->target.descriptor = -1;
    fv_err err = start(path, w);
    if (err != FV_OK)
        fv_dataset_abandon(w);
    else
        *out = w;
    return err;
}

static void release_texts(fv_dataset_writer *w)
{
    for (int t = 0; t < FV_DATASET_TEXTS; t++)
        for (size_t i = 0; i < w->n_pending; i++)
            free(w->texts[t][i]);
    for (size_t i = 0; i < w->n_pending; i++)
        free(w->answers[i]);
    w->n_pending = 0;
}

void fv_dataset_abandon(fv_dataset_writer *writer)
{
    if (!writer)
        return;
    release_texts(writer);
    fv_hdf5_close(writer->file); /* what it says is of no interest: the file goes */
    fv_file_abandon(&writer->target);
    fv_index_fini(&writer->index);
    fv_buffer_fini(&writer->bytes);
    free(writer->slots);
    free(writer);
}

/* Lists of accepted answers, from the first row that has one on; those before get none. */
static fv_err flush_answers(fv_dataset_writer *w)
{
    const char *lists[PENDING_ROWS];
    if (!w->has_answers)
        return FV_OK;
    for (size_t i = 0; i < PENDING_ROWS; i++)
        lists[i] = "";
    for (uint64_t n = w->n_answers; n < w->n_written; n += PENDING_ROWS)
        FV_TRY(fv_hdf5_append(w->file, fv_dataset_answers_name, FV_HDF5_TEXT, PENDING_ROWS, lists));
    for (size_t i = 0; i < w->n_pending; i++)
        lists[i] = w->answers[i] ? w->answers[i] : "";
    w->n_answers = w->n_written + w->n_pending;
    return fv_hdf5_append(w->file, fv_dataset_answers_name, FV_HDF5_TEXT, w->n_pending, lists);
}

static fv_err flush_texts(fv_dataset_writer *w)
{
    FV_TRY(flush_answers(w));
    for (int t = 0; t < FV_DATASET_TEXTS; t++)
        FV_TRY(fv_hdf5_append(w->file, fv_dataset_text_names[t], FV_HDF5_TEXT, w->n_pending, w->texts[t]));
    w->n_written += w->n_pending;
    release_texts(w);
    return FV_OK;
}

static fv_err flush_bytes(fv_dataset_writer *w)
{
    FV_TRY(fv_hdf5_append(w->file, "images/bytes", FV_U8, w->bytes.size, w->bytes.data));
    w->bytes.size = 0;
    return FV_OK;
}

/* Images: each distinct file once. */

static uint64_t hash_of(const fv_dataset_writer *w, uint64_t image)
{
    return fv_index_u64(&w->index, FV_COLUMN_IMAGE_HASH)[image];
}

static uint64_t size_of(const fv_dataset_writer *w, uint64_t image)
{
    const uint64_t *offset = fv_index_u64(&w->index, FV_COLUMN_IMAGE_OFFSET) + image;
    return offset[1] - offset[0];
}

static fv_err grow_slots(fv_dataset_writer *w)
{
    uint64_t n = w->n_slots ? 2 * w->n_slots : 1024;
    uint64_t *slots = calloc(n, sizeof *slots);
    FV_CHECK(slots, FV_ERR_MEMORY, "no memory to find equal images among %llu",
             (unsigned long long)w->n_images);
    for (uint64_t i = 0; i < w->n_images; i++) {
        uint64_t at = hash_of(w, i) & (n - 1);
        while (slots[at])
            at = (at + 1) & (n - 1);
        slots[at] = i + 1;
    }
    free(w->slots);
    w->slots = slots;
    w->n_slots = n;
    return FV_OK;
}

/* The slot of the file of this hash and size, or the free one where it belongs. */
static uint64_t *find_slot(const fv_dataset_writer *w, uint64_t hash, size_t size)
{
    uint64_t at = hash & (w->n_slots - 1);
    while (w->slots[at] && (hash_of(w, w->slots[at] - 1) != hash || size_of(w, w->slots[at] - 1) != size))
        at = (at + 1) & (w->n_slots - 1);
    return &w->slots[at];
}

static fv_err append_image(fv_dataset_writer *w, const fv_row_image *image, uint64_t hash)
{
    FV_TRY(fv_buffer_append(&w->bytes, image->file.data, image->file.size));
    w->end += image->file.size;
    w->n_images++;
    FV_TRY(push_u64(w, FV_COLUMN_IMAGE_OFFSET, w->end));
    FV_TRY(push_u64(w, FV_COLUMN_IMAGE_HASH, hash));
    FV_TRY(push_i32(w, FV_COLUMN_IMAGE_WIDTH, image->width));
    FV_TRY(push_i32(w, FV_COLUMN_IMAGE_HEIGHT, image->height));
    return w->bytes.size < PENDING_BYTES ? FV_OK : flush_bytes(w);
}

static fv_err place_image(fv_dataset_writer *w, const fv_row_image *image)
{
    uint64_t hash = fv_dataset_hash_file(image->file.data, image->file.size);
    if (2 * (w->n_images + 1) > w->n_slots)
        FV_TRY(grow_slots(w));
    uint64_t *slot = find_slot(w, hash, image->file.size);
    if (*slot == 0) {
        FV_TRY(append_image(w, image, hash));
        *slot = w->n_images;
    }
    return push_u64(w, FV_COLUMN_ROW_IMAGE, *slot - 1);
}

/* Rows. */

/* NULL for a row of one accepted answer. */
static fv_err print_answers(const fv_row *row, char **out)
{
    fv_json *list;
    fv_buffer text = {0};
    *out = NULL;
    if (row->more_bytes == 0)
        return FV_OK;
    FV_TRY(fv_truths_to_json(fv_row_truths(row->answer, row->more_bytes), &list));
    fv_err err = fv_json_print(list, 0, &text);
    fv_json_destroy(list);
    *out = text.data;
    return err;
}

static fv_err append_index(fv_dataset_writer *w, const fv_row *row, const char *answers)
{
    const char *const texts[] = {row->question, row->answer, row->source, row->extra};
    for (size_t i = 0; i < row->n_images; i++)
        FV_TRY(place_image(w, &row->images[i]));
    FV_TRY(push_u64(w, FV_COLUMN_ROW_IMAGE_FIRST, fv_index_size(&w->index, FV_COLUMN_ROW_IMAGE)));
    FV_TRY(push_u64(w, FV_COLUMN_ROW_HASH, fv_dataset_hash_texts(texts, answers)));
    FV_TRY(push_i32(w, FV_COLUMN_TARGET_WIDTH, row->target.width));
    return push_i32(w, FV_COLUMN_TARGET_HEIGHT, row->target.height);
}

static void take_texts(fv_dataset_writer *w, fv_row *row, char *take_answers)
{
    char **const texts[FV_DATASET_TEXTS] = {&row->question, &row->answer, &row->source, &row->extra};
    for (int t = 0; t < FV_DATASET_TEXTS; t++) {
        w->texts[t][w->n_pending] = *texts[t];
        *texts[t] = NULL;
    }
    w->answers[w->n_pending++] = take_answers;
    w->has_answers |= take_answers != NULL;
}

fv_err fv_dataset_append(fv_dataset_writer *writer, fv_row *take)
{
    char *answers;
    fv_err err = print_answers(take, &answers);
    if (err == FV_OK)
        err = append_index(writer, take, answers);
    if (err == FV_OK)
        take_texts(writer, take, answers);
    else
        free(answers);
    fv_row_fini(take);
    FV_TRY(err);
    FV_TRY(fv_point("row"));
    return writer->n_pending < PENDING_ROWS ? FV_OK : flush_texts(writer);
}

static fv_err write_index(fv_dataset_writer *w)
{
    for (int c = 0; c < FV_COLUMNS; c++) {
        fv_dataset_column column = (fv_dataset_column)c;
        const int64_t n = (int64_t)fv_index_size(&w->index, column);
        FV_TRY(fv_hdf5_write(w->file, fv_dataset_column_name(column), fv_dataset_column_type(column), 1, &n,
                             w->index.column[c].data));
    }
    FV_TRY(fv_hdf5_write_attribute(w->file, "fovea_pack", FV_DATASET_VERSION));
    FV_TRY(fv_hdf5_write_attribute(w->file, "rows", fv_index_size(&w->index, FV_COLUMN_ROW_HASH)));
    return fv_hdf5_write_attribute(w->file, "index_hash", fv_index_hash(&w->index));
}

static fv_err finish(fv_dataset_writer *w)
{
    FV_TRY(flush_texts(w));
    FV_TRY(flush_bytes(w));
    FV_TRY(write_index(w));
    fv_hdf5 *file = w->file;
    w->file = NULL;
    FV_TRY(fv_hdf5_close(file));
    return fv_file_commit(&w->target);
}

fv_err fv_dataset_commit(fv_dataset_writer *writer, fv_dataset_totals *totals)
{
    *totals = (fv_dataset_totals){.rows = fv_index_size(&writer->index, FV_COLUMN_ROW_HASH),
                                  .images = fv_index_size(&writer->index, FV_COLUMN_ROW_IMAGE),
                                  .distinct = writer->n_images,
                                  .bytes = writer->end};
    fv_err err = finish(writer);
    fv_dataset_abandon(writer); /* of a finished one only memory is left */
    return err;
}
