/* Between the sources of checkpoint.h. */
#ifndef FOVEA_SRC_MODEL_CHECKPOINT_CHECKPOINT_INTERNAL_H
#define FOVEA_SRC_MODEL_CHECKPOINT_CHECKPOINT_INTERNAL_H

#include "fovea/model/checkpoint/checkpoint.h"
#include "fovea/base/file.h"

#include "base/hash.h"

enum { FV_CHECKSUM_BYTES = 33 /* of a checksum as text: XXH3, 128 bits, hexadecimal, and a NUL */ };

/* checkpoint_sums.c: a file of lines "checksum, two blanks, name". */
typedef struct fv_checksum {
    char hex[FV_CHECKSUM_BYTES];
    const char *name;
} fv_checksum;

typedef struct fv_checksums {
    char *path; /* of the list; owned */
    char *text; /* owned; holds the names */
    fv_checksum *items;
    int n;
} fv_checksums;

fv_err fv_checksums_read(const char *folder, const char *list, fv_checksums *out);
void fv_checksums_fini(fv_checksums *sums);
const fv_checksum *fv_checksums_find(const fv_checksums *sums, const char *name); /* NULL if absent */
void fv_checksum_print(const XXH3_state_t *state, char hex[FV_CHECKSUM_BYTES]);
void fv_checksum_bytes(const void *data, size_t size, char hex[FV_CHECKSUM_BYTES]);
fv_err fv_checksum_file(const char *folder, const char *name, char hex[FV_CHECKSUM_BYTES]);

/* The file folder/name has the checksum of item, or FV_ERR_FORMAT. */
fv_err fv_checksum_check(const char *folder, const fv_checksum *item);

/* The list of a checkpoint, whose folder holds exactly its files. */
fv_err fv_checksums_open(const char *folder, fv_checksums *out);

/* Names of the files of a folder but those that begin with a dot, sorted; to be freed also on failure. */
fv_err fv_folder_list_files(const char *folder, char ***names, int *n);
void fv_folder_free_names(char **names, int n);

/* checkpoint_shard.c. */
enum { FV_SHARD_NAME_BYTES = 32 };
void fv_shard_name(int number, const char *ending, char out[FV_SHARD_NAME_BYTES]); /* "shard_00003.h5" */
int fv_shard_is_name(const char *name); /* 1 for the name of a shard's file */

/* Checksums of a shard: of each set, of the bytes of its file that are of no set, and of the file. */
enum { FV_SUM_HEADER = FV_CHECKPOINT_N_SETS, FV_SUM_FILE, FV_N_SUMS };
extern const char *const fv_sum_names[FV_N_SUMS];

/* Bytes of a set. */
static inline size_t fv_shard_bytes(const fv_shard *shard, fv_checkpoint_set set)
{
    return (size_t)shard->n * fv_dtype_bytes(fv_shard_dtype(shard, set));
}

/* One shard among those of a checkpoint: a row of /shards. */
typedef struct fv_shard_place {
    fv_shard shard;
    int number;                            /* in its file's name */
    uint64_t bytes;                        /* of its file */
    uint64_t offset[FV_CHECKPOINT_N_SETS]; /* of element 0 of a set in the file */
    char sum[FV_N_SUMS][FV_CHECKSUM_BYTES];
} fv_shard_place;

/* checkpoint_place.c: all shards, by tensor rank and first element, and the layouts they are cut from. */
typedef struct fv_shard_table {
    fv_shard_place *places; /* owned; sorted */
    int n;
    fv_layout *layouts; /* owned; one a tensor rank */
    int tensor_ranks;
} fv_shard_table;

/* Sort the places (tensor_ranks and places are set), make the layouts, and check that the shards cover every
 * buffer once. */
fv_err fv_shard_table_settle(fv_shard_table *table, const fv_model_shape *shape);
void fv_shard_table_fini(fv_shard_table *table);

/* The blocks that show parameter param whole, each element once: into out, which holds as many as
 * fv_shard_table_max_blocks; file names are not filled in but owner[i] is the place of block i. */
size_t fv_shard_table_max_blocks(const fv_shard_table *table);
size_t fv_shard_table_blocks(const fv_shard_table *table, int param, fv_hdf5_block *out, int *owner);

/* The elements of a whole tensor from element `whole` on that the rank of layout holds side by side: how many
 * (0: it does not hold that one), and in *flat where they begin in its buffer. */
int64_t fv_layout_run(const fv_layout *layout, int param, int64_t whole, int64_t *flat);

/* checkpoint_table.c: /shards. */
fv_err fv_shard_table_write(const fv_shard_table *table, fv_hdf5 *index);
fv_err fv_shard_table_read(const fv_hdf5 *index, fv_shard_table *out);

struct fv_checkpoint {
    char *path;
    fv_hdf5 *index;
    uint64_t step, epoch;
    fv_model_shape shape;
    fv_shard_table table;
    fv_file_map *maps; /* one a place */
};

#endif
