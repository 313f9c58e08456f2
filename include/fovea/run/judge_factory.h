/* The judge that a configuration names. Local.
 *
 * A local model judges in the processes that train, each with the model whole, while the others of its tensor
 * group wait; or, with layout.judge_ranks, in ranks of their own. */
#ifndef FOVEA_RUN_JUDGE_FACTORY_H
#define FOVEA_RUN_JUDGE_FACTORY_H

#include "fovea/run/config.h"
#include "fovea/reward/judge/judge.h"
#include "fovea/comm/mailbox.h"

/* A process that asks for verdicts. */
typedef struct fv_judge_asker {
    int rank, n;         /* which one of how many: they share out judge.in_flight */
    fv_backend *backend; /* borrowed; for a local model */
    fv_mailbox
        *mailbox; /* borrowed; to the ranks that judge, which are the last of its group; NULL: none do */
} fv_judge_asker;

/* What config holds is borrowed. */
fv_err fv_judge_factory_create(const fv_train_config *config, const fv_judge_asker *asker, fv_judge **out);

/* The judge of a rank that only judges, number of layout.judge_ranks: for fv_judge_serve. */
fv_err fv_judge_factory_create_served(const fv_train_config *config, int number, fv_backend *backend,
                                      fv_judge **out);

#endif
