/* Two evaluations of the same data by the same rules, row by row: of two checkpoints, say, or of two modes.
 * Local.
 */
#ifndef FOVEA_EVAL_PAIRED_H
#define FOVEA_EVAL_PAIRED_H

#include "fovea/eval/report.h"

typedef struct fv_paired {
    fv_results results[2]; /* of each; one figure, the mean score, where there is no task */
    double low, high; /* of how much larger the second's first figure is (fv_units_interval); NaN: fewer than
                         two units have verdicts in both */
    int64_t both, first, second,
        neither; /* rows with verdicts in both: who is right, with a score of at least 0.5 */
    double
        p; /* of so unequal a first and second if either were as likely (McNemar, 1947; exact, two-sided) */
} fv_paired;

/* names: of the reports, for messages. FV_ERR_ARGUMENT: other data, rows or rules, and which. On failure *out
 * is {0}. */
fv_err fv_paired_init(fv_paired *out, const fv_report *const reports[2], const char *const names[2]);
void fv_paired_fini(fv_paired *paired); /* back to {0} */

/* Append a line a setting in which they differ: "key: FIRST, SECOND". */
fv_err fv_paired_print_settings(const fv_report *const reports[2], fv_buffer *out);

/* Append a JSON object a row, one a line, whose answer is right in one of them alone: row, source, truth,
 * scores, answers (the last turns). */
fv_err fv_paired_print_changed(const fv_report *const reports[2], fv_buffer *out);

#endif
