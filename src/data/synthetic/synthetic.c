#include "data/synthetic/synthetic.h"

#include <stdlib.h>
#include <string.h>

static fv_err copy_row(const fv_synthetic_texts *texts, const fv_image *image, fv_row *row)
{
    row->question = strdup(texts->question);
    row->answer = strdup(texts->answer);
    row->source = strdup(texts->source);
    row->extra = strdup(texts->is_small ? "{\"needs\": \"high\"}" : "{\"needs\": \"low\"}");
    row->images = calloc(1, sizeof *row->images);
    FV_CHECK(row->question && row->answer && row->source && row->extra && row->images, FV_ERR_MEMORY,
             "no memory for a row");
    row->n_images = 1;
    row->images[0].width = image->width;
    row->images[0].height = image->height;
    row->target = (fv_view_size){image->width / 2, image->height / 2};
    return fv_image_encode_png(image, &row->images[0].file);
}

fv_err fv_synthetic_row(const fv_synthetic_texts *texts, const fv_image *image, fv_row *out)
{
    *out = (fv_row){0};
    fv_err err = copy_row(texts, image, out);
    if (err != FV_OK)
        fv_row_fini(out);
    return err;
}
