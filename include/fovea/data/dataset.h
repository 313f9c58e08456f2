/* A data set: rows of questions, answers and image files in one HDF5 file that any HDF5 tool can show.
 *
 * Layout of format version 1; R rows, I distinct images (equal files are kept once), J places of
 * images:
 *
 *   question, answer, source, extra    R     variable-length UTF-8 strings; extra: a JSON object
 *   target_width, target_height        R     I32; both 0: none
 *   row_image_first                    R+1   U64; row r has places row_image_first[r] to [r + 1]
 *   row_image                          J     U64; the image at a place
 *   answers                            R     only if a row has several accepted answers: of such rows a JSON
 *                                            list of them, answer the first; else ""
 *   row_hash                           R     U64; over question, answer, source, extra, and answers if not ""
 *   images/bytes                             U8; all image files, one behind the other
 *   images/offset                      I+1   U64; file i is bytes offset[i] to [i + 1]
 *   images/width, images/height        I     I32; upright pixels
 *   images/hash                        I     U64; over the file
 *   attributes fovea_pack (the version), rows, index_hash (over target_width,
 *     target_height, images/width, images/height, row_image_first, row_image, row_hash, images/offset and
 *     images/hash)
 *
 * "fovea pack" makes it; damage to texts and images is found when they are read, damage to the index when the
 * file is opened. The library of HDF5 files does not survive all damage to its own structures.
 *
 * Hashes are XXH3 of 64 bits; over several things, the hash of each is the seed of the next. The library
 * of HDF5 files is not thread-safe: one thread at a time. Local. */
#ifndef FOVEA_DATA_DATASET_H
#define FOVEA_DATA_DATASET_H

#include "fovea/data/row.h"

typedef struct fv_dataset fv_dataset;

/* Open for reading. The index is held in memory, some 60 bytes a row. FV_ERR_FORMAT: not a data set, another
 * version, sizes that do not fit together, an index that does not match its hash. */
fv_err fv_dataset_open(const char *path, fv_dataset **out);
void fv_dataset_close(fv_dataset *dataset); /* NULL is fine */

uint64_t fv_dataset_rows(const fv_dataset *dataset);
uint64_t fv_dataset_images(const fv_dataset *dataset); /* distinct */
uint64_t fv_dataset_hash(const fv_dataset *dataset);   /* index_hash: of everything in it */

/* How many images a row has, and the sizes of the first (0 x 0: there is none) and of its target. From the
 * index alone. */
uint64_t fv_dataset_sizes(const fv_dataset *dataset, uint64_t row, fv_view_size *image, fv_view_size *target);

/* Read a row, and nothing else from the file. FV_ERR_FORMAT or FV_ERR_IO names file and row: texts or an
 * image that do not match their hash. On failure *out is {0}. */
fv_err fv_dataset_read(const fv_dataset *dataset, uint64_t row, fv_row *out);

/* The same of a row's texts: of its images sizes and numbers, their files empty. */
fv_err fv_dataset_read_texts(const fv_dataset *dataset, uint64_t row, fv_row *out);

/* The same of its images: the texts are NULL. */
fv_err fv_dataset_read_images(const fv_dataset *dataset, uint64_t row, fv_row *out);

/* Writing: path holds a new data set whole, or what it held before. Every created writer is ended by commit
 * (also if that fails) or abandon. */
typedef struct fv_dataset_writer fv_dataset_writer;

typedef struct fv_dataset_totals {
    uint64_t rows, images; /* images: at all places */
    uint64_t distinct, bytes;
} fv_dataset_totals;

fv_err fv_dataset_create(const char *path, fv_dataset_writer **out);

/* Append a row, which is {0} afterwards. */
fv_err fv_dataset_append(fv_dataset_writer *writer, fv_row *take);

fv_err fv_dataset_commit(fv_dataset_writer *writer, fv_dataset_totals *totals);
void fv_dataset_abandon(fv_dataset_writer *writer); /* NULL is fine */

#endif
