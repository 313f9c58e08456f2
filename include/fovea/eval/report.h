/* The report of an evaluation: a record a row, what they follow from, and sums over them. Local.
 *
 * As a folder it is
 *
 *   samples.jsonl   a record a line (record.h)
 *   samples.h5      a column a dataset: row and the counts U64; score F64, NaN without a verdict;
 *                   has_verdict U8; source text; of several samples of a row sample U64; of a task reading
 *                   text
 *
 *   summary.json    format, FV_REPORT_FORMAT; model, data: where they lay; settings; shard, "I/N"; seconds;
 *                   all and sources: samples, unjudged, score, call_rate, visual_share, response_tokens; of a
 *                   task (task.h) figures (metric.h), and not_counted, the answers that none of them counts
 *
 * An evaluation may be cut into N shards: shard I, from 1, has the rows r with r mod N = I - 1. */
#ifndef FOVEA_EVAL_REPORT_H
#define FOVEA_EVAL_REPORT_H

#include "fovea/io/json.h"
#include "fovea/train/row_demands.h"
#include "fovea/eval/metric.h"
#include "fovea/eval/record.h"

enum { FV_REPORT_FORMAT = 3 /* that is read and written */ };

/* Starts as {0}. */
typedef struct fv_report {
    char *model, *data; /* owned: paths, for people */
    fv_json *settings;  /* owned: an object of all that the samples follow from; equal in all shards. "rows":
                           of the whole evaluation; "left_out": those of them that were too long, if any */
    int shard, n_shards;
    double seconds;     /* of rollout and judging; of a merged report the sum of its shards */
    fv_record *records; /* owned, (n), by ascending row, and sample of a row */
    size_t n, capacity;
} fv_report;

/* Append a record, which is taken: *record is {0} afterwards, also if this fails. */
fv_err fv_report_add(fv_report *report, fv_record *record);
void fv_report_sort(fv_report *report);             /* by rows, and by samples of a row */
int64_t fv_report_samples(const fv_report *report); /* of a row: "samples" of the settings, or 1 */
void fv_report_fini(fv_report *report);             /* back to {0} */

/* Settings, an object by now: of n_rows rows those that rows has not are left out. How many are. */
fv_err fv_report_leave_out(fv_report *report, const fv_rows *rows, int64_t n_rows);
int64_t fv_report_left_out(const fv_report *report);

/* Write the folder, which exists, each file whole or not at all and summary.json last. */
fv_err fv_report_write(const fv_report *report, const char *folder);

/* Read it back from summary.json and samples.jsonl, whose bad lines are passed over with a warning (lines.h):
 * their rows are missing. FV_ERR_FORMAT names the file. On failure *out is {0}. */
fv_err fv_report_load(const char *folder, fv_report *out);

/* FV_ERR_ARGUMENT if two reports are not of one evaluation, whichever of its shards they are: names the
 * setting in which they differ. names: of the reports, for messages. */
fv_err fv_report_compare(const fv_report *const reports[2], const char *const names[2]);

/* The same of one setting. */
fv_err fv_report_compare_setting(const fv_report *const reports[2], const char *const names[2],
                                 const char *key);

/* One report of all shards, in any order, whose samples are taken; its files are those of an evaluation that
 * was never cut, but for the seconds. names (n): for messages. FV_ERR_ARGUMENT: shards that are missing,
 * given twice, of another evaluation or without some of their rows. On failure *out is {0}. */
fv_err fv_report_merge(fv_report *shards, const char *const *names, int n, fv_report *out);

/* Sums over samples. */
typedef struct fv_tally {
    const char *source; /* borrowed from a record; NULL: of all */
    int64_t n_records, n_judged;
    double score; /* over the judged */
    int64_t counts[FV_COUNTS];
} fv_tally;

/* Means and shares, NaN where there is nothing to divide by. */
double fv_tally_score(const fv_tally *tally);        /* over the judged: an unjudged answer is no 0 */
double fv_tally_call_rate(const fv_tally *tally);    /* samples with a call, over samples */
double fv_tally_visual_share(const fv_tally *tally); /* visual tokens, over those of high-resolution views */
double fv_tally_response_tokens(const fv_tally *tally); /* over samples */

typedef struct fv_summary {
    fv_tally all;
    fv_tally *sources; /* owned, in the order of their first rows; borrows from the report */
    int n_sources;
} fv_summary;

fv_err fv_summary_init(fv_summary *summary, const fv_report *report);
void fv_summary_fini(fv_summary *summary); /* back to {0} */

/* Set all, sources and, of a task, figures of an object as in summary.json. */
fv_err fv_report_sum(const fv_report *report, fv_json *object);

/* The metric and the scale of the task that the report's settings name; both stay as they are if they name
 * none.
 */
fv_err fv_report_metric(const fv_report *report, fv_metric *metric, double *scale);

/* The figures of the task that the report's settings name; none if they name no task. */
fv_err fv_report_results(const fv_report *report, fv_results *out);

/* Append a line with what is published of the task's first figure, for people; nothing if the settings have
 * none.
 */
fv_err fv_report_print_published(const fv_report *report, fv_buffer *out);

/* Append a table for people: a line a source and one for all. seconds: NaN if nobody measured them. */
fv_err fv_summary_print(const fv_summary *summary, double seconds, fv_buffer *out);

#endif
