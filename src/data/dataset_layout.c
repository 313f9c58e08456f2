#include "data/dataset_internal.h"

#include "base/hash.h"

#include <string.h>

const char *const fv_dataset_text_names[FV_DATASET_TEXTS] = {"question", "answer", "source", "extra"};
const char fv_dataset_answers_name[] = "answers";

static const char *const column_names[FV_COLUMNS] = {
    [FV_COLUMN_TARGET_WIDTH] = "target_width",
    [FV_COLUMN_TARGET_HEIGHT] = "target_height",
    [FV_COLUMN_IMAGE_WIDTH] = "images/width",
    [FV_COLUMN_IMAGE_HEIGHT] = "images/height",
    [FV_COLUMN_ROW_IMAGE_FIRST] = "row_image_first",
    [FV_COLUMN_ROW_IMAGE] = "row_image",
    [FV_COLUMN_ROW_HASH] = "row_hash",
    [FV_COLUMN_IMAGE_OFFSET] = "images/offset",
    [FV_COLUMN_IMAGE_HASH] = "images/hash",
};

const char *fv_dataset_column_name(fv_dataset_column column)
{
    return column_names[column];
}

fv_dtype fv_dataset_column_type(fv_dataset_column column)
{
    return column < FV_COLUMN_ROW_IMAGE_FIRST ? FV_I32 : FV_U64;
}

static size_t element_bytes(fv_dataset_column column)
{
    return fv_dataset_column_type(column) == FV_I32 ? sizeof(int32_t) : sizeof(uint64_t);
}

size_t fv_index_size(const fv_dataset_index *index, fv_dataset_column column)
{
    return index->column[column].size / element_bytes(column);
}

uint64_t fv_index_hash(const fv_dataset_index *index)
{
    uint64_t hash = 0;
    for (int c = 0; c < FV_COLUMNS; c++)
        hash = XXH3_64bits_withSeed(index->column[c].data, index->column[c].size, hash);
    return hash;
}

void fv_index_fini(fv_dataset_index *index)
{
    for (int c = 0; c < FV_COLUMNS; c++)
        fv_buffer_fini(&index->column[c]);
}

uint64_t fv_dataset_hash_texts(const char *const texts[FV_DATASET_TEXTS], const char *answers)
{
    uint64_t hash = 0;
    for (int t = 0; t < FV_DATASET_TEXTS; t++)
        hash = XXH3_64bits_withSeed(texts[t], strlen(texts[t]), hash);
    return answers && *answers ? XXH3_64bits_withSeed(answers, strlen(answers), hash) : hash;
}

uint64_t fv_dataset_hash_file(const void *data, size_t size)
{
    return XXH3_64bits(data, size);
}
