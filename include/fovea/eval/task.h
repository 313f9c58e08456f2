/* Tasks: what a benchmark is. A YAML file of configs/eval says where its data lies in a published row, how it
 * is asked, how an answer is scored and how scores become figures. Local.
 *
 * Three words: a scorer (scorer.h) gives one answer a score and a reading; a metric (metric.h) folds the
 * scores of all answers into figures; a task names both, and the fields of a row that they need. "fovea pack
 * --task" makes the data set, "fovea eval --task" answers and scores it, "fovea score" scores answers that
 * are there. All three use the functions below, so an answer has one score wherever it comes from. */
#ifndef FOVEA_EVAL_TASK_H
#define FOVEA_EVAL_TASK_H

#include "fovea/data/dataset.h"
#include "fovea/eval/metric.h"
#include "fovea/eval/scorer.h"
#include "fovea/reward/format.h"
#include "fovea/train/row_demands.h"

/* Fields of a published row, as fovea pack reads it (row.h); "": the usual ones, or none. */
typedef struct fv_task_data {
    char *question, *answer, *image;
    int base64;    /* an image that is a text is its file in base64, not a path */
    char *options; /* a list: the fields with one option each, or the one with all of them */
    char *hint;    /* the field of what stands before the question */
    char *ask;     /* not a field: the line behind question and options */
} fv_task_data;

/* YAML files (prompt_template.h); "": none, and --prompts must say. */
typedef struct fv_task_prompts {
    char *plain;  /* of the modes low and high */
    char *policy; /* of the mode policy */
} fv_task_prompts;

typedef struct fv_task_views {
    int64_t min_pixels, max_pixels; /* 0: as usual */
    fv_view_filter filter;
    fv_tool_view tool;
} fv_task_views;

/* What is published of the benchmark's first figure, for people; 0: nothing. Source: VisionThink (Yang et
 * al., 2025), its table of Qwen2.5-VL 7B. */
typedef struct fv_task_published {
    double full;      /* always in full resolution */
    double quarter;   /* always with a quarter of the visual tokens */
    double policy;    /* VisionThink */
    double call_rate; /* its calls, in percent */
} fv_task_published;

typedef struct fv_task {
    char *name;
    char *scorer; /* fv_scorer_find */
    fv_metric metric;
    double scale;   /* of shares: 100 for percent */
    char *category; /* the field that categories are named by; "", or not there: the row's source */
    char *group;    /* the field of the metric's groups; "": none */
    fv_extraction extraction;
    int max_turn_tokens; /* 0: as usual */
    fv_task_data data;
    fv_task_prompts prompts;
    fv_task_views views;
    fv_task_published published;
    fv_scorer by; /* what scorer names */
} fv_task;

/* The file, and texts "KEY=VALUE" that override it (settings.h). FV_ERR_FORMAT or FV_ERR_ARGUMENT names the
 * file and the key. The caller calls fv_task_fini; on failure nothing is to be freed. */
fv_err fv_task_load(const char *path, const char *const *overrides, int n_overrides, fv_task *out);
void fv_task_fini(fv_task *task); /* back to {0} */

/* Append the reference of all keys. */
fv_err fv_task_print_keys(fv_buffer *out);

/* Set the members of an object that scores follow from. */
fv_err fv_task_describe(const fv_task *task, fv_json *settings);

/* That rows can be scored: their category, their group and their truths. name is the data set's, for
 * messages. FV_ERR_FORMAT names the row: it is of another benchmark. */
fv_err fv_task_check_rows(const fv_task *task, const fv_dataset *dataset, const char *name,
                          const fv_rows *rows);

/* Whether a score or a figure depends on the category. Else it only sorts answers, and rows may lack it. */
int fv_task_needs_category(const fv_task *task);

/* Set a record's group, and its source, if the task has a category, from its row's other fields.
 * FV_ERR_FORMAT: the row has none that is needed. */
fv_err fv_task_place(const fv_task *task, const fv_row *row, fv_record *record);

/* Set a record's score, reading and task from its turns. FV_ERR_FORMAT: a truth that this task cannot have.
 */
fv_err fv_task_score(const fv_task *task, fv_record *record);

/* The answer proper that is scored, a part of the last turn. */
fv_slice fv_task_answer(const fv_task *task, const fv_record *record);

#endif
