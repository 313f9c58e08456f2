/* One row of a data set: a question about images, and its answer. Local. */
#ifndef FOVEA_DATA_ROW_H
#define FOVEA_DATA_ROW_H

#include "fovea/reward/truths.h"
#include "fovea/data/view.h"

typedef struct fv_row_image {
    fv_buffer file;    /* the image file as it was; owned; empty where only sizes were read */
    int width, height; /* upright pixels */
    uint64_t number;   /* which of the data set's distinct images; set where a data set is read */
} fv_row_image;

typedef struct fv_row {
    char *question, *answer; /* owned, UTF-8, not empty; all texts are NULL where only images were read */
    size_t more_bytes;       /* behind answer's NUL: further accepted answers, each with its NUL */
    char *source;            /* owned; the name of the set it came from, or "" */
    char *extra;             /* owned; all other fields: the text of a JSON object */
    fv_view_size target;     /* of the low-resolution view; both 0: none */
    fv_row_image *images;    /* owned */
    size_t n_images;
} fv_row;

void fv_row_fini(fv_row *row); /* back to {0} */

/* Accepted answers (truths.h) as a row holds them: the first, and others behind its NUL; borrowed. */
fv_slice fv_row_truths(const char *first, size_t more_bytes);

/* Append one of a row's other fields: a text as it is, anything else as JSON; nothing if it is absent. */
fv_err fv_row_field(const fv_row *row, const char *field, fv_buffer *out);

/* How a row is found in a JSON object. Names that are NULL stand for the usual ones. */
typedef struct fv_row_fields {
    const char *folder;        /* where paths of images start */
    const char *question_name; /* "problem", else "question" */
    const char *answer_name;   /* "original_answer", else "solution", else "answer" */
    const char *image_name;    /* "images", else "image" */
    int is_base64;             /* an image that is a text is its file, not a path */
    const char *question;      /* one question for all rows, instead of a field; or NULL */
    /* What is put around the question, each on lines of its own; NULL or "": nothing. Texts that are "",
     * "nan" or null are none. */
    const char *hint_name;    /* the field of what stands before it */
    const char *option_names; /* the fields with one option each, or the field with a list of all of them, as
                                 a list (settings.h); they stand behind it as "A. text" */
    const char *ask;          /* stands at the end, of every row */
} fv_row_fields;

/* A row from the text of a JSON object with VisionThink's columns:
 *
 *   problem               the question; each "<image>" in it is taken out, the white space around it too
 *   images or image       one or a list of at most one: a path, or {"base64": "the file"}
 *   original_answer       a string or a number, or a list of such: all accepted. Of a worked solution the
 *                         answer is what stands behind </think>, in <answer></answer> and in \boxed{}
 *   data_source, source   optional string
 *   info                  optional object; its tgt_width and tgt_height, if above 0, are the target
 *
 * Every image is decoded and its two views are laid out, so that a row that passes can be trained on.
 * FV_ERR_FORMAT, FV_ERR_IO, FV_ERR_ARGUMENT or FV_ERR_UNSUPPORTED: a bad row, and why: not JSON, a field
 * missing, empty (also without its tags) or of another type, a NUL in a text, another number of "<image>" (if
 * there are any) than of images, more than one image, or one that is missing, broken or too narrow. On
 * failure *out is {0}. */
fv_err fv_row_parse(const char *text, size_t size, const fv_row_fields *fields, fv_row *out);

#endif
