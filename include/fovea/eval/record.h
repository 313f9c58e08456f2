/* One evaluated row: what was asked, what was said, what it was worth and what it cost. Local. */
#ifndef FOVEA_EVAL_RECORD_H
#define FOVEA_EVAL_RECORD_H

#include "fovea/data/row.h"
#include "fovea/train/trajectory.h"

/* The whole numbers of a record. In files they have these names. */
typedef enum fv_count {
    FV_COUNT_TURNS,    /* n_turns: turns of the assistant */
    FV_COUNT_SHOWN,    /* n_shown: times that the tool showed the high-resolution view */
    FV_COUNT_CALLED,   /* is_called: 1 if a turn holds a call of the tool, well-formed or not */
    FV_COUNT_CUT,      /* is_cut: 1 if a limit of length ended a turn */
    FV_COUNT_VISUAL,   /* visual_tokens: of all views shown */
    FV_COUNT_HIGH,     /* high_visual_tokens: of the high-resolution view, shown once and alone */
    FV_COUNT_RESPONSE, /* response_tokens: generated, in all turns */
    FV_COUNTS
} fv_count;

extern const char *const fv_count_names[FV_COUNTS];

/* Starts as {0}. */
typedef struct fv_record {
    uint64_t row;                    /* of the data set */
    int sample;                      /* which of the row's, from 0 */
    char *source, *question, *truth; /* owned, UTF-8 */
    size_t more_bytes;               /* of truth, as in a row */
    char *task, *group, *reading;    /* owned, UTF-8; NULL: none. Of a task (task.h): its name; which group of
                                        its metric the row is of; what its scorer read the answer as */
    fv_buffer turns[FV_MAX_TURNS];   /* owned: texts of the assistant's turns */
    int has_verdict;
    double score; /* 0 to 1; means nothing without a verdict */
    int64_t counts[FV_COUNTS];
} fv_record;

void fv_record_fini(fv_record *record); /* back to {0} */

/* From a group's first sample, which is done and scored. The row's texts are taken. On failure *out is {0}.
 */
fv_err fv_record_init(fv_record *out, const fv_dialogue *dialogue, const fv_group *group, fv_row *row);

/* Append one line of JSON: row, source, question, truth (a list if several are accepted), turns, score (null
 * without a verdict), the counts, and sample (above 0), task, group and reading where there are any. */
fv_err fv_record_print(const fv_record *record, fv_buffer *out);

/* The line read back: printed again it is the same bytes. name is for messages. FV_ERR_FORMAT names what is
 * wrong; on failure *out is {0}. */
fv_err fv_record_parse(const char *line, size_t size, const char *name, fv_record *out);

#endif
