/* Selection: the rows of a data set that tell when to look closer.
 *
 * Every row with an image is answered several times from the low-resolution view alone and from the
 * high-resolution view alone. It is kept as "low" if all answers from either view are right: the
 * low-resolution view is enough; as "high" if the high-resolution view gains enough right answers. What lies
 * between teaches neither. A row of which an answer has no verdict is not kept; nor is one without an image,
 * which has no two views. Source of the rule: VisionThink (Yang et al., 2025): 8 answers, and a gain of 6.
 *
 * Draws are named by row and view: what is found of a row depends neither on the gain, nor on other rows, nor
 * on how rows are shared out. */
#ifndef FOVEA_EVAL_SELECT_H
#define FOVEA_EVAL_SELECT_H

#include "fovea/train/collect.h"
#include "fovea/eval/selection.h"

enum { FV_SELECT_MOST = 256 }; /* rows of one call */

/* How rows are answered. */
typedef struct fv_select_args {
    const fv_prompt_builder *builder;   /* borrowed; either view is its first */
    const fv_rollout_settings *rollout; /* borrowed; with one turn */
    int n_samples;                      /* from each view */
    int gain;
} fv_select_args;

/* Find out about rows (n), which rise. Where the low-resolution view leaves nothing to decide the
 * high-resolution one is not asked. found (n) and *generated_tokens, to which is added, are the same on every
 * rank. FV_STOPPED: a stop was requested (stop.h); the call has come to nothing. Collective over the mesh. */
fv_err fv_select(const fv_collector *with, const fv_select_args *args, const uint64_t *rows, int n,
                 fv_selected *found, int64_t *generated_tokens);

#endif
