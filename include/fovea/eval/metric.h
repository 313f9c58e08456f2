/* Metrics: how the scores of a benchmark's answers become its figures. Local.
 *
 *   mean      "score": the mean.
 *   yes_no    (POPE, Li et al., 2023.) Of answers read as "yes", "no" or "neither" (record.h): "f1" of yes,
 *             "accuracy", "precision" (answers of yes that are right), "recall" (truths of yes that are
 *             found), "yes_ratio" (answers that are yes). What is neither is wrong, and finds nothing.
 *   pairs     (MME, Fu et al., 2023.) The two questions about an image, which have the same group, are a
 *             pair. Of a category: the mean of its scores in percent and the share of its pairs that are
 *             right twice in percent, added. "score": the sum over categories; "cognition": of
 *             commonsense_reasoning, numerical_calculation, text_translation and code_reasoning;
 *             "perception": of the others; then each category under its name.
 *   circular  (MMBench, Liu et al., 2024.) Rows whose groups are the same number modulo 1,000,000 are one
 *             question with its options in other orders. "score": the share of questions with all right.
 *
 * Of rows with several samples the figures are those of all samples together, as if each number of them were
 * an evaluation; and for mean and yes_no there are "pass@2", "pass@4", ... up to all: the share of rows that
 * one of k samples is right for (a score of at least 0.5; Chen et al., 2021), and "majority": the mean score
 * of what most samples of a row were read as.
 *
 * A category is the record's source. Answers without a verdict are left out, with the pair or the question
 * that they are of; so are groups that are no pair. Shares are times a scale; sums of pairs are not. */
#ifndef FOVEA_EVAL_METRIC_H
#define FOVEA_EVAL_METRIC_H

#include "fovea/eval/record.h"

typedef enum fv_metric { FV_METRIC_MEAN, FV_METRIC_YES_NO, FV_METRIC_PAIRS, FV_METRIC_CIRCULAR } fv_metric;

extern const char *const fv_metric_names[]; /* "mean", ...; ends with NULL */

int fv_metric_needs_group(fv_metric metric);

typedef struct fv_result {
    char *name;   /* owned, UTF-8 */
    double value; /* NaN: there is nothing to divide by */
} fv_result;

/* Starts as {0}. */
typedef struct fv_results {
    fv_result *items; /* owned, (n); the first is the benchmark's */
    size_t n;
    int64_t n_left_out; /* answers that no figure counts */
    int has_interval;   /* there are two units at least, and a figure */
    double low, high;   /* of the first figure (fv_units_interval) */
} fv_results;

/* On failure *out is {0}. */
fv_err fv_metric_fold(fv_metric metric, double scale, const fv_record *records, size_t n, fv_results *out);
void fv_results_fini(fv_results *figures); /* back to {0} */

/* What a figure is a mean of: an answer, a pair or a question; of F1 what an answer adds above and below. The
 * figure is the sum over strata (the categories of pairs) of the sum of up over that of down. */
typedef struct fv_unit {
    uint64_t row;        /* the first of it */
    const char *stratum; /* borrowed from a record, or "" */
    double up, down;
} fv_unit;

/* Those that are judged and whole; units of a stratum stand together, in an order that follows from the data
 * alone. */
typedef struct fv_units {
    fv_unit *items; /* owned, (n) */
    size_t n;
} fv_units;
fv_err fv_units_init(fv_units *out, fv_metric metric, double scale, const fv_record *records, size_t n);
void fv_units_fini(fv_units *units); /* back to {0} */

/* Where 95 of 100 figures lie that are computed from units drawn anew with replacement (the bootstrap, Efron,
 * 1979; percentiles of 1,000 draws, the same ones always), of n units, at least 1. With two sides, of the
 * same units in the same order: of how much larger the second side's figure is. */
fv_err fv_units_interval(const fv_unit *const *sides, int n_sides, size_t n, double *low, double *high);

/* As a member "figures" of an object: an object by names (null for NaN), "interval", and "not_counted", the
 * answers that none counts. */
fv_err fv_results_set(const fv_results *figures, fv_json *object);

/* Append a line a figure, for people. */
fv_err fv_results_print(const fv_results *figures, fv_buffer *out);

#endif
