/* Answers that are there already, from a file of JSON lines. Local.
 *
 * Of a line is taken what it has of these, the first of each:
 *
 *   row        row; doc_id; the number of answers before it
 *   turns      turns, a list of texts; response; prediction; filtered_resps; resps; of lists in them the
 *              first text. In the last two programs join turns: each but the last ends with </tool_call>
 *   truth      truth; target; the task's field: a text, a number or a list. A target that Python printed,
 *              a list in brackets and quotes, is that list
 *   question   question; input; the task's field
 *   category   the task's field, in the line or in an object in it; source; "", unless scores need it
 *   group      group; the task's field, likewise
 *
 * So it may be samples.jsonl of fovea eval (record.h), trajectories.jsonl of a run, a file of samples of
 * lmms-eval, or rows of the benchmark with a member "response". Several lines of one row are its samples. */
#ifndef FOVEA_EVAL_ANSWERS_H
#define FOVEA_EVAL_ANSWERS_H

#include "fovea/eval/report.h"
#include "fovea/eval/task.h"

typedef struct fv_answers_args {
    const char *path;
    const fv_task *task;       /* borrowed, as is dataset */
    const fv_dataset *dataset; /* has question, truth, category and group; NULL: the lines have them */
    const char *data;          /* its name, for messages */
} fv_answers_args;

/* Append a record a line, not scored yet, to *report. FV_ERR_FORMAT: names file, line and member: no answer
 * in it, or of another task or data set; or no line at all. */
fv_err fv_answers_read(const fv_answers_args *args, fv_report *report);

/* For who implements that: a list of texts as Python prints it, as a JSON array. FV_ERR_FORMAT: it is none.
 */
fv_err fv_python_list_parse(const char *text, size_t size, fv_json **out);

#endif
