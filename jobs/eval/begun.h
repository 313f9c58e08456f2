/* An evaluation under way, in its folder, so that it goes on after a stop or a kill. Local.
 *
 *   begun.RANK.jsonl  what a rank has answered: first a line with shard and settings, then a record a line
 *                     (record.h), as soon as it is there. A kill loses what no line has.
 *   begun.h5          of a stop: the samples that were under way, with the tokens they have
 *
 * Both go when the results are there. */
#ifndef FOVEA_JOBS_EVAL_BEGUN_H
#define FOVEA_JOBS_EVAL_BEGUN_H

#include "fovea/base/line_file.h"
#include "fovea/eval/report.h"
#include "fovea/train/batch.h"

/* asked: the evaluation that these are of; its settings and shard go with them. */
fv_err fv_begun_write(const fv_batch *begun, const fv_report *asked, const char *folder);

/* {0} if there are none. FV_ERR_ARGUMENT: they are of another evaluation. The caller checks what is read
 * (fv_batch_check). */
fv_err fv_begun_read(const char *folder, const fv_report *asked, fv_batch *out);

/* Add the records of all ranks' files to *done, whose settings are asked's, each row once and in their order.
 * FV_ERR_ARGUMENT: they are of another evaluation; says in what it differs. */
fv_err fv_begun_read_records(const char *folder, const fv_report *asked, fv_report *done);

/* *left becomes the rows that the first rank's records are not of, on every rank; groups of the others leave
 * begun, which every rank has. Collective. */
fv_err fv_begun_share(const fv_report *done, const fv_rows *rows, fv_comm *world, fv_batch *begun,
                      fv_rows *left);

/* A rank's file; it is made when the first record comes. Starts as {0}. */
typedef struct fv_begun_log {
    const char *folder; /* borrowed, as is head */
    int rank;
    const char *head; /* the first line (fv_begun_head) */
    fv_line_file file;
    int is_off; /* it cannot be written: a warning has told */
} fv_begun_log;

/* Append the first line of such files. */
fv_err fv_begun_head(const fv_report *asked, fv_buffer *out);

/* head, of the first rank, becomes every rank's. Collective. */
fv_err fv_begun_log_init(fv_begun_log *log, const char *folder, fv_buffer *head, fv_comm *world);

/* Append a record to the file of the fv_begun_log. A file that cannot be written is no failure. */
fv_err fv_begun_keep(void *log, const fv_record *record);
void fv_begun_log_close(fv_begun_log *log);

/* Remove all of it. Fine if there is none. */
void fv_begun_remove(const char *folder);

#endif
