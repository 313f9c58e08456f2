/* Saving a run in training, beside its training. Collective over the world unless marked Local.
 *
 * To begin a save, every rank copies its share of weights and moments into memory of its own and goes on; a
 * thread writes the copy as this rank's shard. The thread of rank 0 waits for the shards of all ranks, makes
 * the checkpoint of them, commits it and removes those that are not to be kept. There is one copy: another
 * save begins when the one before has ended. A save that fails, because a disk is full, say, changes nothing
 * that is committed; the run goes on. */
#ifndef FOVEA_RUN_SAVER_H
#define FOVEA_RUN_SAVER_H

#include "fovea/run/lease.h"
#include "fovea/run/retention.h"
#include "fovea/comm/mesh.h"
#include "fovea/model/optimizer.h"
#include "fovea/run/progress.h"
#include "fovea/comm/watch/watch.h"

typedef struct fv_saver_args {
    const fv_lease *lease; /* borrowed, as are the next three; looked at on rank 0 */
    const fv_mesh *mesh;
    fv_optimizer *optimizer; /* and its model */
    const char *model;       /* folder: where the small files of a checkpoint come from */
    fv_retention retention;
    fv_watch *watch; /* told of the seconds that saves take; lives as long as the saver. NULL: none */
} fv_saver_args;

typedef struct fv_saver fv_saver;

fv_err fv_saver_create(const fv_saver_args *args, fv_saver **out);

/* Ends a save under way without a commit. Local. NULL is fine. */
void fv_saver_destroy(fv_saver *saver);

/* Wait for the save before, then begin one of weights and moments as they are. progress is taken; rank 0's
 * counts. *is_begun 0: it could not be begun, of which rank 0 has warned. Fails only as fv_saver_wait
 * does. */
fv_err fv_saver_begin(fv_saver *saver, fv_progress *progress, int *is_begun);

/* Wait for the save under way; *is_well 0: it failed, of which rank 0 has warned (1 if there was none). Fails
 * if the folder of the run has been leased to another program. */
fv_err fv_saver_wait(fv_saver *saver, int *is_well);

/* The last save has failed, and weights and moments are as they were: another one of the same. As
 * fv_saver_begin. */
fv_err fv_saver_again(fv_saver *saver, int *is_begun);

/* Saves that have failed since the last one of which is known that it went well, and those that went well.
 * The same on every rank. Local. */
int fv_saver_failures(const fv_saver *saver);
int fv_saver_successes(const fv_saver *saver);

/* Whether the save under way has failed by now, on any rank; if so, all that fv_saver_wait does is done. Does
 * not wait for one that goes on. Fails as fv_saver_wait does. */
fv_err fv_saver_poll(fv_saver *saver, int *has_failed);

#endif
