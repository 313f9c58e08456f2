/* Named points of a run at which a test makes this process stop, fail, die or wait, so that no test has to
 * race the clock. Without FOVEA_AT in the environment a point does nothing. Local; any thread.
 *
 * FOVEA_AT holds items "POINT[:VISIT][@RANK]=ACTION", parted by blanks; VISIT counts from 1 (the default) the
 * times that this process comes to the point; without RANK every rank obeys. Actions:
 *
 *     stop        a stop is requested (stop.h)
 *     fail        fv_point fails with FV_ERR_IO
 *     kill        the process ends by SIGKILL
 *     crash       the process ends by SIGSEGV
 *     halt        the process stands still (SIGSTOP)
 *     hold:FILE   FILE is written, empty, and the process waits until it is gone
 *
 * The points, in the order of a run: "start" (ranks know each other), "lease" (the folder is this run's),
 * "pass" (after a pass of a rollout, for whatever it is), "step" (its rollout is done, its updates are not),
 * "update" (before each), "micro" (before each of its micro-batches), "done" (a step is done, nothing of it
 * saved), "shard" (on the thread of a save, before this rank's shard), "commit" (rank 0: all shards are
 * there, the checkpoint has no name yet), "saved" (rank 0: it has), "end" (before the model is written as a
 * folder). Elsewhere: "case" (a rank that judges begins one), "token" (fovea generate has one more), "row" (a
 * pack has one more), "answered" (an evaluation has kept one more record), "selected" (what a chunk of a
 * selection found is on the disk). */
#ifndef FOVEA_BASE_POINT_H
#define FOVEA_BASE_POINT_H

#include "fovea/base/error.h"

/* Fails as FOVEA_AT says, or with FV_ERR_ARGUMENT if it cannot be read. */
fv_err fv_point(const char *name);

#endif
