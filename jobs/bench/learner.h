/* The update of training, over groups of random samples. */
#ifndef FOVEA_JOBS_BENCH_LEARNER_H
#define FOVEA_JOBS_BENCH_LEARNER_H

#include "jobs/bench/texts/texts.h"

#include "fovea/train/update.h"

/* Starts as {0}; stays where it is. */
typedef struct fv_bench_learner {
    const fv_bench_options *options;
    fv_bench_texts texts; /* with an image */
    fv_policy *policy;
    fv_optimizer optimizer;
    fv_updater *updater;
    fv_group *groups; /* owned, (n_groups, of max_groups) */
    int n_groups, max_groups;
    fv_update_stats stats; /* of the last step */
} fv_bench_learner;

/* Supervised: a sample's advantage is 1. On failure it is still to be finished. */
fv_err fv_bench_learner_init(fv_bench_learner *learner, fv_bench *bench, int max_groups);
void fv_bench_learner_fini(fv_bench_learner *learner); /* back to {0} */

/* Of one more group. Its prompt has that number; that of each sample is unlike any other. Local. */
typedef struct fv_bench_lesson {
    int64_t prompt_number, prompt; /* tokens */
    int n_samples;
    int64_t generated; /* tokens of each */
} fv_bench_lesson;
fv_err fv_bench_learner_add(fv_bench_learner *learner, const fv_bench_lesson *lesson);
void fv_bench_learner_clear(fv_bench_learner *learner); /* Local. There are no groups any more */

/* A step over all groups, as the work of a measurement; context: the learner. */
fv_err fv_bench_learn(void *context);

/* Floating-point operations of a rank in that step: what is computed again does not count. */
double fv_bench_learner_flops(const fv_bench *bench, const fv_bench_learner *learner);

#endif
