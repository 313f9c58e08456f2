/* Where prompts come from: rows of a data set become groups, and views of their images. Local. */
#ifndef FOVEA_TRAIN_PROMPT_BUILDER_H
#define FOVEA_TRAIN_PROMPT_BUILDER_H

#include "fovea/data/view_cache.h"
#include "fovea/train/trajectory.h"

/* What a prompt shows first. */
typedef enum fv_first_view { FV_FIRST_LOW, FV_FIRST_HIGH } fv_first_view;

typedef struct fv_prompt_builder {
    const fv_dataset *dataset;     /* borrowed, as are the next three */
    const fv_processor *processor; /* not looked at for rows without images */
    const fv_prompts *prompts;
    const fv_chat *chat;
    fv_view_cache *cache; /* borrowed; NULL: the data set has no images */
    fv_view_settings views;
    fv_first_view first;
} fv_prompt_builder;

/* Read row number row and make its prompt, with n_samples empty responses. *read is the row itself, for
 * whoever judges the answers; the files of its images are left out. FV_ERR_UNSUPPORTED: a row of several
 * images. On failure both are {0}. */
fv_err fv_prompt_builder_group(const fv_prompt_builder *builder, int64_t prompt_index, uint64_t row,
                               int n_samples, fv_group *group, fv_row *read);

/* The prompt of a row that is read, into a group that has none: its ids, the grids of both views. On failure
 * the group can only be released. */
fv_err fv_prompt_builder_prompt(const fv_prompt_builder *builder, const fv_row *row, fv_group *group);

/* Warn if the processor's max_pixels is below high-resolution views, which it shrinks then: both may become
 * the same. data is for messages. FV_ERR_ARGUMENT: needs_two, and they are the same for every row. */
fv_err fv_prompt_builder_check_views(const fv_prompt_builder *builder, const char *data, int needs_two);

/* The views of most patches, of prompts and of what the tool shows, each of some row. Starts as {0}: no row
 * has an image. */
typedef struct fv_largest_views {
    fv_grid low, high;
} fv_largest_views;

/* *largest becomes that of rows (n) too. */
void fv_prompt_builder_largest(const fv_prompt_builder *builder, const uint64_t *rows, uint64_t n,
                               fv_largest_views *largest);

/* A view of a row that is read, its image's file included: of the group that fv_prompt_builder_prompt has
 * made of it.
 */
fv_err fv_prompt_builder_look(const fv_prompt_builder *builder, const fv_row *row, const fv_group *group,
                              int is_high, fv_picture **view);

/* An fv_view_of and an fv_want_view whose context is an fv_prompt_builder: of this data set, whatever its
 * prompts and first view. */
fv_err fv_prompt_builder_view(void *builder, const fv_group *group, int is_high, fv_picture **view);
void fv_prompt_builder_want(void *builder, const fv_group *group, int is_high);

/* The high-resolution view may be asked for. */
void fv_prompt_builder_expect(const fv_prompt_builder *builder, const fv_group *group);

/* The group's views, or those of all groups, are not asked for any more. */
void fv_prompt_builder_forget(const fv_prompt_builder *builder, const fv_group *group);
void fv_prompt_builder_forget_all(const fv_prompt_builder *builder);

#endif
