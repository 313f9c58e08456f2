/* A batch: the groups of one training step, as bytes and on every rank. Collective where it says so. */
#ifndef FOVEA_TRAIN_BATCH_H
#define FOVEA_TRAIN_BATCH_H

#include "fovea/comm/comm.h"
#include "fovea/io/hdf5/hdf5.h"
#include "fovea/train/trajectory.h"

/* Starts as {0}. */
typedef struct fv_batch {
    fv_group *groups; /* owned, (n) */
    int n, capacity;
} fv_batch;

/* Append a group, which is taken: *group is {0} afterwards, also if this fails. */
fv_err fv_batch_add(fv_batch *batch, fv_group *group);
void fv_batch_fini(fv_batch *batch); /* back to {0} */

/* A group as bytes, for other ranks of the same program; and back. FV_ERR_FORMAT if they
 * are cut short or do not fit together. *used: bytes read. */
fv_err fv_group_pack(const fv_group *group, fv_buffer *out);
fv_err fv_group_unpack(const void *bytes, size_t size, size_t *used, fv_group *out);

/* The groups as columns of an HDF5 file, under name: name/group_..., a row a group, name/response_...
 * and name/turn_..., a row each, in the same order, with the tokens of all rows one behind the other
 * (group_prompt_ids, response_ids, response_logprobs, response_loss_mask); and back. Advantages are not kept.
 * FV_ERR_FORMAT names the column that does not fit. */
fv_err fv_batch_write(const fv_batch *batch, fv_hdf5 *file, const char *name);
fv_err fv_batch_read(const fv_hdf5 *file, const char *name, fv_batch *out);

/* Whether a batch that was read is one that a run of a model could have left: token ids below vocab, turns
 * inside their responses, grids of whole tokens of merge x merge patches, finite numbers. FV_ERR_FORMAT names
 * the group. */
fv_err fv_batch_check(const fv_batch *batch, int vocab, int merge);

/* Every rank receives the groups of all ranks, ordered by prompt index; batch becomes that. Collective. */
fv_err fv_batch_share(fv_batch *batch, fv_comm *comm);

#endif
