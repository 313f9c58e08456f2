/* The results of an evaluation in their folder, and as a table. Local. */
#ifndef FOVEA_JOBS_EVAL_OUTPUT_H
#define FOVEA_JOBS_EVAL_OUTPUT_H

#include "fovea/eval/report.h"

/* Before the work: that the folder can be made, now and not after it. Results are not written over. *is_kept:
 * those of the evaluation asked for are there already, and printed; without keeps that is FV_ERR_ARGUMENT, as
 * those of another one are. */
fv_err fv_output_begin(const fv_report *asked, const char *folder, int keeps, int *is_kept);

/* Write the folder, and print the table on standard output. */
fv_err fv_output_write(const fv_report *report, const char *folder);

#endif
