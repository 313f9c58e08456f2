/* The figures of a training step, as one JSON object. Local. */
#ifndef FOVEA_TRAIN_METRICS_H
#define FOVEA_TRAIN_METRICS_H

#include "fovea/io/json.h"
#include "fovea/model/shape/shape.h"
#include "fovea/train/step/step.h"

typedef struct fv_figure {
    const char *name;
    double value;
} fv_figure;

/* An object of n figures; one that is not finite is null. */
fv_err fv_figures_to_json(const fv_figure *figures, size_t n, fv_json **out);

/* Memory so far, of the rank with the most. */
typedef struct fv_memory_figures {
    double peak_megabytes;     /* of the process */
    double tensor_megabytes;   /* most that the back end held, what --dry-run plans */
    double tensor_allocations; /* made by the back end; a number that stands still during a run */
} fv_memory_figures;

/* Collective over comm. */
fv_err fv_memory_look(const fv_backend *backend, fv_comm *comm, fv_memory_figures *out);

typedef struct fv_metrics_args {
    const fv_batch *batch;
    const fv_step_stats *stats;
    const fv_reward_weights *weights;
    const fv_model_shape *shape;
    double rate;       /* of the optimizer */
    double peak_flops; /* operations a second that all ranks can do; 0: unknown, mfu is null */
    fv_memory_figures memory;
} fv_metrics_args;

/* Of all samples of the step, those of dropped groups included: reward and its parts, lengths, calls, solved
 * groups; of the updates: loss, norm, clipping, KL, entropy, the log-prob difference of fresh samples;
 * seconds and tokens a second of each phase, and the share of them that this rank's device had nothing to do
 * (null: unknown); peak memory. step_tokens: prompt and response of each sample, as is usual. Means over
 * samples unless the name says otherwise; samples without a verdict count in no mean of accuracy or reward.
 */
fv_err fv_metrics_of_step(const fv_metrics_args *args, fv_json **out);

#endif
