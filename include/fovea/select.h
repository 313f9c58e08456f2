/* Selection: the rows of a data set that tell when to look closer. Collective over the mesh.
 *
 * Every row is answered several times from the small view alone and from the large view alone. It is kept as
 * "low" if all answers from either view are right: the small view is enough; as "full" if the large view
 * gains enough right answers. What lies between teaches neither. A row of which an answer has no verdict is
 * not kept. Source of the rule: VisionThink (Yang et al., 2025): 8 answers, and a gain of 6. */
#ifndef FOVEA_SELECT_H
#define FOVEA_SELECT_H

#include "fovea/collect.h"
#include "fovea/measure.h"

enum { FV_SELECT_MOST = 256 }; /* rows of one call */

typedef struct fv_selection {
    const fv_rows *rows;       /* borrowed: those that are asked; others are not kept */
    int gain;                  /* right answers that the large view must add */
    double max_unjudged_share; /* of the answers of a call; with more of them without a verdict it fails */
} fv_selection;

/* Sums over calls. */
typedef struct fv_selection_counts {
    int64_t rows;
    int64_t low, full; /* kept */
    int64_t unjudged;
    int64_t drawn_tokens;
} fv_selection_counts;

/* Look at rows [first, first + n) and append those that are kept to out (NULL on all but the first rank of
 * the world), with the extra fields "selected" ("low" or "full"), "answers" (to each view), "low_right" and
 * "full_right". The collector's first view, row_of, has_greedy and number of rounds are not looked at. Where
 * the small view leaves nothing to decide the large one is not asked. FV_ERR_ARGUMENT: a gain that no row can
 * have. FV_AGAIN: a stop was requested (stop.h); the call has come to nothing. */
fv_err fv_select(const fv_collector *with, const fv_selection *what, int64_t first, int n,
                 fv_dataset_writer *out, fv_selection_counts *counts);

#endif
