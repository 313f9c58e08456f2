/* What the metrics share. Contracts: fovea/eval/metric.h. */
#ifndef FOVEA_SRC_EVAL_METRIC_INTERNAL_H
#define FOVEA_SRC_EVAL_METRIC_INTERNAL_H

#include "fovea/eval/metric.h"

/* Append a figure; its name is copied. */
fv_err fv_results_add(fv_results *out, const char *name, double value);

double fv_metric_over(double sum, double n); /* NaN for n = 0 */

/* Records sorted so that those of a group, and for pairs those of a category, stand together. */
typedef struct fv_grouped {
    const fv_record **items; /* owned, (n); the records are borrowed */
    size_t n;
    int (*compare)(const void *, const void *);
} fv_grouped;
fv_err fv_grouped_init(fv_grouped *out, fv_metric metric, const fv_record *records, size_t n);

/* The group that begins at first: records [first, end). */
typedef struct fv_answer_group {
    size_t end;
    double sum;
    int is_judged, is_right; /* all of them */
} fv_answer_group;
fv_answer_group fv_grouped_next(const fv_grouped *s, size_t first);

/* Append the figures of several samples; none if every row has one. */
fv_err fv_metric_samples(double scale, const fv_record *records, size_t n, fv_results *out);

fv_err fv_metric_pairs(const fv_grouped *s, fv_results *out);
fv_err fv_metric_circular(const fv_grouped *s, double scale, fv_results *out);

#endif
