/* Rows that are too long, found before anything is generated: what every row of a data set needs is measured
 * against what limits it, by counting tokens; no image is decoded.
 *
 * A row that needs more than there is would end a run in the middle, at every start again. So it is refused
 * with its number and the arithmetic, or left out: the data set then is its other rows, in every order. */
#ifndef FOVEA_TRAIN_ROW_DEMANDS_H
#define FOVEA_TRAIN_ROW_DEMANDS_H

#include "fovea/comm/comm.h"
#include "fovea/data/dataset.h"
#include "fovea/train/prompt_builder.h"

/* What becomes of rows that are too long. */
typedef enum fv_too_long { FV_TOO_LONG_REFUSE, FV_TOO_LONG_SKIP } fv_too_long;

/* One thing that a row needs. */
typedef struct fv_demand {
    const char *key;  /* what limits it */
    const char *unit; /* "tokens" */
    int64_t needs, limit;
    const char *wish; /* NULL: more than the limit is too long. Else what is not to be had then: a warning */
    int is_fixed;     /* the limit is no setting */
} fv_demand;

enum { FV_MAX_DEMANDS = 12 };

/* Every row has the same, in the same order. Starts as {0}. */
typedef struct fv_demands {
    fv_demand all[FV_MAX_DEMANDS];
    int n;
    int64_t text;    /* tokens of its shortest prompt that show no image; 0: not known */
    char image[160]; /* what of the tokens is the image; "": none is */
} fv_demands;

/* The row has a prompt like this one, whose images are merged so. */
void fv_demands_add_prompt(fv_demands *demands, const fv_group *group, int merge);

/* Append what a row needs. On failure the row cannot be asked at all. Local. */
typedef struct fv_measurer {
    fv_err (*measure)(const void *context, const fv_row *row, fv_demands *out);
    const void *context; /* borrowed */
} fv_measurer;

typedef struct fv_measure {
    const fv_dataset *dataset; /* borrowed, as are the others */
    const char *name;          /* of the data set */
    uint64_t n_rows;           /* the first of it */
    const fv_measurer *measurers;
    int n_measurers;
    fv_too_long too_long;
    const char *pixels, *skip; /* how the user makes views smaller, and has rows left out */
} fv_measure;

/* Rows that are asked. Starts as {0}. */
typedef struct fv_rows {
    uint64_t *kept; /* owned, (n), ascending */
    uint64_t n, n_left_out;
    int64_t least_text; /* fv_demands.text of any row, at least; 0: not known */
} fv_rows;

/* Every rank measures a part; all get the same. FV_ERR_ARGUMENT names the first rows that are too long, what
 * each needs, what limits it and to what that would have to be raised; also if all rows would be left out.
 * Other errors name the row and what is wrong with it. Rank 0 tells what was left out. Collective. */
fv_err fv_rows_measure(const fv_measure *what, fv_comm *comm, fv_rows *out);
void fv_rows_fini(fv_rows *rows); /* back to {0}. Local */

int fv_rows_has(const fv_rows *rows, uint64_t row); /* 1: it is asked. Local */

/* A data set's hash, or another one if rows of it are left out. Local. */
uint64_t fv_rows_identity(const fv_rows *rows, uint64_t dataset);

/* A prompt and its sample, as fv_prompt_builder_group makes it and the dialogue goes on: every turn needs a
 * token at least, and where the tool can be called there has to be room for the high-resolution view.
 * context: an fv_dialogue_room. */
typedef struct fv_dialogue_room {
    const fv_prompt_builder *builder;
    const fv_dialogue *dialogue;
    int cache_pages;
    const char *tokens, *pages; /* keys of dialogue->max_tokens and of cache_pages */
} fv_dialogue_room;
fv_err fv_dialogue_measure(const void *context, const fv_row *row, fv_demands *out);

/* Append a demand; FV_ERR_INTERNAL if there are too many. Local. */
fv_err fv_demands_add(fv_demands *demands, fv_demand demand);

#endif
