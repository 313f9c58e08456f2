/* SFT examples: answers written from a data set, for supervised fine-tuning. They go through the same
 * dialogue as generated ones, so an example is a trajectory like any other. Local. */
#ifndef FOVEA_TRAIN_SFT_EXAMPLE_H
#define FOVEA_TRAIN_SFT_EXAMPLE_H

#include "fovea/train/row_demands.h"
#include "fovea/train/prompt_builder.h"

/* Texts in which {answer} stands for the row's answer. Borrowed. */
typedef struct fv_sft_example {
    const char *answer; /* the turn that answers */
    const char *call;   /* the turn before it that calls the tool; NULL: examples never call */
    double call_share;  /* of the rows with an image, 0 to 1: how many call first, at random */
    uint64_t seed;      /* of that choice, with the prompt index */
} fv_sft_example;

/* FV_ERR_ARGUMENT: an answer without {answer}, a share outside 0 to 1, a call that is none. */
fv_err fv_sft_example_check(const fv_sft_example *example);

/* The group of a row with one answer: the example. FV_ERR_ARGUMENT names a row whose example does not fit
 * into the dialogue's limits. */
fv_err fv_sft_example_group(const fv_sft_example *example, const fv_prompt_builder *builder,
                            const fv_dialogue *dialogue, int64_t prompt_index, uint64_t row, fv_group *out);

/* What the longest example of a row needs. An fv_measurer's; context: an fv_sft_example_room. */
typedef struct fv_sft_example_room {
    const fv_sft_example *example; /* borrowed, as are the others */
    const fv_prompt_builder *builder;
    const fv_dialogue *dialogue;
} fv_sft_example_room;
fv_err fv_sft_example_measure(const void *context, const fv_row *row, fv_demands *out);

#endif
