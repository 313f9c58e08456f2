/* What is known of the rows of a data set that is being selected from, and the file that keeps it. Local.
 *
 * The file is JSON lines. The first says what is selected: "format" (FV_SELECTION_FORMAT), "rows", "samples"
 * (of each view), "gain", "shard"
 * ("I/N", the rows of report.h) and all else that the results follow from. Each further line is a row: "row",
 * "low" and "high", the right answers from either view, null if one of them has no verdict, "high" absent if
 * it was not asked for; and "unjudged", the answers without a verdict; or "left_out", true, if it is too
 * long. The last line of a row counts. Lines are appended whole, a chunk of rows at once; a torn end is cut
 * off, lines that are none are counted and left. */
#ifndef FOVEA_EVAL_SELECTION_H
#define FOVEA_EVAL_SELECTION_H

#include "fovea/base/line_file.h"
#include "fovea/data/dataset.h"
#include "fovea/io/json.h"

#include <stdint.h>

enum { FV_SELECTION_FORMAT = 3 /* that is read and written */ };

/* In place of a number of right answers; the last two of low only. */
enum {
    FV_SELECTED_NO_VERDICT = -1,
    FV_SELECTED_NOT_ASKED = -2,
    FV_SELECTED_OPEN = -3,    /* nothing is known */
    FV_SELECTED_LEFT_OUT = -4 /* too long (row_demands.h) */
};

typedef struct fv_selected {
    int low, high; /* right answers from either view */
    int unjudged;  /* answers without a verdict */
} fv_selected;

typedef struct fv_selection {
    fv_json *what; /* owned; the first line */
    int64_t n_rows;
    int n_samples, gain, shard, n_shards;
    fv_selected *rows; /* owned, (n_rows) */
} fv_selection;

/* what is taken, also on failure. All rows are open. FV_ERR_FORMAT: numbers that make no sense, or other than
 * n_rows rows. On failure *out is {0}. */
fv_err fv_selection_init(fv_selection *out, fv_json *what, int64_t n_rows);
void fv_selection_fini(fv_selection *selection); /* back to {0} */

/* The first line of a file. FV_ERR_FORMAT: it is not of a selection. */
fv_err fv_selection_read_what(const char *path, fv_json **out);

/* That the file selects what the selection does; of the members differing_freely (ended by NULL) any value
 * will do. FV_ERR_ARGUMENT names the file, the member and both values. */
fv_err fv_selection_compare(const fv_selection *selection, const char *path,
                            const char *const *differing_freely);

/* Add the rows of a file. *n_bad: lines that are none. */
fv_err fv_selection_read_rows(fv_selection *selection, const char *path, int64_t *n_bad);

/* Make the file, or add its rows to the selection and go on behind them. FV_ERR_ARGUMENT: it is another
 * process's, or of another selection. */
fv_err fv_selection_open(fv_selection *selection, const char *path, fv_line_file *out);

/* Append n rows and keep them in the selection. A disk that is full is warned of, and tried again next time.
 */
fv_err fv_selection_append(fv_selection *selection, fv_line_file *file, const uint64_t *rows,
                           const fv_selected *found, int n);

/* What became of the rows of a selection. */
typedef struct fv_selection_counts {
    int64_t rows;      /* of the shard */
    int64_t low, high; /* kept */
    int64_t unjudged;  /* left out: without a verdict, */
    int64_t imageless; /* without an image, */
    int64_t too_long;
    int64_t open; /* not looked at yet */
} fv_selection_counts;

/* Count, and append the rows that are kept to out (NULL: count only), with the extra fields "selected" ("low"
 * or "high"), "samples" (of each view), "low_right" and "high_right". Local. */
fv_err fv_selection_pack(const fv_selection *selection, const fv_dataset *dataset, fv_dataset_writer *out,
                         fv_selection_counts *counts);

#endif
