/* Validation within a run: between its steps, what `fovea eval` does. */
#ifndef FOVEA_JOBS_VALIDATION_H
#define FOVEA_JOBS_VALIDATION_H

#include "jobs/train/training.h"

#include "fovea/eval/evaluate.h"

/* A validation whose records could not be written yet. */
typedef struct fv_late_report {
    fv_report report;
    int64_t step;
} fv_late_report;

enum { FV_LATE_REPORTS = 8 };

/* Starts as {0}; stays where it is while it is open. */
typedef struct fv_validation {
    fv_training *training; /* borrowed */
    fv_dataset *data;      /* owned; NULL: data.validate is not set, and validations do nothing */
    fv_rows rows;          /* of data: those that are asked */
    fv_prompt_builder builder;
    fv_evaluation what;
    fv_late_report late[FV_LATE_REPORTS]; /* of rank 0, (n_late); there is a bound to what waits */
    int n_late;
    int64_t done; /* 1 + the step after which the last one was; 0: none */
} fv_validation;

/* After fv_training_open. Local. */
fv_err fv_validation_open(fv_validation *validation, fv_training *training);
/* Measure its rows (fv_training_measure). Collective. */
fv_err fv_validation_measure(fv_validation *validation);
/* Records that could not be written are tried once more, or with some patience. Before fv_training_finish. */
void fv_validation_close(fv_validation *validation, int is_patient);

/* If a validation is due after so many steps (0: before the first) and not done: answer the whole set in the
 * way that is trained (one turn or the tool, the low-resolution view or the high-resolution one), and report
 * it in the log, the journal and out/validation/step_NNNNNN, which is a folder as `fovea eval` writes it.
 * FV_STOPPED: a stop was requested before the end; it is due still. Records that cannot be written, because
 * the disk is full, say, are kept and tried again after the next step. Collective over all processes. */
fv_err fv_validate(fv_validation *validation, int64_t step);

#endif
