/* What the reader and the writer of a data set share: its layout and its hashes. */
#ifndef FOVEA_SRC_DATA_DATASET_INTERNAL_H
#define FOVEA_SRC_DATA_DATASET_INTERNAL_H

#include "fovea/data/dataset.h"
#include "fovea/io/hdf5/hdf5.h"

enum { FV_DATASET_VERSION = 1, FV_DATASET_TEXTS = 4 };

/* question, answer, source, extra. */
extern const char *const fv_dataset_text_names[FV_DATASET_TEXTS];
extern const char fv_dataset_answers_name[]; /* optional */

/* The index: datasets of one dimension. */
typedef enum fv_dataset_column {
    FV_COLUMN_TARGET_WIDTH, /* I32 */
    FV_COLUMN_TARGET_HEIGHT,
    FV_COLUMN_IMAGE_WIDTH,
    FV_COLUMN_IMAGE_HEIGHT,
    FV_COLUMN_ROW_IMAGE_FIRST, /* U64 */
    FV_COLUMN_ROW_IMAGE,
    FV_COLUMN_ROW_HASH,
    FV_COLUMN_IMAGE_OFFSET,
    FV_COLUMN_IMAGE_HASH,
    FV_COLUMNS
} fv_dataset_column;

const char *fv_dataset_column_name(fv_dataset_column column);
fv_dtype fv_dataset_column_type(fv_dataset_column column);

typedef struct fv_dataset_index {
    fv_buffer column[FV_COLUMNS];
} fv_dataset_index;

static inline uint64_t *fv_index_u64(const fv_dataset_index *index, fv_dataset_column column)
{
    return (uint64_t *)index->column[column].data;
}
static inline int32_t *fv_index_i32(const fv_dataset_index *index, fv_dataset_column column)
{
    return (int32_t *)index->column[column].data;
}
size_t fv_index_size(const fv_dataset_index *index, fv_dataset_column column); /* elements */
uint64_t fv_index_hash(const fv_dataset_index *index);
void fv_index_fini(fv_dataset_index *index);

/* Over the four texts of a row and the list of its answers, "" or NULL: there is none. */
uint64_t fv_dataset_hash_texts(const char *const texts[FV_DATASET_TEXTS], const char *answers);
/* Over the bytes of an image file. */
uint64_t fv_dataset_hash_file(const void *data, size_t size);

#endif
