/* Lessons: answers written from a data set, for supervised training. They go through the same dialogue as
 * drawn ones, so a lesson is a trajectory like any other. Local. */
#ifndef FOVEA_TRAIN_LESSON_H
#define FOVEA_TRAIN_LESSON_H

#include "fovea/train/measure.h"
#include "fovea/train/source.h"

/* Texts in which {answer} stands for the row's answer. Borrowed. */
typedef struct fv_lesson {
    const char *answer; /* the turn that answers */
    const char *call;   /* the turn before it that calls the tool; NULL: lessons never call */
    double call_share;  /* of the rows with an image, 0 to 1: how many call first, at random */
    uint64_t seed;      /* of that choice, with the place */
} fv_lesson;

/* FV_ERR_ARGUMENT: an answer without {answer}, a share outside 0 to 1, a call that is none. */
fv_err fv_lesson_check(const fv_lesson *lesson);

/* The group of a row with one answer: the lesson. FV_ERR_ARGUMENT names a row whose lesson does not fit into
 * the dialogue's limits. */
fv_err fv_lesson_group(const fv_lesson *lesson, const fv_source *source, const fv_dialogue *dialogue,
                       int64_t place, uint64_t row, fv_group *out);

/* What the longest lesson of a row needs. An fv_measurer's; context: an fv_lesson_room. */
typedef struct fv_lesson_room {
    const fv_lesson *lesson; /* borrowed, as are the others */
    const fv_source *source;
    const fv_dialogue *dialogue;
} fv_lesson_room;
fv_err fv_lesson_measure(const void *context, const fv_row *row, fv_demands *out);

#endif
