/* Checkpoints: a folder that holds a model in training, written by ranks of any layout, read by ranks of any
 * other. Local, and safe in any thread, unless said otherwise.
 *
 *     config.json, tokenizer.json, ...   the small files of a model folder
 *     shard_00000.h5 ...  one a rank: datasets "weights" (the fp32 masters), "exp_avg" and "exp_avg_sq" (fp32
 *                         or bf16), each (n): elements [first, first + n) of the flat buffer (weights.h) of a
 *                         rank of the tensor group; attributes tensor_rank, tensor_ranks, first, n,
 *                         moment_bytes
 *     index.h5            attributes format_version, step, epoch, tensor_ranks, data_ranks; /shards: a column
 *                         each for the place and the checksum of every dataset above; /weights/NAME,
 *                         /exp_avg/NAME, /exp_avg_sq/NAME: virtual datasets that show every tensor whole,
 * with the names of param.h and the dimensions of the folder; /state: what the run added checksums of every
 * other file, as `xxh128sum -c` reads them. Written last: without it a folder is not a checkpoint
 *
 * Files whose names begin with a dot are no part of a checkpoint. */
#ifndef FOVEA_MODEL_CHECKPOINT_CHECKPOINT_H
#define FOVEA_MODEL_CHECKPOINT_CHECKPOINT_H

#include "fovea/io/hdf5/hdf5.h"
#include "fovea/model/weights.h"

enum { FV_CHECKPOINT_FORMAT = 3 /* the format_version that is read and written */ };

typedef enum fv_checkpoint_set {
    FV_CHECKPOINT_WEIGHTS,
    FV_CHECKPOINT_EXP_AVG,    /* Adam's first moment */
    FV_CHECKPOINT_EXP_AVG_SQ, /* and second */
    FV_CHECKPOINT_N_SETS
} fv_checkpoint_set;

const char *fv_checkpoint_set_name(fv_checkpoint_set set); /* "exp_avg" */

/* What one rank writes: elements [first, first + n) of the flat buffer of tensor_rank. The shards of a
 * checkpoint cover the buffer of every tensor rank exactly once. */
typedef struct fv_shard {
    int tensor_rank, tensor_ranks;
    int64_t first, n;
    fv_dtype moments; /* F32 or BF16; the same in all shards of a checkpoint */
} fv_shard;

fv_dtype fv_shard_dtype(const fv_shard *shard, fv_checkpoint_set set);

/* Write folder/shard_NNNNN.h5 and sync it to the disk, then leave its checksums in folder/shard_NNNNN.done,
 * which appears whole or not at all: so the shard is complete if that file is there. sets[i]: n numbers of
 * fv_shard_dtype, or NULL for zeros, which take no room on the disk. Numbers are written outside the HDF5
 * library: other threads can use it meanwhile. */
fv_err fv_shard_write(const char *folder, int number, const fv_shard *shard,
                      const void *const sets[FV_CHECKPOINT_N_SETS]);

/* The same, piece by piece: set by set in their order, each from its beginning; what was not given when a
 * later set begins, or at the end, is zeros. Every created writer is ended by commit (also if that fails) or
 * abandon, which leaves no .done file. */
typedef struct fv_shard_writer fv_shard_writer;
fv_err fv_shard_create(const char *folder, int number, const fv_shard *shard, fv_shard_writer **out);
fv_err fv_shard_append(fv_shard_writer *writer, fv_checkpoint_set set, const void *data, int64_t n);
fv_err fv_shard_commit(fv_shard_writer *writer);
void fv_shard_abandon(fv_shard_writer *writer);

typedef struct fv_checkpoint_args {
    const fv_model_shape *shape;
    int n_shards; /* numbers 0 to n_shards - 1, all of them done */
    uint64_t step, epoch;
    /* Where config.json, the tokenizer's and the processor's files come from: a model folder, whose files are
     * copied, or a checkpoint, whose files are checked and linked (copied where links cannot be made). */
    const char *source;
    /* Adds /state to index.h5, and attributes; or NULL. */
    fv_err (*state)(void *context, fv_hdf5 *index);
    void *context;
} fv_checkpoint_args;

/* Make folder, which holds shards and their .done files, a checkpoint: write index.h5, the small files and
 * checksums, remove the .done files, sync everything. A shard that is missing, or overlaps or leaves a gap,
 * is an error that names it. */
fv_err fv_checkpoint_finish(const char *folder, const fv_checkpoint_args *args);

/* 1 if folder has an index.h5: it is a checkpoint, whole or damaged, and no model folder. */
int fv_checkpoint_is(const char *folder);

/* The name of the checkpoint of a step in the folder of a run's checkpoints: "step_000120". */
enum { FV_CHECKPOINT_NAME_BYTES = 32 };
void fv_checkpoint_name(uint64_t step, char out[FV_CHECKPOINT_NAME_BYTES]);

/* The steps that have a folder of such a name, whole or damaged, ascending; the caller frees them. */
fv_err fv_checkpoint_list(const char *folder, uint64_t **steps, int *n);

/* Compare files number part, part + n_parts, ... of the list of a checkpoint with their checksums, every byte
 * of them; every part also compares the list with the files that are there. FV_ERR_FORMAT names the damaged,
 * missing or extra file. */
fv_err fv_checkpoint_verify(const char *folder, int part, int n_parts);

typedef struct fv_checkpoint fv_checkpoint;

/* Open a checkpoint: the small files and index.h5 are compared with their checksums, then index.h5 with the
 * shape in config.json, and sizes and headers of the shards with index.h5. Refused, with a sentence that
 * names what differs: another format_version, a missing, extra or misshapen tensor, a missing or truncated
 * file. The numbers in the shards are not looked at: see fv_checkpoint_verify and fv_checkpoint_check. */
fv_err fv_checkpoint_open(const char *folder, fv_checkpoint **out);
void fv_checkpoint_close(fv_checkpoint *checkpoint); /* NULL is fine */

/* Compare one set of every shard with its checksum. */
fv_err fv_checkpoint_check(const fv_checkpoint *checkpoint, fv_checkpoint_set set);

/* Borrowed from the checkpoint. */
const fv_model_shape *fv_checkpoint_shape(const fv_checkpoint *checkpoint);
const fv_hdf5 *fv_checkpoint_state(const fv_checkpoint *checkpoint); /* index.h5, to read /state */

typedef struct fv_checkpoint_facts {
    uint64_t step, epoch;
    uint64_t bytes; /* of all shards */
    int n_shards, tensor_ranks;
} fv_checkpoint_facts;
fv_checkpoint_facts fv_checkpoint_facts_of(const fv_checkpoint *checkpoint);

/* Elements [first, first + n) of the flat buffer of the rank that layout describes, whatever the layout of
 * those that wrote: into out (n), as fp32, which is exact, straight from the mapped shards, in parallel.
 * Elements between parameters become zero. FV_ERR_SHAPE if the layout is of another model. */
fv_err fv_checkpoint_read(const fv_checkpoint *checkpoint, fv_checkpoint_set set, const fv_layout *layout,
                          int64_t first, int64_t n, float *out);

/* Elements [first, first + n) of the whole tensor number param of param.h's list, row-major: into out (n). */
fv_err fv_checkpoint_read_param(const fv_checkpoint *checkpoint, fv_checkpoint_set set, int param,
                                int64_t first, int64_t n, float *out);

#endif
